"""What goes wrong in a trial or in the storage ends in one sentence, and the search goes on."""

import errno
import os
import signal
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from optuna.exceptions import StorageInternalError
from searches import BaseStorage, Search, spec, task_of_epochs
from sqlalchemy.exc import IntegrityError, OperationalError

from greensweep.config.sweeper import BudgetConfig
from greensweep.errors import StudyError, TrialEnded
from greensweep.loops.hooked import HookedRun
from greensweep.messages import error_line
from greensweep.record.reporting import report
from greensweep.record.result import read_result
from greensweep.search import storage
from greensweep.search.cost import search_cost
from greensweep.search.interrupt import graceful
from greensweep.search.loop import SearchMeter, run_trials
from greensweep.search.records import Outcome, counted, outcome_of
from greensweep.search.storage import open_storage, open_study, storage_faults
from greensweep.search.trial import checked_values, read_trial_file
from greensweep.search.trial_queue import ReservedTrial

RANDOM = ("optuna.samplers.RandomSampler", {})


def search(folder: Path, task: Any, n_trials: int = 3, **changes: Any) -> Search:
    return Search(spec(folder, n_trials, sampler=RANDOM, **changes), task)


def ended(found: Search, number: int = 0) -> Outcome:
    outcome = outcome_of(found.trials[number])
    assert outcome is not None
    return outcome


def run_all(found: Search) -> str | None:
    """Work as a worker does, which goes on after a trial that failed."""

    def run(trials: list[ReservedTrial]) -> list[BaseException | None]:
        faults: list[BaseException | None] = []
        for reserved in trials:
            try:
                found.run_one(reserved)
                faults.append(None)
            except Exception as fault:
                faults.append(fault)
        return faults

    run_trials(found.queue, run, SearchMeter(None))
    return found.queue.ended()


# The program


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (ValueError("shapes differ\nin detail"), "ValueError: shapes differ"),
        (RuntimeError(), "RuntimeError: RuntimeError"),
        (MemoryError(), "MemoryError: MemoryError"),
        (StudyError("the rule, the value, the way out"), "the rule, the value, the way out"),
        (SystemExit(3), "the program ended itself with status 3"),
    ],
)
def test_a_program_that_raises_fails_its_trial_and_no_other(
    tmp_path: Path, fault: BaseException, error: str
) -> None:
    raised = iter([fault])

    def task(params: Any) -> float:
        report(epoch=1, accuracy=0.5, joules=7.0, epochs=2)
        for each in raised:
            raise each
        return 1.0

    found = search(tmp_path, task)
    assert run_all(found) is None
    assert found.states() == ["FAIL", "COMPLETE", "COMPLETE"]
    assert (ended(found).status, ended(found).error) == ("failed", error)
    assert (ended(found).accuracy, ended(found).spent_joules) == (0.5, 7.0)
    assert read_trial_file(found.folder(0)) is not None
    assert search_cost(found.spec, found.study).failed_joules == 7.0


@pytest.mark.parametrize("status", [None, 0])
def test_a_program_that_ends_itself_well_is_taken_by_what_it_reported(
    tmp_path: Path, status: int | None
) -> None:
    def task(params: Any) -> None:
        report(epoch=1, accuracy=0.5)
        sys.exit(status)

    found = search(tmp_path, task, 1)
    run_all(found)
    assert (found.states(), found.trials[0].values) == (["COMPLETE"], [0.5])


def test_a_library_that_turns_ctrl_c_into_an_exit_interrupts_its_trial(tmp_path: Path) -> None:
    def task(params: Any) -> float:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            sys.exit(1)  # as Lightning does

    found = search(tmp_path, task)
    with pytest.raises(KeyboardInterrupt):
        run_all(found)
    assert (ended(found).status, ended(found).interrupted) == ("stopped", True)


def test_a_run_that_a_library_leaves_open_ends_with_its_trial(tmp_path: Path) -> None:
    def task(params: Any) -> float:
        run = HookedRun({"directory": found.folder(0), "meter": "unmetered"})
        run.begin(name="a")
        run.report(1, 2, {"accuracy": 0.5})
        raise ValueError("no such label")

    found = search(tmp_path, task, 1)
    run_all(found)
    left = read_result(found.folder(0))
    assert (left.status, left.error) == ("failed", "ValueError: no such label")
    assert (left.validation_accuracy, ended(found).status) == (0.5, "failed")


