"""Run one trial of a search and record its end: values, energy, constraints."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from greensweep.energy import Meter, Window, shared_quality
from greensweep.errors import GreensweepError, MissingFigure, StudyError, TrialEnded, causes
from greensweep.files import read_as, was_put_aside, write_json
from greensweep.nested import to_json
from greensweep.record.ending import Ending, ctrl_c_or, ending_of, exits_well
from greensweep.record.left_open import left_open_ended
from greensweep.record.measuring import measured_by
from greensweep.record.reported import by_split, told_instead
from greensweep.record.reporting import monitored_by
from greensweep.record.result import RESULT_FILE, RunResult, find_result
from greensweep.search.constraints import broken_by, of_energy, refuse_unmetered
from greensweep.search.folders import TRIAL_FILE
from greensweep.search.heartbeats import beating
from greensweep.search.interrupt import terminated
from greensweep.search.monitor import TrialMonitor
from greensweep.search.optuna_internals import one_transaction, trial_of
from greensweep.search.own_trial import OwnTrial
from greensweep.search.patience import with_room
from greensweep.search.records import (
    OUTCOME,
    WHOLE_RUN,
    Outcome,
    ended_as,
    fidelity_of,
    is_enqueued,
    keep_all,
)
from greensweep.search.reports import forget_reports
from greensweep.search.shown import name_objectives, shown_outcome, shown_result
from greensweep.search.spec import SearchSpec

# What ends a task and is no `Exception`.
_ENDS = (KeyboardInterrupt, SystemExit, TrialEnded)

# Optuna's names of a trial's constraints begin so.
_CONSTRAINT = "constraints"


def run_trial(
    spec: SearchSpec,
    study: optuna.Study,
    number: int,
    task: Callable[[], Any],
    directory: Path,
    *,
    meter: Meter | None = None,
    search_joules: float | None = None,
    own: OwnTrial | None = None,
    tells: bool = True,
) -> Any:
    """Run a trial's task, record its end, and return what it returned; None if it ended early.

    Args:
        number: of the trial, which is running.
        task: returns the objective's value or values.
        directory: the trial's own folder.
        meter: measures the trial; None where the task measures itself.
        search_joules: what drawing the trial cost.
        own: leaves the trial's result; None where the task does.
        tells: the study how it ended; else its folder alone says so, and whoever gets that tells.

    Raises:
        Exception: what the task raised; the trial has failed.
        KeyboardInterrupt: the trial was ended from outside.
    """
    trial = trial_of(study, number)
    forget_reports(directory)
    monitor = TrialMonitor(spec, study, trial, search_joules, directory)
    began = time.monotonic()
    window: Window | None = None
    values: list[float] | None = None
    ending = Ending("finished")
    fault: BaseException | None = None
    returned: Any = None
    try:
        with ExitStack() as stack:
            stack.enter_context(beating(study, trial))
            stack.enter_context(monitored_by(monitor))
            if meter is not None:
                window = stack.enter_context(measured_by(meter, own.grid if own else None))
            stack.enter_context(left_open_ended())
            returned = _returned(task)
        if monitor.ended is not None:
            raise monitor.ended  # the program caught it
        if returned is None:
            returned = _reported_values(spec, monitor, window, directory)
        checked = checked_values(returned, len(spec.directions))
        _refuse_another_metric(spec, monitor, checked[0])
        values = checked
    except (Exception, *_ENDS) as raised:
        cause = _cause(raised, monitor.ended)
        ending = ending_of(cause)
        if ending.status == "failed" and terminated():  # its children got the signal, too
            ending = Ending("stopped", f"interrupted: {ending.error}", interrupted=True)
        elif isinstance(cause, SystemExit):
            fault = StudyError(str(ending.error))
        elif not isinstance(cause, TrialEnded):
            fault = cause
    figures = _figures(monitor, window, directory)
    outcome = Outcome(
        status=ending.status,
        error=ending.error,
        search_joules=search_joules,
        seconds=time.monotonic() - began,
        interrupted=ending.interrupted,
        **figures,
    )
    constraints: Mapping[str, float] = {}
    result = own.result(outcome, monitor, window, values) if own else find_result(directory)
    if outcome.status == "finished":
        try:
            refuse_unmetered(of_energy(spec), outcome.spent_joules)
            constraints = broken_by(spec.constraints, outcome, result)
        except StudyError as raised:
            outcome, fault = replace(outcome, status="failed", error=str(raised)), raised
    found: RunResult | None = None
    if own is not None and result is not None:
        result = replace(result, status=ended_as(outcome), error=outcome.error)
        found = with_room(directory, partial(own.leave, result))
    shown = shown_result(result, spec.directory)
    # First: what its folder says of it outlives a storage that is away.
    finish_trial(study, trial, outcome, values, directory, constraints, shown, tells=tells)
    if result is not None and outcome.status == "finished":
        name_objectives(spec, study, result)
    if own is not None and result is not None:
        own.track(result, found)  # a server may take its time: the trial has ended by then
    if result is not None:
        forget_reports(directory)
    if fault is not None:
        raise fault
    return returned


def _returned(task: Callable[[], Any]) -> Any:
    """Return what a task returns; None of one that ends itself well, by `sys.exit(0)`."""
    try:
        return task()
    except SystemExit as raised:
        if not exits_well(raised):
            raise
        return None


def finish_trial(
    study: optuna.Study,
    trial: FrozenTrial,
    outcome: Outcome,
    values: Sequence[float] | None,
    directory: Path,
    constraints: Mapping[str, float] = MappingProxyType({}),
    shown: Mapping[str, Any] = MappingProxyType({}),
    *,
    tells: bool = True,
) -> None:
    """Record how a trial ended: in its folder first, from where it can be read after a death.

    Args:
        shown: what dashboards show beside its outcome.
        tells: the study too.
    """
    if fidelity_of(trial):
        constraints = {**constraints, WHOLE_RUN: 1.0}
    if directory.is_dir():
        ended = EndedTrial(trial.number, outcome, values, constraints, is_enqueued(trial))
        with_room(directory, partial(write_json, directory / TRIAL_FILE, to_json(ended)))
    if not tells:
        return
    excesses = {f"{_CONSTRAINT}:{name}": value for name, value in constraints.items()}
    shown = {**shown_outcome(outcome), **shown}
    state = _state_of(outcome)
    with one_transaction(study):
        keep_all(study, trial, {OUTCOME: outcome.to_json()}, shown, excesses)
        study.tell(trial.number, list(values or []) if state is None else None, state)


def _state_of(outcome: Outcome) -> TrialState | None:
    """Return Optuna's state of a trial that did not finish; None for one that did."""
    if outcome.status == "finished":
        return None
    if outcome.status == "pruned" or (outcome.status == "stopped" and not outcome.interrupted):
        return TrialState.PRUNED
    return TrialState.FAIL


