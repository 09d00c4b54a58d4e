"""Searches in processes of this machine, whatever fails around them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from faults import Search
from servers import MlflowServer, Postgres, postgres_server, tracking_server

__all__ = ["postgres_server", "tracking_server"]

pytestmark = [pytest.mark.slow, pytest.mark.cluster, pytest.mark.timeout(600)]


@pytest.fixture
def search(
    tmp_path: Path, postgres_server: Postgres, tracking_server: MlflowServer
) -> Iterator[Search]:
    found = Search(tmp_path, postgres_server.url, tracking_server.url)
    yield found
    found.close()


def test_a_killed_sweeper_started_again_goes_on(search: Search) -> None:
    search.start("hydra.sweeper.n_trials=8")
    search.play(5, "the sweeper is killed", search.kill)
    search.start("hydra.sweeper.n_trials=8")
    search.end()
    search.holds(8)
