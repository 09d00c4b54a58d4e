"""A server that is away for a while, and a disk that is full for one, interrupt no search."""

import errno
import logging
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from optuna.storages import RDBStorage
from searches import RANDOM, Search, spec, task_of_epochs
from sqlalchemy.exc import OperationalError

from greensweep.errors import StorageLost, StudyError
from greensweep.record.reporting import report
from greensweep.search import patience
from greensweep.search.patience import Patience, hurried, with_room
from greensweep.search.progress import ProgressDisplay
from greensweep.search.records import OWNED
from greensweep.search.storage import storage_faults
from greensweep.search.storage_internals import PatientStorage


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "_PAUSE_SECONDS", 0.02)


def searched(folder: Path, trials: int = 3) -> Search:
    """A search whose database is asked as one on a server, which a lock makes silent."""
    asked = spec(folder, trials, sampler=RANDOM)
    file = RDBStorage(asked.storage, engine_kwargs={"connect_args": {"timeout": 0.01}})
    return Search(asked, task_of_epochs(2), PatientStorage(file, OWNED))


@contextmanager
def away(folder: Path, seconds: float = 60.0) -> Iterator[None]:
    """Let the database give no answer for so long, or until the block ends."""
    over = threading.Event()
    locked = threading.Event()

    def lock() -> None:
        other = sqlite3.connect(folder / "optuna.db")
        other.execute("BEGIN EXCLUSIVE")
        locked.set()
        over.wait(seconds)
        other.rollback()
        other.close()

    thread = threading.Thread(target=lock)
    thread.start()
    locked.wait()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_a_draw_waits_for_the_database(tmp_path: Path) -> None:
    search = searched(tmp_path)
    with away(tmp_path, 0.3):
        search.take()
    assert search.states() == ["RUNNING"]


def test_a_trial_goes_on_without_the_database_and_waits_for_it_at_its_end(tmp_path: Path) -> None:
    search, took = searched(tmp_path), []

    def task(_: Any) -> float:
        with away(tmp_path):
            began = time.monotonic()
            report(epoch=1, accuracy=0.5, joules=3.0, epochs=2)
            took.append(time.monotonic() - began)
        lock = away(tmp_path, 0.3)
        lock.__enter__()
        return 0.75

    search.task = task
    search.run_one(search.take())
    (trial,) = search.trials
    assert (trial.state.name, trial.values) == ("COMPLETE", [0.75])
    assert took[0] < patience.PATIENCE_SECONDS / 10


def test_one_that_is_away_for_too_long_ends_the_search_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = searched(tmp_path)
    monkeypatch.setattr(patience, "PATIENCE_SECONDS", 0.1)
    with (
        away(tmp_path),
        pytest.raises(StorageLost, match="the same command again"),
        storage_faults(search.spec.storage),
    ):
        search.take()
    search.run()
    assert search.states() == ["COMPLETE"] * 3


def test_all_calls_share_one_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "PATIENCE_SECONDS", 0.2)
    asking, calls = Patience(), []

    def call() -> None:
        calls.append(1)
        raise OperationalError("SELECT", {}, Exception("gone"))

    for _ in range(3):
        with pytest.raises(OperationalError):
            asking.ask(call)
    assert len(calls) > 4
    tries = len(calls)
    with pytest.raises(OperationalError):
        asking.ask(call)
    assert len(calls) == tries + 1


def test_what_can_do_without_an_answer_asks_once() -> None:
    calls = []

    def call() -> None:
        calls.append(1)
        raise OperationalError("SELECT", {}, Exception("gone"))

    with hurried(), pytest.raises(OperationalError):
        Patience().ask(call)
    assert len(calls) == 1


def test_what_a_database_refuses_is_not_asked_again() -> None:
    calls = []

    def call() -> None:
        calls.append(1)
        raise StudyError("no such study")

    with pytest.raises(StudyError):
        Patience().ask(call)
    assert len(calls) == 1


def test_an_end_whose_answer_was_lost_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = searched(tmp_path)
    reserved = search.take()
    real, lost = PatientStorage.__mro__[1]._write, [True]  # type: ignore[attr-defined]

    def write(*arguments: Any) -> None:
        real(*arguments)
        if lost:
            lost.pop()
            raise OperationalError("COMMIT", {}, Exception("connection lost"))

    monkeypatch.setattr(PatientStorage.__mro__[1], "_write", write)
    search.run_one(reserved)
    assert search.states() == ["COMPLETE"]


def test_the_command_says_once_that_the_database_is_away_and_that_it_is_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    search = searched(tmp_path)
    # As one on a server is named.
    named = spec(tmp_path, storage="postgresql+psycopg://db/study")
    display = ProgressDisplay(named, search.study, None)
    with away(tmp_path):
        display.look()
        display.look()
    display.look()
    display.look()
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2
    assert said[0].startswith("The study's storage does not answer (")
    assert "80 s at most" in said[0]
    assert said[1] == "The study's storage answers again."


def test_a_full_disk_is_waited_for_and_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    failures = [OSError(errno.ENOSPC, "No space left on device")] * 3

    def write() -> str:
        if failures:
            raise failures.pop()
        return "written"

    assert with_room(tmp_path, write) == "written"
    (record,) = caplog.records
    assert record.getMessage().startswith("The disk at /")
    assert record.getMessage().endswith("is full: trials wait for room, 80 s at most.")


@pytest.mark.parametrize("fault", [errno.ENOSPC, errno.EACCES])
def test_a_disk_that_stays_full_or_refuses_is_a_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: int
) -> None:
    monkeypatch.setattr(patience, "PATIENCE_SECONDS", 0.05)

    def write() -> None:
        raise OSError(fault, "not here")

    with pytest.raises(OSError, match="not here"):
        with_room(tmp_path, write)