def checked_values(returned: Any, objectives: int) -> list[float]:
    """Return what a task returned as finite numbers, one per objective.

    Raises:
        StudyError: it returned something else.
    """
    plain = returned.tolist() if hasattr(returned, "tolist") else returned  # of NumPy, or PyTorch
    values = list(plain) if isinstance(plain, list | tuple) else [plain]
    needed = "a number" if objectives == 1 else f"{objectives} numbers"
    try:
        numbers = [float(value) for value in values]
    except (TypeError, ValueError) as error:
        raise StudyError(
            f"the program returned {returned!r}, where the search needs {needed}"
        ) from error
    if len(numbers) != objectives:
        raise StudyError(
            f"the program returned {len(numbers)} values, where the search needs {needed}, as "
            "hydra.sweeper.direction says"
        )
    if not all(map(math.isfinite, numbers)):
        raise StudyError(f"the program returned {returned!r}, which is not finite")
    return numbers


@dataclass(frozen=True)
class EndedTrial:
    """What a search left in the folder of a trial that ended.

    Attributes:
        constraints: by how much it breaks each; above 0 is broken.
        enqueued: its point is one to start from, and was not drawn.
    """

    number: int
    outcome: Outcome
    values: Sequence[float] | None
    constraints: Mapping[str, float] = field(default_factory=dict)
    enqueued: bool = False

    @property
    def broken(self) -> tuple[str, ...]:
        """The constraints that it breaks, `whole_run` of a cheaper run among them."""
        return tuple(name for name, excess in self.constraints.items() if excess > 0)


def read_trial_file(directory: Path) -> EndedTrial | None:
    """Read how the trial in a folder ended; None where no search has finished it."""
    return read_as(EndedTrial, directory / TRIAL_FILE)


def broken_in(directory: Path, ended: EndedTrial | None) -> tuple[str, ...]:
    """Return what keeps a trial from being the best: its constraints, or files that broke.

    Of one whose own file is broken nobody knows that it keeps them.
    """
    files = [name for name in (TRIAL_FILE, RESULT_FILE) if was_put_aside(directory / name)]
    left_out = tuple(f"{name} broken" for name in files if not (directory / name).is_file())
    return left_out + (ended.broken if ended else ())


