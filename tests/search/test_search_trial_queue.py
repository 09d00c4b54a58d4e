"""A study hands out each trial once, up to the total, across deaths, interrupts and resumes."""

import multiprocessing
import threading
import time
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import InMemoryStorage, RDBStorage
from optuna.trial import FrozenTrial, TrialState
from searches import (
    RANDOM,
    RATE,
    SPACE,
    Search,
    kill,
    outcomes,
    set_attribute,
    spec,
    task_of_epochs,
)

from greensweep.config.sweeper import BudgetConfig
from greensweep.errors import StudyError
from greensweep.record.reporting import report
from greensweep.record.result import RunResult, write_result
from greensweep.search import interrupt, recovery
from greensweep.search.optuna_internals import trial_of
from greensweep.search.records import (
    OUTCOME,
    OWNER,
    PROGRESS,
    Outcome,
    counted,
    inherited,
    kept,
    outcome_of,
    owner_of,
    this_process,
)
from greensweep.search.recovery import Recovery
from greensweep.search.reports import history_of, read_reports
from greensweep.search.spec import SearchSpec
from greensweep.search.storage import open_storage, open_study
from greensweep.search.storage_internals import TrialStorage
from greensweep.search.trial import TRIAL_FILE, finish_trial, write_json
from greensweep.search.trial_queue import ReservedTrial, TrialQueue

GRID = ("optuna.samplers.GridSampler", {})
GRID_SPACE = {"a": CategoricalDistribution([1, 2, 3]), "b": CategoricalDistribution(["x", "y"])}
SCALED = "greensweep.search.samplers.ScaledTPESampler"


def value_of(params: Any) -> float:
    return float(params["width"])


def count(search: Search) -> int:
    return len(counted(search.trials))


# The total


def test_a_search_runs_the_asked_total_and_no_more_when_given_again(tmp_path: Path) -> None:
    first = Search(spec(tmp_path, 3, sampler=RANDOM), value_of)
    assert first.run() is None
    again = Search(spec(tmp_path, 3, sampler=RANDOM), value_of)
    assert again.run() is None
    assert again.states() == ["COMPLETE"] * 3


def test_a_larger_total_adds_the_difference(tmp_path: Path) -> None:
    Search(spec(tmp_path, 3, sampler=RANDOM), value_of).run()
    more = Search(spec(tmp_path, 5, sampler=RANDOM), value_of)
    more.run()
    assert [trial.number for trial in more.trials] == [0, 1, 2, 3, 4]
    fewer = Search(spec(tmp_path, 2, sampler=RANDOM), value_of)
    assert fewer.run() is None
    assert len(fewer.trials) == 5


def test_failed_trials_count_towards_the_total(tmp_path: Path) -> None:
    def task(params: Any) -> float:
        raise ValueError("no")

    search = Search(spec(tmp_path, 2, sampler=RANDOM), task)
    for _ in range(2):
        with pytest.raises(ValueError, match="no"):
            search.run_one(search.take())
    assert search.queue.reserve() is None


def test_too_many_failures_end_the_search(tmp_path: Path) -> None:
    def task(params: Any) -> float:
        raise ValueError("no")

    search = Search(spec(tmp_path, 9, sampler=RANDOM, max_failure_rate=0.5), task)
    with pytest.raises(ValueError, match="no"):
        search.run_one(search.take())
    assert search.queue.reserve() is None
    assert search.queue.ended() == (
        "1 of 1 trial failed, more than hydra.sweeper.max_failure_rate=0.5 allows"
    )


# Deaths


def test_a_dead_trial_runs_again_once_with_its_parameters(tmp_path: Path) -> None:
    search = Search(spec(tmp_path, 3, sampler=RANDOM), value_of)
    search.run(1)
    died = search.take()
    kill(search, died)
    resumed = Search(search.spec, value_of)
    assert resumed.states() == ["COMPLETE", "FAIL", "WAITING"]
    assert outcome_of(resumed.trials[1]) == Outcome("died", "its process died")
    again = resumed.take()
    assert again.number == 2
    assert again.params == died.params
    resumed.run_one(again)
    resumed.run()
    assert resumed.states() == ["COMPLETE", "FAIL", "COMPLETE", "COMPLETE"]
    assert resumed.trials[2].system_attrs["retry_history"] == [1]
    assert resumed.trials[2].system_attrs["failed_trial"] == 1
    assert count(resumed) == 3


