"""Trials that an engine places: no batches, each ends once, and one that is lost runs again."""

from pathlib import Path

import pytest
from optuna.storages import InMemoryStorage
from searches import Purse, Search, outcomes, spec, task_of_epochs

from greensweep.errors import ProcessLost, StudyError
from greensweep.search import interrupt
from greensweep.search.budget import between_trials
from greensweep.search.loop import SearchMeter, run_trials_elsewhere
from greensweep.search.trial_queue import ReservedTrial

Ended = list[tuple[ReservedTrial, BaseException | None]]


class Engine:
    """Ends one after another of the trials that run, the first or last of them, and counts them."""

    def __init__(self, search: Search, place: int = 0) -> None:
        self.search, self.place = search, place
        self.running: list[ReservedTrial] = []
        self.at_once: list[int] = []
        self.faults: dict[int, BaseException] = {}  # instead of a run
        self.interrupted_after: int | None = None
        self.interrupts = 0

    def start(self, trial: ReservedTrial) -> None:
        self.running.append(trial)

    def ended(self, seconds: float) -> Ended:
        self.at_once.append(len(self.running))
        trial = self.running.pop(self.place)
        if (fault := self.faults.get(trial.number)) is None:
            self.search.run_one(trial)
        if self.interrupted_after == trial.number:
            interrupt.interrupt()
        return [(trial, fault)]

    def interrupt(self) -> None:
        self.interrupts += 1

    def run(self, workers: int, meter: SearchMeter | None = None) -> None:
        run_trials_elsewhere(self.search.queue, self, workers, meter or SearchMeter(None))


def statuses(search: Search) -> list[str]:
    return [outcome.status for outcome in outcomes(search)]


@pytest.fixture
def search(tmp_path: Path) -> Search:
    return Search(spec(tmp_path, 7), task_of_epochs(2), InMemoryStorage())


def test_a_free_place_takes_the_next_trial_at_once(search: Search) -> None:
    engine = Engine(search, place=-1)  # the first trials are the last to end
    engine.run(3)
    assert engine.at_once == [3, 3, 3, 3, 3, 2, 1]
    assert statuses(search) == ["finished"] * 7


def test_a_lost_trial_runs_again_and_fails_when_that_is_lost_too(search: Search) -> None:
    engine = Engine(search)
    engine.faults = dict.fromkeys((1, 3, 5), ProcessLost("its node was lost"))
    engine.run(2)
    assert statuses(search) == [
        "finished", "died", "finished", "failed", "finished", "died", "finished", "finished",
        "finished",
    ]  # fmt: skip
    assert search.trials[3].params == search.trials[1].params


def test_what_breaks_before_its_task_is_a_failed_trial(search: Search) -> None:
    engine = Engine(search)
    engine.faults = {2: StudyError("no such option")}
    engine.run(2)
    assert outcomes(search)[2].error == "no such option"
    assert statuses(search).count("failed") == 1


def test_an_interrupt_is_passed_on_once_and_starts_nothing_more(search: Search) -> None:
    engine = Engine(search)
    engine.interrupted_after = 0
    with interrupt.graceful():
        engine.run(3)
    assert (engine.at_once, engine.interrupts) == ([3, 2, 1], 1)


def test_what_drawing_costs_is_known_while_trials_run(search: Search) -> None:
    purse, reserve = Purse(), search.queue.reserve

    def drawn() -> ReservedTrial | None:
        purse.spend(2.0)
        return reserve()

    search.queue.reserve = drawn  # type: ignore[method-assign]
    Engine(search).run(1, SearchMeter(purse))
    assert between_trials(search.study) == 16.0  # seven trials, and that there is no eighth
