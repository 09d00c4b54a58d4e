"""Searches in jobs of Slurm, whatever fails around them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from faults import Proxy, Search, clock_off, full, proxy, restart, small_disk
from servers import MlflowServer, Postgres, postgres_server, tracking_server
from services import Slurm, require_slurm, running_slurm, wait_for

from greensweep.search.records import counted, spent_of, status_of

__all__ = ["postgres_server", "proxy", "tracking_server"]

pytestmark = [pytest.mark.slow, pytest.mark.cluster, pytest.mark.timeout(900)]

OPTIONS = (
    *("hydra.sweeper.executor=slurm", "hydra.sweeper.slurm.timeout_min=5", "pause=1.5"),
    "hydra.sweeper.slurm.signal_delay_s=10",
)


@pytest.fixture
def slurm(tmp_path: Path) -> Iterator[Slurm]:
    """Two nodes, each with room for two workers, and n1 with a small disk of its own."""
    require_slurm()
    folder = tmp_path / "slurm"
    with small_disk(folder / "spool" / "n1"), running_slurm(folder, cpus=2) as found:
        yield found


@pytest.fixture
def search(
    tmp_path: Path,
    slurm: Slurm,
    proxy: Proxy,
    postgres_server: Postgres,
    tracking_server: MlflowServer,
) -> Iterator[Search]:
    folder = tmp_path / "search"
    folder.mkdir()
    storage = proxy.url(postgres_server.url)
    found = Search(folder, storage, tracking_server.url, *OPTIONS, environment=slurm.environment)
    yield found
    found.close()


def jobs(slurm: Slurm, states: str = "RUNNING") -> list[str]:
    """The jobs of the search that run, say."""
    asked = ("squeue", "--noheader", "--array", f"--states={states}", "--format=%i")
    return slurm.call(*asked).split()


def test_forty_trials_are_counted_once_whatever_fails(
    search: Search,
    slurm: Slurm,
    proxy: Proxy,
    postgres_server: Postgres,
    tracking_server: MlflowServer,
) -> None:
    def start_again() -> None:
        search.kill()
        search.start()
        wait_for(lambda: "Going on with" in search.said)

    def limit_a_job() -> None:
        limited, *_ = jobs(slurm)
        slurm.call("scontrol", "update", f"jobid={limited}", "TimeLimit=1")
        with proxy.slow():  # so that enough trials are left for the other faults
            wait_for(lambda: limited not in jobs(slurm), 90.0)

    def fill_n1() -> None:
        with full(slurm.spool("n1")):
            search.kill_worker("n1")
            search.wait_for(4)
        if any(each.startswith("drain") for each in slurm.states()):  # as Slurm does by itself
            slurm.call("scontrol", "update", "nodename=n1", "state=resume")

    def lose_n2() -> None:
        slurm.kill_node("n2")
        wait_for(lambda: any(each.startswith("down") for each in slurm.states()), 60.0)

    search.start()
    search.play(6, "a worker is killed", search.kill_worker)
    search.play(2, "the sweeper is killed and started again", start_again)
    search.play(2, "PostgreSQL is away for 8 s", lambda: restart(postgres_server, 8.0))
    search.play(
        2, "storage takes 200 ms an answer, until a job reaches its time limit", limit_a_job
    )
    search.play(2, "the disk of n1 is full", fill_n1)
    search.play(1, "MLflow's server stops", tracking_server.stop)
    search.play(1, "n2 is killed", lose_n2)
    # That of its jobs: of its daemons Slurm requires that clocks agree.
    search.play(
        1, "n2 joins, its clock a minute ahead", lambda: slurm.start_node("n2", clock_off(60))
    )
    search.play(0, "MLflow's server starts", tracking_server.start)
    search.end()
    print(search.story)
    search.holds()
    assert not jobs(slurm, "RUNNING,PENDING")


def test_an_energy_budget_and_pruning_hold_across_jobs(search: Search) -> None:
    asked = ("hydra.sweeper.n_trials=100", "hydra.sweeper.budget.joules=1500")
    search.start(*asked, "hydra.sweeper.pruner=median", "hydra.sweeper.pruning.min_finished=3")
    said = search.end()
    trials = search.trials()
    assert {status_of(trial) for trial in trials} >= {"finished", "pruned"}, said
    assert 750 < sum(map(spent_of, trials)) <= 1500, said
    assert len(counted(trials)) < 100
    assert "the budget of 1.5 kJ" in said
