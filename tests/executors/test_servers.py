"""A study in PostgreSQL or MySQL: by URL alone, through a stop and a start of the server."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "search"))
from searches import RANDOM, Search, spec, task_of_epochs
from servers import MariaDB, Postgres, mysql_server, postgres_server

from greensweep.errors import StudyError
from greensweep.search.storage import open_storage, storage_faults

__all__ = ["mysql_server", "postgres_server"]

pytestmark = [pytest.mark.slow, pytest.mark.cluster]


def test_a_study_in_postgres_goes_on_after_the_server_was_away(
    tmp_path: Path, postgres_server: Postgres
) -> None:
    asked = spec(tmp_path / "sweep", 4, sampler=RANDOM, storage=postgres_server.url)
    search = Search(asked, task_of_epochs(3), open_storage(asked.storage))
    search.run(2)
    postgres_server.stop()
    with (
        pytest.raises(StudyError, match=r"the study's storage .* failed"),
        storage_faults(asked.storage),
    ):
        search.queue.reserve()
    postgres_server.start()
    again = Search(asked, task_of_epochs(3), open_storage(asked.storage))
    assert again.run() is None
    assert again.states() == ["COMPLETE"] * 4


def test_a_study_in_mysql_goes_on_with_long_curves(tmp_path: Path, mysql_server: MariaDB) -> None:
    asked = spec(tmp_path / "sweep", 4, sampler=RANDOM, storage=mysql_server.url)
    search = Search(asked, task_of_epochs(3000), open_storage(asked.storage))
    search.run(2)
    again = Search(asked, task_of_epochs(3), open_storage(asked.storage))
    assert again.run() is None
    assert again.states() == ["COMPLETE"] * 4