@pytest.mark.parametrize(
    ("returned", "sentence"),
    [
        (float("nan"), "the program returned nan, which is not finite"),
        (float("-inf"), "the program returned -inf, which is not finite"),
        ("high", "the program returned 'high', where the search needs a number"),
        ((1.0, 2.0), "the program returned 2 values, where the search needs a number, as hydra"),
        ([], "the program returned 0 values, where the search needs a number, as hydra"),
        ({}, "the program returned {}, where the search needs a number"),
    ],
)
def test_what_is_no_value_fails_the_trial(tmp_path: Path, returned: Any, sentence: str) -> None:
    found = search(tmp_path, lambda _: returned, 1)
    run_all(found)
    assert found.states() == ["FAIL"]
    assert str(ended(found).error).startswith(sentence)


def test_numbers_of_many_kinds_are_values() -> None:
    import numpy
    import torch

    assert checked_values(1, 1) == [1.0]
    assert checked_values(numpy.float32(0.5), 1) == [0.5]
    assert checked_values(torch.tensor(0.5), 1) == [0.5]
    assert checked_values((1, numpy.int64(2)), 2) == [1.0, 2.0]
    assert checked_values(numpy.array([0.5, 2]), 2) == [0.5, 2.0]
    with pytest.raises(StudyError, match="returned 1 values, where the search needs 2 numbers"):
        checked_values(1.0, 2)


# A program that catches what ends its trial


def over_limit(tmp_path: Path, task: Any) -> Search:
    """A trial of 10 epochs of 10 J, where 25 J are allowed."""
    found = search(tmp_path, task, 1, constraints={"max_joules_per_run": 25.0})
    run_all(found)
    return found


def epochs(known: bool = True) -> Iterator[None]:
    for epoch in range(1, 11):
        report(
            epoch=epoch, accuracy=0.05 * epoch, joules=10.0 * epoch, epochs=10 if known else None
        )
        yield


def test_a_program_that_catches_the_end_and_returns_is_ended_all_the_same(tmp_path: Path) -> None:
    def task(params: Any) -> float:
        try:
            for _ in epochs():
                pass
        except BaseException:
            return 0.15
        return 1.0

    found = over_limit(tmp_path, task)
    assert found.states() == ["PRUNED"]
    assert (ended(found).status, ended(found).epochs, ended(found).spent_joules) == (
        "pruned",
        3,
        30.0,
    )


def test_a_program_that_raises_an_error_of_its_own_at_the_end_has_not_failed(
    tmp_path: Path,
) -> None:
    def task(params: Any) -> float:
        try:
            for _ in epochs():
                pass
        except BaseException as error:
            raise RuntimeError("training failed") from error
        return 1.0

    found = over_limit(tmp_path, task)
    assert found.states() == ["PRUNED"]
    assert ended(found).error == "pruned after epoch 3: 30 J are above max_joules_per_run=25"


def test_an_error_while_the_trial_ends_that_has_another_cause_is_a_failure(tmp_path: Path) -> None:
    def task(params: Any) -> float:
        caught = None
        try:
            for _ in epochs():
                pass
        except TrialEnded as error:
            caught = error
        assert caught is not None
        raise ZeroDivisionError

    found = over_limit(tmp_path, task)
    assert found.states() == ["FAIL"]
    assert ended(found).error == "ZeroDivisionError: ZeroDivisionError"


@pytest.mark.parametrize(
    ("caught", "epochs"), [(Exception, 3), (BaseException, 10)], ids=["exceptions", "everything"]
)
def test_a_program_that_catches_all_and_goes_on_is_ended_all_the_same(
    tmp_path: Path, caught: type[BaseException], epochs: int
) -> None:
    def task(params: Any) -> float:
        for epoch in range(1, 11):
            try:
                report(epoch=epoch, accuracy=0.05 * epoch, joules=10.0 * epoch, epochs=10)
            except caught:
                continue
        return 0.5

    found = over_limit(tmp_path, task)
    assert found.states() == ["PRUNED"]
    assert ended(found).error == "pruned after epoch 3: 30 J are above max_joules_per_run=25"
    assert ended(found).spent_joules == 10.0 * epochs  # of all that it went on to do


# Interrupts