def test_a_trial_that_dies_twice_counts_as_failed(tmp_path: Path) -> None:
    search = Search(spec(tmp_path, 2, sampler=RANDOM), value_of)
    for _ in range(2):
        kill(search, search.take())
    other = search.take()  # settles the second death, and draws the next
    assert search.states() == ["FAIL", "FAIL", "RUNNING"]
    assert [trial.number for trial in counted(search.trials)] == [1, 2]
    assert search.trials[1].params == search.trials[0].params != other.params
    search.run_one(other)
    assert search.queue.reserve() is None


def test_a_trial_that_was_interrupted_may_still_die_once(tmp_path: Path) -> None:
    search = Search(spec(tmp_path, 2, sampler=RANDOM), value_of)
    first = search.take()
    stopped = Outcome("stopped", "interrupted", interrupted=True)
    finish_trial(search.study, trial_of(search.study, 0), stopped, None, search.folder(0))
    search = Search(search.spec, value_of)
    kill(search, search.take())
    third = search.take()
    assert third.params == first.params
    assert third.number == 2
    assert search.trials[2].system_attrs["retry_history"] == [0, 1]
    assert search.trials[2].system_attrs["failed_trial"] == 0  # by which Optuna's pages know it


def test_a_repeat_begins_without_the_constraints_that_the_dead_trial_broke(tmp_path: Path) -> None:
    search = Search(spec(tmp_path, 3, sampler=RANDOM), value_of)
    died = search.take()
    trial = trial_of(search.study, died.number)  # it died while its end was being written
    search.study._storage.set_trial_system_attr(trial._trial_id, "constraints:max_seconds", 5.0)
    kill(search, died)
    again = search.take()
    search.run_one(again)
    assert again.params == died.params
    assert search.trials[again.number].constraints == {}


def test_what_a_dead_trial_last_reported_is_kept(tmp_path: Path) -> None:
    search = Search(spec(tmp_path, 2, sampler=RANDOM), value_of)
    died = search.take()
    known = {"epoch": 3, "epochs": 9, "accuracy": 0.5, "spent_joules": 7.0, "search_joules": 1.0}
    set_attribute(search, died.number, PROGRESS, {**known, "seconds": 2.0})
    kill(search, died)
    assert search.queue.recover_dead() == 1
    assert outcome_of(search.trials[0]) == Outcome(
        "died",
        "its process died after epoch 3",
        accuracy=0.5,
        spent_joules=7.0,
        search_joules=1.0,
        seconds=2.0,
        epochs=3,
        epochs_planned=9,
    )
    assert search.queue.recover_dead() == 0


class Killed(BaseException):
    """Ends a task as no program does."""


def test_each_epoch_that_a_dead_trial_reported_is_kept(tmp_path: Path) -> None:
    def task(_: Any) -> float:
        for epoch in (1, 2, 3):
            report(epoch=epoch, macro_f1=epoch / 4, train_loss=1.0, joules=7.0 * epoch, epochs=9)
        raise Killed

    search = Search(spec(tmp_path, 2, sampler=RANDOM), task)
    died = search.take()
    with pytest.raises(Killed):
        search.run_one(died)
    with (search.folder(0) / "reports.jsonl").open("a") as file:
        file.write('{"progress": {"epo')  # it died meanwhile
    kill(search, died)
    assert search.queue.recover_dead() == 1
    outcome = outcome_of(search.trials[0])
    assert outcome is not None
    assert (outcome.epochs, outcome.epochs_planned) == (3, 9)
    assert (outcome.joules, outcome.spent_joules) == (21.0, 21.0)
    assert outcome.metrics == {"macro_f1": 0.75, "train_loss": 1.0}
    history = history_of(read_reports(search.folder(0)))
    assert [(each.metrics["macro_f1"], each.energy_joules) for each in history] == [
        (0.25, 7.0), (0.5, 7.0), (0.75, 7.0)
    ]  # fmt: skip


def test_a_death_after_the_repeat_was_queued_queues_no_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = Search(spec(tmp_path, 2, sampler=RANDOM), value_of)
    kill(search, search.take())

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr("greensweep.search.recovery.finish_trial", killed)
        search.queue.recover_dead()
    assert search.states() == ["RUNNING", "WAITING"]
    resumed = Search(search.spec, value_of)
    assert resumed.states() == ["FAIL", "WAITING"]
    resumed.run()
    assert resumed.states() == ["FAIL", "COMPLETE", "COMPLETE"]


def test_a_trial_without_an_owner_is_dead_where_a_lock_tells(tmp_path: Path) -> None:
    search = Search(spec(tmp_path, 2, sampler=RANDOM), value_of)
    search.study.ask(dict(SPACE))
    resumed = Search(search.spec, value_of)
    assert resumed.states() == ["FAIL", "WAITING"]
    assert outcome_of(resumed.trials[0]) == Outcome("died", "its process died")


