"""Trials that an engine places: no batches, each ends once, and one that is lost runs again."""

from pathlib import Path

import pytest
from optuna.storages import InMemoryStorage
from searches import Purse, Search, outcomes, spec, task_of_epochs

from greensweep.errors import ConstraintError, MachineLost, ProcessLost, StudyError
from greensweep.search import interrupt
from greensweep.search.budget import between_trials
from greensweep.search.loop import SearchMeter, TrialEnd, run_trials_elsewhere
from greensweep.search.records import counted
from greensweep.search.trial_queue import ReservedTrial
from greensweep.search.trials_so_far import trials_so_far


class Engine:
    """Ends one after another of the trials that run, the first or last of them, and counts them."""

    def __init__(self, search: Search, workers: int, place: int = 0) -> None:
        self.search, self.workers, self.place = search, workers, place
        self.running: list[ReservedTrial] = []
        self.at_once: list[int] = []
        self.faults: dict[int, BaseException] = {}  # instead of a run
        self.interrupted_after: int | None = None
        self.interrupts = 0

    def places(self) -> int:
        return self.workers

    def start(self, trial: ReservedTrial) -> None:
        self.running.append(trial)

    def ended(self, seconds: float) -> list[TrialEnd]:
        self.at_once.append(len(self.running))
        trial = self.running.pop(self.place)
        if (fault := self.faults.get(trial.number)) is None:
            self.search.run_one(trial)
        if self.interrupted_after == trial.number:
            interrupt.interrupt()
        return [TrialEnd(trial, fault)]

    def interrupt(self) -> None:
        self.interrupts += 1

    def run(self, meter: SearchMeter | None = None) -> None:
        run_trials_elsewhere(self.search.queue, self, meter or SearchMeter(None))


def statuses(search: Search) -> list[str]:
    return [outcome.status for outcome in outcomes(search)]


@pytest.fixture
def search(tmp_path: Path) -> Search:
    return Search(spec(tmp_path, 7), task_of_epochs(2), InMemoryStorage())


def test_a_free_place_takes_the_next_trial_at_once(search: Search) -> None:
    engine = Engine(search, 3, place=-1)  # the first trials are the last to end
    engine.run()
    assert engine.at_once == [3, 3, 3, 3, 3, 2, 1]
    assert statuses(search) == ["finished"] * 7


def test_a_lost_trial_runs_again_and_fails_when_that_is_lost_too(search: Search) -> None:
    engine = Engine(search, 2)
    engine.faults = dict.fromkeys((1, 3, 5), ProcessLost("its process died"))
    engine.run()
    assert statuses(search) == [
        "finished", "died", "finished", "failed", "finished", "died", "finished", "finished",
        "finished",
    ]  # fmt: skip
    assert search.trials[3].params == search.trials[1].params


def test_a_trial_that_is_lost_with_its_machine_runs_on_two_others(
    search: Search, caplog: pytest.LogCaptureFixture
) -> None:
    engine = Engine(search, 1)
    lost = MachineLost("its node n2 was lost")
    engine.faults = {1: lost, 2: lost, **dict.fromkeys((4, 5, 6), lost)}
    engine.run()
    assert statuses(search) == [
        "finished", "lost", "lost", "finished", "lost", "lost", "failed", *["finished"] * 4,
    ]  # fmt: skip
    assert search.trials[3].params == search.trials[1].params
    assert len(counted(search.trials)) == 7
    assert [record.message for record in caplog.records] == [
        *(f"Trial {number}: its node n2 was lost; it runs again." for number in (1, 2, 4, 5)),
        "Trial 6: its node n2 was lost for the third time: it counts as failed.",
    ]


def test_what_an_interrupt_or_a_process_lost_is_no_lost_machine(search: Search) -> None:
    engine = Engine(search, 1)
    lost, died = MachineLost("its node n2 was lost"), ProcessLost("its process died")
    engine.faults = {1: lost, 2: died, 3: lost, 4: died}
    engine.run()
    assert statuses(search)[:6] == ["finished", "lost", "died", "lost", "failed", "finished"]