def test_a_second_interrupt_settles_the_trial_to_run_again(tmp_path: Path) -> None:
    def task(params: Any) -> float:
        report(epoch=1, accuracy=0.5, joules=7.0, epochs=9)
        raise KeyboardInterrupt

    found = search(tmp_path, task)
    with pytest.raises(KeyboardInterrupt):
        found.run()
    assert found.states() == ["FAIL"]
    assert (ended(found).status, ended(found).error) == ("stopped", "interrupted")
    assert ended(found).spent_joules == 7.0
    assert counted(found.trials) == []
    resumed = Search(found.spec, task_of_epochs(2))
    assert resumed.take().params == found.trials[0].params


@pytest.mark.parametrize(
    ("sent", "status"), [(signal.SIGTERM, "stopped"), (signal.SIGINT, "failed")]
)
def test_what_breaks_by_a_sigterm_that_its_children_got_too_runs_again(
    tmp_path: Path, sent: signal.Signals, status: str
) -> None:
    def task(params: Any) -> Any:
        os.kill(os.getpid(), sent)
        raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Terminated")

    found = search(tmp_path, task)
    with graceful(quiet=True):
        run_all(found)
    assert (ended(found).status, ended(found).interrupted) == (status, status == "stopped")
    assert "DataLoader worker (pid 7)" in str(ended(found).error)


def test_a_journal_that_fails_in_a_trial_is_no_failure_of_the_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def task(params: Any) -> Any:
        with monkeypatch.context() as disk:
            disk.setattr("greensweep.search.monitor.keep", full)
            report(epoch=1, accuracy=0.1, joules=5.0, epochs=3)
        return 0.7

    found = search(tmp_path, task, budget=BudgetConfig(joules=1e6))
    found.run_one(found.take())
    assert (ended(found).status, ended(found).spent_joules) == ("finished", 5.0)