def test_a_trial_on_a_server_has_its_owner_before_it_is_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def die(*_: Any) -> None:
        raise Killed

    asked = spec(tmp_path, 4, sampler=RANDOM)
    search = Search(asked, task_of_epochs(1), open_storage(asked.storage))
    monkeypatch.setattr("greensweep.search.trial_queue.suggest", die)
    with pytest.raises(Killed):
        search.queue.reserve()
    (trial,) = search.study.get_trials()
    owner, here = owner_of(trial), this_process()
    assert trial.state == TrialState.RUNNING
    assert owner is not None and (owner.pid, owner.born) == (here.pid, here.born)
    assert "greensweep:drawer" not in inherited(trial)


def test_a_trial_half_drawn_is_drawn_whole_by_the_same_seed(tmp_path: Path) -> None:
    whole = Search(spec(tmp_path / "whole", 2, sampler=RANDOM), value_of)
    whole.run()
    search = Search(spec(tmp_path / "half", 2, sampler=RANDOM), value_of)
    search.study.sampler = search.spec.build_sampler(0)
    search.study.ask({"rate": RATE})  # dies here
    resumed = Search(search.spec, value_of)
    resumed.run()
    assert [each.params for each in counted(resumed.trials)] == whole.points()


@pytest.mark.parametrize("left", [{"rate": RATE}, SPACE], ids=["half", "whole"])
def test_a_draw_keeps_its_values_whatever_others_have_come_to_meanwhile(
    tmp_path: Path, left: dict[str, Any]
) -> None:
    search = Search(spec(tmp_path, 3, sampler=RANDOM), value_of)
    search.study.sampler = search.spec.build_sampler(7)  # as another worker, which dies here
    drawn = search.study.ask(left).params
    resumed = Search(search.spec, value_of)
    resumed.run()
    (again,) = [each for each in resumed.trials if "retry_history" in each.system_attrs]
    assert again.state.name == "COMPLETE"
    assert drawn.items() <= again.params.items()
    assert again.params.keys() == SPACE.keys()


@pytest.mark.parametrize("set_by", [0.0, 1.0, -1.0, 3600.0, -86400.0])
def test_a_living_trial_is_left_alone_when_the_clock_is_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, set_by: float
) -> None:
    search = Search(spec(tmp_path, 3, sampler=RANDOM), value_of)
    search.take()
    shift_the_clock(monkeypatch, set_by)
    other = Search(search.spec, value_of)
    assert other.queue.recover_dead() == 0
    assert other.take().number == 1
    assert other.states() == ["RUNNING", "RUNNING"]


