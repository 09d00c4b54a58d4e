"""Searches in processes of this machine, whatever fails around them."""

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from faults import Proxy, Search, clock_off, full, proxy, restart, small_disk
from servers import MlflowServer, Postgres, postgres_server, tracking_server

__all__ = ["postgres_server", "proxy", "tracking_server"]

pytestmark = [pytest.mark.slow, pytest.mark.cluster, pytest.mark.timeout(600)]


@pytest.fixture
def search(
    tmp_path: Path, postgres_server: Postgres, tracking_server: MlflowServer, proxy: Proxy
) -> Iterator[Search]:
    found = Search(tmp_path, proxy.url(postgres_server.url), tracking_server.url)
    with small_disk(tmp_path / "multirun"):
        yield found
        found.close()


def test_forty_trials_are_counted_once_whatever_fails(
    search: Search, postgres_server: Postgres, tracking_server: MlflowServer, proxy: Proxy
) -> None:
    def again(**clock: str) -> None:
        search.kill()
        search.start(environment=clock)

    def slow() -> None:
        with proxy.slow(0.2):
            search.wait_for(4)

    def disk_full() -> None:
        with full(search.folder / "multirun"):
            time.sleep(5.0)

    # There is one node, and no limit of a job's time.
    search.start()
    search.play(4, "a worker is killed", search.kill_worker)
    search.play(4, "PostgreSQL is away for 10 s", lambda: restart(postgres_server, 10.0))
    search.play(4, "the sweeper is killed and started again", again)
    search.play(4, "each answer of the storage takes 200 ms", slow)
    search.play(4, "the disk is full for 5 s", disk_full)
    search.play(4, "the clock is 60 s ahead from here on", lambda: again(**clock_off(60)))
    search.play(
        4, "the MLflow server is stopped and started", lambda: restart(tracking_server, 0.0)
    )
    search.end()
    search.holds()


def test_a_database_that_stays_away_ends_the_search_in_one_sentence_and_loses_no_trial(
    search: Search, postgres_server: Postgres
) -> None:
    search.start("hydra.sweeper.n_trials=12")
    search.wait_for(6)
    running = {each["trial"] for each in search.begun[-2:]}
    postgres_server.stop()
    *_, last = search.end(status=1).splitlines()
    assert search.said.count("storage does not answer") == 1
    assert search.said.count("Error: ") == 1
    said = r"Error: the study's storage \S+ failed \(.*\): free or start it, then give the same "
    assert re.match(said + "command again, which goes on where it stopped$", last), last
    assert "Traceback" not in search.said
    postgres_server.start()
    search.start("hydra.sweeper.n_trials=12")
    search.end()
    search.holds(12)
    again = [each["trial"] for each in search.begun if each["trial"] in running]
    assert len(again) == len(running)  # they had finished, and were taken from their folders