# The storage


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the study's file as a process does that writes for long."""
    other = sqlite3.connect(folder / "optuna.db")
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.rollback()
        other.close()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for a lock for no time."""
    monkeypatch.setattr(storage, "_BUSY_SECONDS", 0.01)


def test_a_locked_study_ends_the_search_with_a_sentence_and_loses_no_trial(
    tmp_path: Path, impatient: None
) -> None:
    found = search(tmp_path, task_of_epochs(2))
    found.run(1)
    with (
        pytest.raises(StudyError) as told,
        storage_faults(found.spec.storage),
        locked(tmp_path),
    ):
        found.take()
    assert str(told.value).startswith(f"the study's storage {found.spec.storage} failed (")
    assert "database is locked" in str(told.value)
    assert "give the same command again" in str(told.value)
    assert "\n" not in str(told.value)
    resumed = Search(found.spec, found.task)
    resumed.run()
    assert resumed.states() == ["COMPLETE"] * 3


def test_a_finished_trial_that_cannot_be_recorded_is_not_run_again(
    tmp_path: Path, impatient: None
) -> None:
    found = search(tmp_path, task_of_epochs(2))
    reserved = found.take()
    runs: list[Any] = []

    def task(params: Any) -> Any:
        runs.append(params)
        return task_of_epochs(2)(params)

    found.task = task
    lock = locked(tmp_path)

    def then_locked(params: Any) -> Any:
        value = task(params)
        lock.__enter__()
        return value

    found.task = then_locked
    with pytest.raises(StudyError, match="is locked"), storage_faults(found.spec.storage):
        found.run_one(reserved)
    lock.__exit__(None, None, None)
    # This process still owns it; one that takes over finds it dead, and its file complete.
    from searches import kill

    kill(found, reserved)
    resumed = Search(found.spec, task)
    assert resumed.states() == ["COMPLETE"]
    assert resumed.trials[0].params == reserved.params
    resumed.run()
    assert len(runs) == 3
    assert [trial.number for trial in counted(resumed.trials)] == [0, 1, 2]


def test_a_trial_goes_on_while_the_storage_fails_and_ends_as_it_would_have(
    tmp_path: Path, impatient: None
) -> None:
    found = search(tmp_path, task_of_epochs(1), 2, pruner="median")
    lock = locked(tmp_path)

    def task(params: Any) -> Any:
        report(epoch=1, accuracy=0.1, joules=5.0, epochs=3)
        lock.__enter__()
        report(epoch=2, accuracy=0.2, joules=10.0, epochs=3)
        return 1.0

    found.task = task
    reserved = found.take()
    with pytest.raises(StudyError, match="is locked"), storage_faults(found.spec.storage):
        found.run_one(reserved)
    lock.__exit__(None, None, None)
    from searches import kill

    kill(found, reserved)
    resumed = Search(found.spec, task_of_epochs(1))
    assert (ended(resumed).status, ended(resumed).spent_joules) == ("finished", 10.0)
    resumed.run()
    assert resumed.states() == ["COMPLETE", "COMPLETE"]


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("sqlite:////nowhere/at/all/optuna.db", "failed (unable to open"),
        ("mysql+nodriver://user:secret@host/db", "is no address of a database: write sqlite"),
        ("nonsense://user:secret@host/db", "is no address of a database: write sqlite"),
        ("optuna.db", "hydra.sweeper.storage=optuna.db is no address of a database"),
        ("", "is no address of a database"),
        ("mssql+pyodbc://user:secret@host/db", "needs a database driver (No module named"),
        ("redis://:secret@localhost:6379/1", "is in Redis, which Optuna left: write sqlite"),
        ("sqlite://", "is in memory, where no worker finds it"),
        ("sqlite:///:memory:", "is in memory, where no worker finds it"),
    ],
)
def test_a_storage_that_cannot_be_used_ends_in_a_sentence_without_secrets(
    url: str, said: str
) -> None:
    with pytest.raises(StudyError) as told:
        open_storage(url)
    assert said in str(told.value)
    assert "secret" not in str(told.value)
    assert "\n" not in str(told.value)


def test_a_file_of_the_sweep_that_a_full_disk_refuses_is_named(tmp_path: Path) -> None:
    with pytest.raises(StudyError) as told, storage_faults("sqlite:///a.db"):
        raise OSError(errno.ENOSPC, "No space left on device", "sweep/study.json")
    assert str(told.value).startswith("cannot use sweep/study.json: No space left on device: free")


def test_what_the_stock_sweepers_storage_raises_is_told_by_its_cause() -> None:
    full = OperationalError("INSERT", {}, sqlite3.OperationalError("database or disk is full"))
    fault = StorageInternalError("This typically happens due to invalid data in the commit")
    fault.__cause__ = full
    for each in (fault, full):
        assert error_line(each) == (
            "Error: a database failed (database or disk is full): free or start it, then give the "
            "command again"
        )


def test_a_file_that_is_no_database_ends_in_a_sentence(tmp_path: Path) -> None:
    asked = spec(tmp_path)
    (tmp_path / "optuna.db").write_bytes(b"not a database, but long enough for one" * 100)
    with pytest.raises(StudyError, match="file is not a database"):
        open_study(asked, open_storage(asked.storage))


def test_a_full_disk_ends_in_a_sentence_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = search(tmp_path, task_of_epochs(2))
    found.run(1)
    opened: BaseStorage = found.study._storage

    def full(*_: Any) -> None:
        raise OperationalError("INSERT", {}, Exception("database or disk is full"))

    with monkeypatch.context() as patched, pytest.raises(StudyError, match="disk is full"):
        patched.setattr(opened, "create_new_trial", full)
        with storage_faults(found.spec.storage):
            run_all(found)
    run_all(found)
    assert found.states() == ["COMPLETE"] * 3


def test_what_finished_while_the_storage_failed_is_settled_from_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = search(tmp_path, lambda _: 0.75, 1)
    real, failures = found.study.tell, [OSError("disk full")]

    def tell(*arguments: Any, **named: Any) -> Any:
        if failures:
            raise failures.pop()
        return real(*arguments, **named)

    monkeypatch.setattr(found.study, "tell", tell)

    def run(trials: list[ReservedTrial]) -> list[BaseException | None]:
        try:
            found.run_one(trials[0])
        except OSError as error:
            return [error]
        return [None]

    run_trials(found.queue, run, SearchMeter(None))
    (trial,) = found.trials
    assert (trial.state.name, trial.value) == ("COMPLETE", 0.75)


def test_the_later_of_two_that_make_a_servers_tables_tries_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two commands on a new PostgreSQL database: one of them breaks on the other's tables."""
    tries = []

    def made(url: str, **_: Any) -> str:
        tries.append(url)
        if len(tries) == 1:
            raise IntegrityError("CREATE TABLE", {}, Exception("duplicate key"))
        return "opened"

    monkeypatch.setattr("greensweep.search.storage.RDBStorage", made)
    monkeypatch.setattr("greensweep.search.storage._TABLES_SECONDS", 0)
    monkeypatch.setattr("greensweep.search.storage.check_storage", lambda _: None)  # no driver here
    assert open_storage("postgresql://ada@db/study") == "opened"
    assert len(tries) == 2