def shift_the_clock(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Set the clock of the machine, as far as this process can tell."""
    booted, now = psutil.boot_time(), time.time
    monkeypatch.setattr(psutil._psplatform, "boot_time", lambda: booted + seconds)
    monkeypatch.setattr("time.time", lambda: now() + seconds)
    moved = type("Moved", (datetime,), {"now": lambda: datetime.now() + timedelta(0, seconds)})
    monkeypatch.setattr(recovery, "datetime", moved)


@pytest.mark.parametrize("set_by", [3600.0, 86400.0, -86400.0])
def test_a_trial_that_another_machine_draws_has_its_time_whatever_the_clocks_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, set_by: float
) -> None:
    search = Search(spec(tmp_path, 3, sampler=RANDOM), value_of)
    search.study.ask(dict(SPACE))  # by another machine, which holds no lock of this one
    shift_the_clock(monkeypatch, set_by)
    other = Recovery(elsewhere(tmp_path), search.study, lambda trial: tmp_path / str(trial.number))
    assert other.recover_dead() == 0
    later = time.monotonic() + 121.0
    monkeypatch.setattr("time.monotonic", lambda: later)
    assert other.recover_dead() == 1


def test_a_trial_left_without_an_owner_days_ago_is_dead_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = Search(spec(tmp_path, 3, sampler=RANDOM), value_of)
    search.study.ask(dict(SPACE))
    shift_the_clock(monkeypatch, 3 * 86400.0)
    assert Recovery(elsewhere(tmp_path), search.study, lambda _: tmp_path / "0").recover_dead() == 1


# Other machines


def elsewhere(folder: Path, n_trials: int = 3) -> SearchSpec:
    """A search whose study is on a server, where no lock of this machine holds others back."""
    asked = spec(folder, n_trials, sampler=RANDOM)
    return replace(asked, storage="postgresql://elsewhere/studies")


def server(folder: Path) -> RDBStorage:
    """A storage that notices which machines still live, as one on a server does."""
    return RDBStorage(f"sqlite:///{folder}/server.db", heartbeat_interval=30, grace_period=120)


@pytest.mark.filterwarnings("ignore:Argument ``heartbeat_interval``", "ignore:Heartbeat of storage")
@pytest.mark.parametrize(("silent_seconds", "is_dead"), [(30, False), (300, True)])
def test_a_trial_of_another_machine_is_dead_once_that_has_long_been_silent(
    tmp_path: Path, silent_seconds: int, is_dead: bool
) -> None:
    storage = server(tmp_path)
    search = Search(elsewhere(tmp_path), value_of, storage)
    reserved = search.take()
    owner = {"host": "another machine", "pid": 1, "born": "there"}
    set_attribute(search, reserved.number, OWNER, owner)
    assert search.queue.recover_dead() == 0  # nothing has been heard of it yet
    storage.record_heartbeat(trial_of(search.study, reserved.number)._trial_id)
    with storage.engine.begin() as connection:
        ago = f"datetime('now', '-{silent_seconds} seconds')"
        connection.exec_driver_sql(f"update trial_heartbeats set heartbeat = {ago}")
    assert search.queue.recover_dead() == is_dead
    assert search.states() == (["FAIL", "WAITING"] if is_dead else ["RUNNING"])


class Overtaken(InMemoryStorage):
    """A storage in which another machine takes a trial just before this one does."""

    faster: Search | None = None

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        other, self.faster = self.faster, None
        if other is not None:
            other.run(1)
        return super().create_new_trial(study_id, template_trial)


def test_a_trial_too_many_is_given_back_where_another_machine_was_faster(tmp_path: Path) -> None:
    storage = Overtaken()
    mine = Search(elsewhere(tmp_path / "here", 1), value_of, storage)
    storage.faster = Search(elsewhere(tmp_path / "there", 1), value_of, storage)
    assert mine.queue.reserve() is None
    assert mine.states() == ["COMPLETE", "FAIL"]
    withdrawn = outcome_of(mine.trials[1])
    assert withdrawn is not None
    assert (withdrawn.status, withdrawn.error) == ("withdrawn", "no trial of 1 is left")
    assert count(mine) == 1
    assert mine.queue.reserve() is None
    # What was given back is not lost: with a larger total it runs.
    more = Search(elsewhere(tmp_path / "here", 2), value_of, storage)
    assert more.run() is None
    assert more.points()[2] == more.points()[1]


def test_the_last_trial_of_a_study_on_a_server_runs_again_when_it_dies(tmp_path: Path) -> None:
    search = Search(elsewhere(tmp_path, 2), value_of, InMemoryStorage())
    search.run(1)
    kill(search, search.take())
    assert search.run() is None
    assert [each.status for each in outcomes(search) if each] == ["finished", "died", "finished"]


# Interrupts


def test_an_interrupted_trial_runs_again_and_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = Search(spec(tmp_path, 2, sampler=RANDOM), task_of_epochs(3))
    reserved = search.take()
    with monkeypatch.context() as patched:
        patched.setattr(interrupt, "_asked", True)
        search.run_one(reserved)
    ended = outcome_of(search.trials[0])
    assert ended is not None
    assert (ended.status, ended.error, ended.epochs) == ("stopped", "interrupted after epoch 1", 1)
    assert ended.spent_joules == pytest.approx(10.0 * reserved.params["width"] / 3)
    assert search.states() == ["FAIL"]
    assert count(search) == 0
    resumed = Search(search.spec, search.task)
    again = resumed.take()
    assert again.params == reserved.params
    resumed.run_one(again)
    resumed.run()
    assert resumed.states() == ["FAIL", "COMPLETE", "COMPLETE"]
    assert resumed.trials[1].system_attrs["retry_history"] == [0]
    third = Search(search.spec, search.task)
    assert third.states() == resumed.states()  # it is queued once


def test_another_command_takes_up_what_was_interrupted_while_it_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = Search(spec(tmp_path, 3, sampler=RANDOM), task_of_epochs(3))
    other = Search(one.spec, one.task)
    reserved = one.take()
    other.run_one(other.take())
    with monkeypatch.context() as patched:
        patched.setattr(interrupt, "_asked", True)
        one.run_one(reserved)
    other.run()
    assert other.states() == ["FAIL", "COMPLETE", "COMPLETE", "COMPLETE"]
    assert other.points()[2] == reserved.params
    assert other.trials[2].system_attrs["retry_history"] == [0]


# The budget


def costing_width(joules_of_one: float) -> Any:
    def task(params: Any) -> float:
        report(epoch=1, accuracy=0.5, joules=joules_of_one * params["width"], epochs=1)
        return 0.5

    return task


def test_a_trial_forecast_over_the_budget_runs_once_the_budget_is_raised(tmp_path: Path) -> None:
    space = {"width": IntDistribution(1, 8)}
    points = [{"width": 1}, {"width": 2}, {"width": 3}, {"width": 8}]
    asked = spec(
        tmp_path,
        5,
        sampler=RANDOM,
        distributions=space,
        enqueue=points,
        budget=BudgetConfig(joules=100.0),
    )
    search = Search(asked, costing_width(10.0))
    ended = search.run()
    assert ended == "80 J more, as forecast, would exceed the budget of 100 J"
    assert search.states() == ["COMPLETE"] * 3 + ["FAIL"]
    assert outcome_of(search.trials[3]) == Outcome("withdrawn", ended)
    assert search.queue.ended() == ended
    assert count(search) == 3
    raised = Search(replace(asked, budget=BudgetConfig(joules=1000.0)), costing_width(10.0))
    raised.run()
    assert [each.params["width"] for each in counted(raised.trials)][:4] == [1, 2, 3, 8]
    assert count(raised) == 5


def test_workers_that_run_out_of_budget_together_withdraw_a_point_once(tmp_path: Path) -> None:
    space = {"width": IntDistribution(1, 8)}
    asked = spec(
        tmp_path,
        6,
        sampler=RANDOM,
        distributions=space,
        enqueue=[{"width": 1}, {"width": 2}, {"width": 3}, {"width": 8}],
        budget=BudgetConfig(joules=100.0),
    )
    search = Search(asked, costing_width(10.0))
    ended = search.run()
    other = TrialQueue(asked, search.study, lambda trial: search.folder(trial.number))
    assert other.reserve() is None
    assert other.ended() == ended
    assert len(search.trials) == 4


# Adoption


def test_a_trial_that_ended_before_its_process_died_is_adopted(tmp_path: Path) -> None:
    search = Search(spec(tmp_path, 2, sampler=RANDOM), value_of)
    reserved = search.take()
    search.folder(0).mkdir()
    outcome = Outcome("finished", accuracy=0.75, joules=4.0, spent_joules=5.0, epochs=2)
    kept = {"number": 0, "values": [0.75], "outcome": outcome.to_json()}
    write_json(search.folder(0) / TRIAL_FILE, kept)
    kill(search, reserved)
    resumed = Search(search.spec, value_of)
    assert resumed.states() == ["COMPLETE"]
    assert resumed.trials[0].value == 0.75
    assert outcome_of(resumed.trials[0]) == outcome
    assert resumed.take().number == 1


def accuracy_or_refusal(result: RunResult) -> list[float]:
    if result.validation_accuracy is None:
        raise StudyError("the run has no accuracy to search for")
    return [result.validation_accuracy]


@pytest.mark.parametrize(
    ("status", "accuracy", "values_of", "states"),
    [
        ("finished", 0.75, accuracy_or_refusal, ["COMPLETE"]),
        ("finished", None, accuracy_or_refusal, ["FAIL", "WAITING"]),
        ("failed", 0.75, accuracy_or_refusal, ["FAIL", "WAITING"]),
        ("finished", 0.75, None, ["FAIL", "WAITING"]),  # of a program whose results say nothing
        (None, None, accuracy_or_refusal, ["FAIL", "WAITING"]),
    ],
)
def test_a_dead_trial_whose_run_left_its_result_is_finished_by_that(
    tmp_path: Path, status: Any, accuracy: float | None, values_of: Any, states: list[str]
) -> None:
    search = Search(spec(tmp_path, 2, sampler=RANDOM), value_of)
    kill(search, search.take())
    if status is not None:
        result = RunResult(
            *(status, None, "m", "d", 0),
            validation_accuracy=accuracy,
            energy_spent_joules=9.0,
            seconds=3.0,
        )
        search.folder(0).mkdir()
        write_result(result, search.folder(0))
    folder = search.queue.folder
    TrialQueue(search.spec, search.study, folder, values_of).prepare()
    assert search.states() == states
    outcome = outcome_of(search.trials[0])
    assert outcome is not None
    if states == ["COMPLETE"]:
        assert search.trials[0].value == 0.75
        assert (outcome.status, outcome.spent_joules, outcome.seconds) == ("finished", 9.0, 3.0)
    else:
        assert (outcome.status, outcome.spent_joules) == ("died", None)


@pytest.mark.parametrize(
    "at", [(TrialStorage, "_write"), (RDBStorage, "_set_trial_value_without_commit")]
)
def test_a_death_while_a_trial_is_settled_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: tuple[type, str]
) -> None:
    search = Search(
        spec(tmp_path, 2, sampler=RANDOM, constraints={"max_joules_per_run": 1e-3}),
        task_of_epochs(1),
    )
    reserved = search.take()

    def killed(*_: Any, **__: Any) -> None:
        raise SystemError("killed")

    with monkeypatch.context() as patched, pytest.raises(SystemError, match="killed"):
        patched.setattr(*at, killed)
        search.run_one(reserved)
    kill(search, reserved)
    resumed = Search(search.spec, search.task)
    assert resumed.states() == ["COMPLETE"]
    assert resumed.trials[0].value == pytest.approx(search.task(reserved.params))
    broken = 10.0 * reserved.params["width"] - 1e-3
    assert resumed.trials[0].constraints == {"max_joules_per_run": pytest.approx(broken)}


def test_an_unreadable_file_of_a_trial_is_no_result(tmp_path: Path) -> None:
    search = Search(spec(tmp_path, 2, sampler=RANDOM), value_of)
    reserved = search.take()
    search.folder(0).mkdir()
    (search.folder(0) / TRIAL_FILE).write_text('{"number": 0, "val')
    kill(search, reserved)
    assert Search(search.spec, value_of).states() == ["FAIL", "WAITING"]


# Another search under the same name


@pytest.mark.parametrize(
    ("changes", "difference"),
    [
        (
            {"distributions": {**SPACE, "rate": FloatDistribution(1e-4, 1e-1, log=True)}},
            "rate was 1e-05 to 0.1 on a log scale, is 0.0001 to 0.1 on a log scale",
        ),
        (
            {"distributions": {**SPACE, "rate": FloatDistribution(1e-5, 1e-1)}},
            "rate was 1e-05 to 0.1 on a log scale, is 1e-05 to 0.1",
        ),
        (
            {"distributions": {**SPACE, "width": IntDistribution(1, 8, step=7)}},
            "width was 1 to 8, is 1 to 8 in steps of 7",
        ),
        (
            {"distributions": {**SPACE, "width": FloatDistribution(1, 8)}},
            "width was 1 to 8, is 1 to 8 (FloatDistribution)",
        ),
        ({"distributions": {"rate": RATE}}, "width was 1 to 8, is not searched"),
        (
            {"distributions": {**SPACE, "depth": CategoricalDistribution([1, 2])}},
            "depth was not searched, is one of 1, 2",
        ),
        ({"fixed": ("seed=2",)}, "seed=1 is no longer set; seed=2 is new"),
        (
            {"constraints": {"min_accuracy": 0.5}},
            "constraints was {}, is {'min_accuracy': 0.5}",
        ),
        ({"price_per_kilojoule": 0.5}, "price_per_kilojoule was 0.0, is 0.5"),
    ],
)
def test_another_search_is_refused_with_the_difference(
    tmp_path: Path, changes: dict[str, Any], difference: str
) -> None:
    Search(spec(tmp_path, 1, sampler=RANDOM, fixed=("seed=1",)), value_of).run()
    changed = spec(tmp_path, 2, sampler=RANDOM, **{"fixed": ("seed=1",), **changes})
    with pytest.raises(StudyError) as refused:
        Search(changed, value_of)
    assert f"searched something else ({difference}): set hydra.sweeper.extend=true" in str(
        refused.value
    )


def test_extend_goes_on_with_a_wider_space(tmp_path: Path) -> None:
    Search(spec(tmp_path, 2, sampler=RANDOM), value_of).run()
    wider = {**SPACE, "width": IntDistribution(100, 200)}
    search = Search(spec(tmp_path, 4, sampler=RANDOM, distributions=wider, extend=True), value_of)
    search.run()
    assert [point["width"] >= 100 for point in search.points()] == [False, False, True, True]
    # What was extended is what the study searches from then on.
    again = Search(spec(tmp_path, 4, sampler=RANDOM, distributions=wider), value_of)
    assert again.run() is None


@pytest.mark.parametrize(
    "changed", [CategoricalDistribution(["a", "b", "c"]), FloatDistribution(0, 1)]
)
def test_extend_refuses_what_a_storage_cannot_mix(tmp_path: Path, changed: Any) -> None:
    def constant(params: Any) -> float:
        return 1.0

    kinds = {"kind": CategoricalDistribution(["a", "b"])}
    Search(spec(tmp_path, 1, sampler=RANDOM, distributions=kinds), constant).run()
    asked = spec(tmp_path, 2, sampler=RANDOM, distributions={"kind": changed}, extend=True)
    with pytest.raises(StudyError, match=r"kind was one of a, b, is .*study_name to a new name"):
        Search(asked, constant).run()


@pytest.mark.parametrize("extend", [False, True])
def test_other_objectives_are_always_refused(tmp_path: Path, extend: bool) -> None:
    Search(spec(tmp_path, 1, sampler=RANDOM), value_of).run()
    for directions in (("minimize",), ("maximize", "minimize")):
        asked = spec(tmp_path, 2, sampler=RANDOM, directions=directions, extend=extend)
        with pytest.raises(StudyError, match=r"directions was \['maximize'\], is .*cannot be mix"):
            Search(asked, value_of)


def test_a_study_of_another_program_is_refused(tmp_path: Path) -> None:
    import optuna

    asked = spec(tmp_path, 1)
    study = optuna.create_study(storage=asked.storage, study_name=asked.study_name)
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=1)
    with pytest.raises(StudyError, match="study is a study of another program"):
        open_study(asked, open_storage(asked.storage))


# Points to start from


def test_given_points_come_first_in_their_order(tmp_path: Path) -> None:
    points = [{"rate": 0.01, "width": 7}, {"rate": 0.001}]
    search = Search(spec(tmp_path, 3, sampler=RANDOM, enqueue=points), value_of)
    search.run()
    assert search.points()[0] == {"rate": 0.01, "width": 7}
    assert search.points()[1]["rate"] == 0.001
    resumed = Search(spec(tmp_path, 4, sampler=RANDOM, enqueue=points), value_of)
    resumed.run()
    assert [point["rate"] for point in resumed.points()].count(0.01) == 1


@pytest.mark.parametrize(
    ("point", "sentence"),
    [
        ({"rate": 0.5}, "rate=0.5 is outside of its space, 1e-05 to 0.1 on a log scale: widen it"),
        ({"rate": "fast"}, "enqueue: rate=fast is outside of its space"),
        ({"depth": 2}, "enqueue: depth is not searched: leave it out, or search it"),
        ({"width": 2.5}, "enqueue: width=2.5 is outside of its space, 1 to 8: widen"),
    ],
)
def test_a_point_outside_of_the_space_is_refused(
    tmp_path: Path, point: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(StudyError) as refused:
        Search(spec(tmp_path, enqueue=[{"rate": 0.01}, point]), value_of)
    assert sentence in str(refused.value)
    # Nothing was queued: the same command with the point mended starts with its first point.
    mended = Search(spec(tmp_path, enqueue=[{"rate": 0.01}]), value_of)
    assert mended.take().params["rate"] == 0.01


# Grids


def grid(folder: Path, n_trials: int, **changes: Any) -> Search:
    asked = spec(folder, n_trials, sampler=GRID, distributions=GRID_SPACE, **changes)
    return Search(asked, lambda params: float(params["a"]))


def test_a_grid_runs_each_point_once_and_ends_at_its_size(tmp_path: Path) -> None:
    search = grid(tmp_path, 100)
    assert search.run() is None
    assert search.states() == ["COMPLETE"] * 6
    found = sorted((point["a"], point["b"]) for point in search.points())
    assert found == [(a, b) for a in (1, 2, 3) for b in ("x", "y")]


def test_a_smaller_total_takes_a_seeded_subset_of_a_grid(tmp_path: Path) -> None:
    subsets = []
    for name, seed in (("one", 1), ("same", 1), ("other", 2), ("third", 3)):
        search = grid(tmp_path / name, 3, seed=seed)
        search.run()
        subsets.append(search.points())
    assert subsets[0] == subsets[1]
    assert len({str(subset) for subset in subsets}) > 1
    assert all(len({str(point) for point in subset}) == 3 for subset in subsets)


def test_a_grid_leaves_out_what_it_was_given_to_start_from(tmp_path: Path) -> None:
    search = grid(tmp_path, 100, enqueue=[{"a": 2, "b": "y"}])
    search.run()
    assert search.points()[0] == {"a": 2, "b": "y"}
    assert len({str(point) for point in search.points()}) == len(search.points()) == 6


def test_a_grid_goes_on_after_a_death(tmp_path: Path) -> None:
    search = grid(tmp_path, 100)
    search.run(2)
    kill(search, search.take())
    resumed = Search(search.spec, search.task)
    resumed.run()
    assert sorted(resumed.states()) == ["COMPLETE"] * 6 + ["FAIL"]
    done = [str(each.params) for each in counted(resumed.trials)]
    assert len(set(done)) == len(done) == 6


# Side by side


def test_two_threads_share_a_study_without_taking_a_trial_twice(tmp_path: Path) -> None:
    asked = spec(tmp_path, 12, sampler=RANDOM)
    Search(asked, value_of)
    taken: list[int] = []

    def work() -> None:
        mine = Search(asked, value_of)
        while isinstance(reserved := mine.queue.reserve(), ReservedTrial):
            taken.append(reserved.number)
            mine.run_one(reserved)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == list(range(12))
    assert Search(asked, value_of).states() == ["COMPLETE"] * 12


def _work(folder: Path, queue: Any) -> None:
    mine = Search(spec(folder, 10, sampler=RANDOM), value_of)
    while isinstance(reserved := mine.queue.reserve(), ReservedTrial):
        queue.put((reserved.number, reserved.params["rate"]))
        mine.run_one(reserved)


def test_two_processes_share_a_study_without_taking_a_trial_twice(tmp_path: Path) -> None:
    search = Search(spec(tmp_path, 10, sampler=RANDOM), value_of)
    search.run(1)
    search.study._storage.remove_session()
    fork = multiprocessing.get_context("fork")
    queue = fork.Queue()
    processes = [fork.Process(target=_work, args=(tmp_path, queue)) for _ in range(2)]
    for process in processes:
        process.start()
    taken = [queue.get(timeout=60) for _ in range(9)]
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0]
    assert queue.empty()
    assert sorted(number for number, _ in taken) == list(range(1, 10))
    # Drawn under the lock: no point twice, although both have the same seed.
    resumed = Search(search.spec, value_of)
    assert resumed.states() == ["COMPLETE"] * 10
    assert len({point["rate"] for point in resumed.points()}) == 10


def test_outcomes_of_other_sweepers_are_none(tmp_path: Path) -> None:
    search = Search(spec(tmp_path, 1, sampler=RANDOM), value_of)
    search.run()
    assert [outcome is not None for outcome in outcomes(search)] == [True]
    assert kept(search.trials[0], OUTCOME)


def test_a_point_that_is_none_of_the_choices_is_refused(tmp_path: Path) -> None:
    space = {"kind": CategoricalDistribution(["relu", "tanh"])}
    asked = spec(tmp_path, distributions=space, enqueue=[{"kind": "gelu"}])
    with pytest.raises(StudyError, match="kind=gelu is outside of its space, one of "):
        Search(asked, lambda _: 0.0)


def test_a_wrong_point_leaves_no_half_queue_and_later_points_are_tried(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="depth is not searched"):
        Search(spec(tmp_path, 9, enqueue=[{"width": 1}, {"depth": 1}]), value_of)
    first = Search(spec(tmp_path, 9, enqueue=[{"width": 2}, {"width": 3}]), value_of)
    first.run(2)
    assert [point["width"] for point in first.points()] == [2, 3]
    more = Search(spec(tmp_path, 9, enqueue=[{"width": 3}, {"width": 4}]), value_of)
    more.run(1)
    assert [point["width"] for point in more.points()] == [2, 3, 4]


def test_folders_that_share_a_file_share_its_lock(tmp_path: Path) -> None:
    """Two commands with sweep folders of their own may search one study."""
    here, there = tmp_path / "here", tmp_path / "there"
    for folder in (here, there):
        folder.mkdir()
    url = f"sqlite:///{tmp_path}/shared.db"
    mine, theirs = (spec(folder, storage=url) for folder in (here, there))
    assert mine.lock_file("claim") == theirs.lock_file("claim")
    assert mine.lock_file("claim").parent == tmp_path
    server = spec(here, storage="postgresql://ada@db/study")
    assert server.lock_file("claim").parent == here
    assert spec(here, storage=f"sqlite:///{tmp_path}/none/x.db").lock_file("claim").parent == here


@pytest.mark.parametrize("name", ["optuna.samplers.TPESampler", SCALED])
def test_tpe_takes_running_trials_for_bad_ones(tmp_path: Path, name: str) -> None:
    """Or workers, of this command or another, would draw the same points."""
    search = Search(spec(tmp_path, sampler=(name, {})), value_of)
    first = search.take()
    assert not search.study.sampler._constant_liar
    search.take()
    assert search.study.sampler._constant_liar
    search.run_one(first)
