"""Searches on a Ray cluster, whatever fails around them."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from clusters import add_node, head, stranger
from faults import Proxy, Search, clock_off, full, proxy, restart, small_disk
from servers import MlflowServer, Postgres, postgres_server, tracking_server

from greensweep.search.records import counted, outcome_of, spent_of

__all__ = ["head", "postgres_server", "proxy", "tracking_server"]

pytestmark = [pytest.mark.slow, pytest.mark.cluster, pytest.mark.timeout(900)]


@pytest.fixture
def search(
    tmp_path: Path,
    head: Any,
    proxy: Proxy,
    postgres_server: Postgres,
    tracking_server: MlflowServer,
) -> Iterator[Search]:
    found = Search(
        tmp_path,
        proxy.url(postgres_server.url),
        tracking_server.url,
        "hydra.sweeper.executor=ray",
        f"hydra.sweeper.ray.address={head.address}",
    )
    (tmp_path / "multirun").mkdir()
    yield found
    found.close()


def test_budget_and_pruning_hold_with_the_study_in_a_server(search: Search, head: Any) -> None:
    for name in ("n1", "n2"):
        add_node(head, name)
    search.start(
        "hydra.sweeper.pruner=median",
        "hydra.sweeper.pruning.min_finished=2",
        "hydra.sweeper.budget.joules=600",
        "hydra.sweeper.n_workers=2",
        "epochs=8",
    )
    said = search.end()
    trials = search.trials()
    assert 4 < len(counted(trials)) < 40, said
    assert "would exceed the budget of 600 J" in said
    assert sum(map(spent_of, trials)) <= 600
    pruned = [each for each in trials if each.state.name == "PRUNED"]
    assert pruned, said
    for trial in pruned:
        outcome = outcome_of(trial)
        assert outcome is not None and outcome.status == "pruned" and 2 <= outcome.epochs < 8


def test_forty_trials_are_counted_once_whatever_fails(
    search: Search,
    head: Any,
    proxy: Proxy,
    postgres_server: Postgres,
    tracking_server: MlflowServer,
    tmp_path: Path,
) -> None:
    multirun, ahead = tmp_path / "multirun", clock_off(60)  # which strangers do not see
    with ExitStack() as nodes:
        disk = nodes.enter_context(small_disk(tmp_path / "disk"))
        nodes.enter_context(stranger(head, "far", multirun, cpus=2, cache=disk))
        first = add_node(head, "n1", num_cpus=2)

        def lose_a_node() -> None:
            head.remove_node(first, allow_graceful=False)
            nodes.enter_context(stranger(head, "late", multirun, cpus=2, environment=ahead))

        def fill_the_disk() -> None:
            with full(disk):
                search.wait_for(2)

        def slow_down() -> None:
            with proxy.slow():
                search.wait_for(3)

        def kill_and_start() -> None:
            search.kill()
            search.start("pause=1.5")

        search.start("pause=1.5")  # so that the search outlasts the faults
        search.play(2, "a worker is killed", search.kill_worker)
        search.play(1, "the disk of node far is full", fill_the_disk)
        search.play(1, "node n1 is killed; late joins, its clock 60 s ahead", lose_a_node)
        search.play(1, "MLflow is restarted", lambda: restart(tracking_server, 3))
        search.play(1, "PostgreSQL is restarted", lambda: restart(postgres_server, 8))
        search.play(1, "the storage is slow", slow_down)
        search.play(1, "the sweeper is killed and started again", kill_and_start)
        said = search.end()
        print(search.story)
        search.holds()
    assert {each["node"] for each in search.begun} >= {"far", "late"}
    assert "Traceback" not in said