def test_a_search_that_cannot_go_on_lets_its_trials_end_after_their_epoch(search: Search) -> None:
    engine = Engine(search, 3)
    engine.faults = {0: ConstraintError("no trial has joules")}
    with pytest.raises(ConstraintError, match="no trial has joules"):
        engine.run()
    assert (engine.at_once, engine.interrupts) == ([3, 2, 1], 1)


def test_a_search_waits_while_no_place_is_there(search: Search) -> None:
    engine, waits = Engine(search, 1), [0, 0, 0]
    end = engine.ended

    def ended(seconds: float) -> list[TrialEnd]:
        return end(seconds) if engine.running else []

    engine.ended = ended  # type: ignore[method-assign]
    engine.places = lambda: waits.pop() if waits else 1  # type: ignore[method-assign]
    engine.run()
    assert statuses(search) == ["finished"] * 7


def test_a_search_that_is_interrupted_while_no_place_is_there_ends(search: Search) -> None:
    engine = Engine(search, 1)

    def ended(seconds: float) -> list[TrialEnd]:
        interrupt.interrupt()
        return []

    engine.ended = ended  # type: ignore[method-assign]
    engine.places = lambda: 0  # type: ignore[method-assign]
    engine.run()
    assert statuses(search) == []


def test_a_search_that_has_no_place_left_lets_its_trials_end_and_says_why(search: Search) -> None:
    engine = Engine(search, 3)

    def places() -> int:
        if len(engine.running) == 2:
            raise StudyError("node n1 has no space left")
        return 3

    engine.places = places  # type: ignore[method-assign]
    with pytest.raises(StudyError, match="node n1 has no space left"):
        engine.run()
    assert (engine.at_once, engine.interrupts) == ([2, 1], 1)


def test_a_place_that_comes_is_taken_before_a_trial_ends(search: Search) -> None:
    engine, workers = Engine(search, 1), iter([1, 1, 3])
    engine.places = lambda: engine.workers  # type: ignore[method-assign]
    end = engine.ended

    def ended(seconds: float) -> list[TrialEnd]:
        engine.workers = next(workers, 2)
        return [] if engine.workers == 3 else end(seconds)

    engine.ended = ended  # type: ignore[method-assign]
    engine.run()
    assert engine.at_once == [1, 1, 3, 2, 2, 2, 1]
    assert statuses(search) == ["finished"] * 7


def test_a_second_interrupt_ends_what_runs_and_is_no_death(
    search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("greensweep.search.loop._PATIENCE_SECONDS", 0.0)
    engine = Engine(search, 2)

    def ended(seconds: float) -> list[TrialEnd]:
        raise KeyboardInterrupt

    engine.ended = ended  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        engine.run()
    assert engine.interrupts == 2
    assert statuses(search) == ["stopped"] * 2
    assert [each.number for each in trials_so_far(search.study).left_to_repeat()] == [0, 1]


def test_what_breaks_before_its_task_is_a_failed_trial(search: Search) -> None:
    engine = Engine(search, 2)
    engine.faults = {2: StudyError("no such option")}
    engine.run()
    assert outcomes(search)[2].error == "no such option"
    assert statuses(search).count("failed") == 1


def test_an_interrupt_is_passed_on_once_and_starts_nothing_more(search: Search) -> None:
    engine = Engine(search, 3)
    engine.interrupted_after = 0
    with interrupt.graceful():
        engine.run()
    assert (engine.at_once, engine.interrupts) == ([3, 2, 1], 1)


def test_what_drawing_costs_is_known_while_trials_run(search: Search) -> None:
    purse, reserve = Purse(), search.queue.reserve

    def drawn() -> ReservedTrial | None:
        purse.spend(2.0)
        return reserve()

    search.queue.reserve = drawn  # type: ignore[method-assign]
    Engine(search, 1).run(SearchMeter(purse))
    assert between_trials(search.study) == 16.0  # seven trials, and that there is no eighth
