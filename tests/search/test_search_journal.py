"""A study in Optuna's journal, for network file systems; which trials live, by their heartbeats."""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna_dashboard._storage_url import get_storage
from searches import RANDOM, Search, set_attribute, spec, task_of_epochs

from greensweep.config.folders import journal_file, storage_url
from greensweep.errors import StudyError
from greensweep.record.reporting import report
from greensweep.search import heartbeats, loop
from greensweep.search.folders import is_marked_sweep
from greensweep.search.loop import SearchMeter, run_trials
from greensweep.search.records import BEAT, OWNER, kept, status_of
from greensweep.search.storage import open_storage
from greensweep.search.trial_queue import ReservedTrial

ELSEWHERE = {"host": "another machine", "pid": 1, "born": "there"}


def search(folder: Path, n_trials: int = 3) -> Search:
    asked = spec(folder, n_trials, sampler=RANDOM, storage=str(folder / "journal.log"))
    return Search(asked, task_of_epochs(2))


def test_a_search_goes_on_in_a_journal_that_optunas_tools_open(tmp_path: Path) -> None:
    search(tmp_path).run(2)
    assert is_marked_sweep(tmp_path)
    resumed = search(tmp_path)
    resumed.run()
    assert resumed.states() == ["COMPLETE"] * 3
    opened = get_storage(resumed.spec.storage)  # as optuna-dashboard does, by the same words
    assert isinstance(opened, JournalStorage)
    assert optuna.load_study(study_name="study", storage=opened).best_value == max(
        trial.value or 0.0 for trial in resumed.trials
    )
    assert (tmp_path / "journal.log").stat().st_mode & 0o077 == 0


def test_two_processes_of_a_journal_take_each_trial_once(tmp_path: Path) -> None:
    searches = [search(tmp_path, 6), search(tmp_path, 6)]
    taken = [searches[turn % 2].take().number for turn in range(6)]
    assert taken == [*range(6)]
    assert [each.queue.reserve() for each in searches] == [None, None]


@pytest.mark.parametrize(
    ("given", "several_machines", "there", "storage"),
    [
        (None, True, (), "/sweep/journal.log"),
        (None, False, (), "sqlite:////sweep/optuna.db"),
        (None, False, ("journal.log",), "/sweep/journal.log"),  # which began on a cluster
        ("studies/all.log", False, (), "/here/studies/all.log"),
        ("/shared/study.journal", True, (), "/shared/study.journal"),
        ("postgresql://ada@db/study", True, (), "postgresql://ada@db/study"),
    ],
)
def test_a_storage_is_a_url_or_the_path_of_a_journal(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    given: str | None,
    several_machines: bool,
    there: tuple[str, ...],
    storage: str,
) -> None:
    for folder in ("sweep", "here"):
        (tmp_path / folder).mkdir()
    for name in there:
        (tmp_path / "sweep" / name).touch()
    monkeypatch.chdir(tmp_path / "here")
    found = storage_url(given, tmp_path / "sweep", several_machines=several_machines)
    assert found.replace(str(tmp_path), "") == storage


def test_no_file_of_sqlite_and_no_word_is_taken_for_a_journal() -> None:
    assert [journal_file(each) for each in ("optuna.db", "study", "sqlite:///a.log")] == [None] * 3


@pytest.mark.parametrize("left", ["SQLite format 3\0", '{"op_code": 0', '{"op_code": 99}\n{}\n'])
def test_what_is_no_journal_ends_in_a_sentence(tmp_path: Path, left: str) -> None:
    (tmp_path / "study.log").write_text(f"{left}\n{left}\n")
    with pytest.raises(StudyError, match=r"study\.log is no journal of Optuna's, or a line of it"):
        open_storage(str(tmp_path / "study.log"))


# Heartbeats


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Let the clock of who listens go on by so many seconds."""
    now = [1000.0]
    monkeypatch.setattr(heartbeats, "time", SimpleNamespace(monotonic=lambda: now[0]))

    def wait(seconds: float) -> None:
        now[0] += seconds

    return wait


def test_a_trial_of_another_machine_is_dead_after_two_minutes_without_a_beat(
    tmp_path: Path, later: Callable[[float], None]
) -> None:
    there, here = search(tmp_path), search(tmp_path)
    number = there.take().number
    set_attribute(there, number, OWNER, ELSEWHERE)
    for beat in range(1, 4):
        assert here.queue.recover_dead() == 0
        later(100.0)
        set_attribute(there, number, BEAT, beat)
    assert here.queue.recover_dead() == 0  # heard just now, whatever the clock over there says
    later(119.0)
    assert here.queue.recover_dead() == 0
    later(2.0)
    assert here.queue.recover_dead() == 1
    assert here.states() == ["FAIL", "WAITING"]
    assert kept(here.trials[1], BEAT) is None  # the repeat has yet to be heard


def test_a_running_trial_beats_in_a_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heartbeats, "HEARTBEAT_SECONDS", 0.01)
    found = search(tmp_path, 1)

    def task(params: object) -> float:
        deadline = time.monotonic() + 10.0
        while (kept(found.trials[0], BEAT) or 0) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        report(epoch=1, epochs=1, accuracy=0.5, joules=1.0)
        return 0.5

    found.task = task
    found.run()
    assert found.states() == ["COMPLETE"]
    assert kept(found.trials[0], BEAT) >= 2


def test_a_job_of_slurm_is_known_by_its_name_and_restarts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = search(tmp_path)
    found.take()
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    found.take()
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "11")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "1")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "2")
    found.take()
    assert found.queue.jobs_of_running() == {1: "12:0", 2: "11_1:2"}
    found.queue.finish_lost([1, 2])
    found.queue.finish_lost([1], "its job ended", "lost")
    assert found.states() == ["RUNNING", "FAIL", "FAIL", "WAITING", "WAITING"]
    assert status_of(found.trials[1]) == "died"


# A worker whose time is limited


@pytest.mark.parametrize(
    ("known", "seconds", "fits"),
    [
        ([], 1.0, True),  # nobody knows yet
        ([], -1.0, False),
        ([], sys.float_info.max, True),
        ([10.0], 9.0, False),
        ([10.0], 11.0, True),
        ([10.0, 10.0, 10.0, 30.0], 30.0, False),  # some take long
        ([10.0, 10.0, 10.0, 30.0], 60.0, True),
    ],
)
def test_a_trial_that_is_known_to_take_longer_than_is_left_is_not_begun(
    tmp_path: Path,
    clock: list[float],
    known: list[float],
    seconds: float,
    fits: bool,
) -> None:
    found = search(tmp_path, 10)
    for each in known:

        def task(params: object, each: float = each) -> float:
            clock[0] += each
            return 0.5

        found.task = task
        found.run(1)
    assert found.queue.fits(seconds) == fits


def test_a_worker_begins_with_a_trial_and_ends_before_its_time_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: list[float]
) -> None:
    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    found = search(tmp_path, 10)

    def task(params: object) -> float:
        clock[0] += 10.0
        return 0.5

    found.task = task

    def run(trials: list[ReservedTrial]) -> list[BaseException | None]:
        for reserved in trials:
            found.run_one(reserved)
        return [None] * len(trials)

    for seconds, ended in ((5.0, 1), (35.0, 4), (5.0, 5)):
        run_trials(found.queue, run, SearchMeter(None), seconds=seconds)
        assert len(found.trials) == ended
