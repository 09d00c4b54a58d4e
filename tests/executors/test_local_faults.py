"""Searches in processes of this machine, whatever fails around them."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from faults import Proxy, Search, clock_off, full, proxied, restart, small_disk
from servers import MlflowServer, Postgres, postgres_server, tracking_server

__all__ = ["postgres_server", "tracking_server"]

pytestmark = [pytest.mark.slow, pytest.mark.cluster, pytest.mark.timeout(600)]


@pytest.fixture
def proxy(postgres_server: Postgres) -> Iterator[Proxy]:
    with proxied(postgres_server.port) as found:
        yield found


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