def figures_of_result(result: RunResult) -> dict[str, Any]:
    """Return the figures of an `Outcome` that a run's own result states."""
    is_accuracy = result.objective_metric == "accuracy"
    quality = result.energy_quality
    if quality == "unmeasured":  # it ended before it trained: what it spent is of other phases
        quality = shared_quality(each.quality for each in result.energy_phases.values())
    return {
        "accuracy": result.accuracy,
        "metric_value": None if is_accuracy else result.objective_value,
        "metric": result.objective_metric,
        "joules": result.energy_joules,
        "uncertainty_joules": result.energy_uncertainty_joules,
        "spent_joules": result.energy_spent_joules,
        "quality": quality,
        "epochs": result.epochs,
    }


def _reported_values(
    spec: SearchSpec, monitor: TrialMonitor, window: Window | None, directory: Path
) -> list[float] | None:
    """Return the objectives of a program that returns nothing: its metric, and its joules.

    Raises:
        StudyError: it reported no number of the metric that the search is for.
        MissingFigure: nor anything by its name, but others.
    """
    figures = _figures(monitor, window, directory)
    value = figures.get("accuracy" if monitor.metric == "accuracy" else "metric_value")
    names = [*by_split(monitor.metrics)[0]]
    if value is None and spec.metric is not None:
        said = (
            f"the program returned nothing and reported no {spec.metric} that is a number, which "
            "hydra.sweeper.metric searches for"
        )
        if names and spec.metric not in names:
            raise MissingFigure(f"{said}: {told_instead(spec.metric, names)}")
        # It is not undefined after this trial, but never told.
        fault = MissingFigure if monitor.last is None else StudyError
        raise fault(f"{said}: report it, or return it")
    if value is None and monitor.last is None:
        raise MissingFigure(
            "the program returned nothing and reported no metric: return the objective's value, "
            "or report it, as greensweep.report(epoch=1, accuracy=0.9)"
        )
    found = [value, figures.get("joules")] if spec.weighs_energy else [value]
    known = [float(each) for each in found if each is not None]
    return known if len(known) == len(spec.directions) else None


def _refuse_another_metric(spec: SearchSpec, monitor: TrialMonitor, value: float) -> None:
    """Raise MissingFigure where a program returned a metric, and the search is for another."""
    told: dict[str, set[float]] = {}
    for report in monitor.reports:
        for name, each in by_split(report.progress.metrics)[0].items():
            told.setdefault(name, set()).update([] if each is None else [each])
    named = told.get(str(spec.metric), set())
    others = [name for name in told if name != spec.metric and value in told[name]]
    # A program may return its metric rounded, or of other weights than it reported.
    is_named = any(math.isclose(value, each, rel_tol=0.01) for each in named)
    if spec.metric is None or is_named or not others:
        return
    raise MissingFigure(
        f"the program returned {value:.4g}, its {others[0]}, and hydra.sweeper.metric="
        f"{spec.metric} searches for another: return that or nothing, or set "
        f"hydra.sweeper.metric={others[0]}"
    )


def _figures(monitor: TrialMonitor, window: Window | None, directory: Path) -> dict[str, Any]:
    """What is known of a trial: from its own result file, else from the meter and its reports."""
    last = monitor.last
    figures: dict[str, Any] = {"curve": tuple(monitor.curve), "repeats": tuple(monitor.repeats)}
    if last is not None:
        figures |= {
            **monitor.figures(),
            "joules": last.joules,
            "spent_joules": last.spent_joules,
            "epochs": last.epoch,
            "epochs_planned": last.epochs,
        }
    result = find_result(directory)
    if result is not None:
        figures |= figures_of_result(result)
    elif last is not None and last.window is not None:
        figures |= _energy_of(last.window)
    if window is not None:
        # A program may report joules of its own, of a device that the meter does not see, and its
        # run may be a part of the trial.
        known = [figures.get("spent_joules"), window.joules]
        spent = max((each for each in known if each is not None), default=None)
        figures |= {"spent_joules": spent, "quality": window.reading.quality}
        if "joules" not in figures:
            figures |= _energy_of(window)
    return figures


def _energy_of(window: Window) -> dict[str, Any]:
    return {"joules": window.joules, "uncertainty_joules": window.uncertainty_joules}


def _cause(raised: BaseException, end: BaseException | None) -> BaseException:
    """Return what ended a task: what it raised, or what that was raised because of.

    That is the end of the trial where the task wrapped it up, and Ctrl-C where a library exits.
    """
    raised = ctrl_c_or(raised)
    is_its_own = not isinstance(raised, GreensweepError | KeyboardInterrupt | SystemExit)
    follows = any(each is end for each in causes(raised))
    return end if end is not None and is_its_own and follows else raised
