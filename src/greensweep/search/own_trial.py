"""What a search leaves of a trial of a program of one's own: a result, as our own runs leave one.

The program may leave it itself, by `greensweep.run`; else it is made of what the search measured
and was told.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from greensweep.config.store import save_run_config
from greensweep.energy import EnergyReading, Grid, Window
from greensweep.energy.phases import BETWEEN
from greensweep.energy.units import JOULES_PER_KWH
from greensweep.record.metered import energy_figures
from greensweep.record.recorded_run import record_result
from greensweep.record.reported import OBJECTIVE, by_split, known_direction
from greensweep.record.result import (
    CONFIG_FILE,
    RESULT_FILE,
    RunResult,
    find_result,
    write_result,
)
from greensweep.record.summaries import PhaseSummary
from greensweep.record.tracked_names import tracked_history, tracked_metrics, tracked_params
from greensweep.search.monitor import TrialMonitor
from greensweep.search.patience import with_room
from greensweep.search.records import Outcome, ended_as
from greensweep.search.reports import history_of
from greensweep.tracking.choice import tracking_of_sweep
from greensweep.tracking.mlflow_tracker import open_store
from greensweep.tracking.provenance import provenance
from greensweep.tracking.tracker import Tracker


@dataclass
class OwnTrial:
    """A trial of a program of one's own.

    Attributes:
        initial: what is known of it before it runs.
        config: the program's options, plain data.
        directory: the trial's own.
        tracker: not yet started.
        grid: that feeds the machine, where one was declared.
    """

    initial: RunResult
    config: Mapping[str, Any]
    directory: Path
    tracker: Tracker
    grid: Grid | None = None

    def begin(self) -> None:
        """Leave the program's options, also of a trial whose process will die.

        Raises:
            OSError: they cannot be written.
        """
        save_run_config(self.config, self.directory / CONFIG_FILE)

    def result(
        self,
        outcome: Outcome,
        monitor: TrialMonitor,
        window: Window | None,
        values: Sequence[float] | None,
    ) -> RunResult:
        """Return the trial's result, the program's own where it left one.

        Args:
            window: of all that the trial did; None where it was not measured.
            values: that it returned.
        """
        found = find_result(self.directory)
        result = self._made(outcome, monitor, window) if found is None else found
        result = replace(result, status=ended_as(outcome), error=outcome.error)
        if window is not None and (outcome.spent_joules or 0.0) > (result.energy_spent_joules or 0):
            result = _with_the_rest(result, outcome.spent_joules or 0.0, window)
        if self.grid is not None and result.emissions_grid in (None, self.grid.declared):
            spent = (result.energy_spent_joules or 0.0) / JOULES_PER_KWH
            result = replace(
                result,
                emissions_kg=self.grid.emissions_kg(result.energy_kwh),
                emissions_spent_kg=self.grid.emissions_kg(spent or None),
                emissions_grid=self.grid.declared,
            )
        if values is None:
            return result
        return _with_others(_with_objective(result, values[0]), values)

    def _made(self, outcome: Outcome, monitor: TrialMonitor, window: Window | None) -> RunResult:
        reading = _training(monitor, window)
        figures = energy_figures({} if reading is None else {"training": reading}, self.grid)
        joules = outcome.joules
        if joules != figures["energy_joules"]:  # the program told its own, as of another device
            quality = "unmeasured" if joules is None else outcome.quality
            figures = {
                "energy_joules": joules,
                "energy_kwh": None if joules is None else joules / JOULES_PER_KWH,
                "energy_quality": quality,
                "energy_spent_joules": joules,
            }
        validation, others = by_split(outcome.metrics)
        test = {name.removeprefix("test_"): v for name, v in others.items() if name[:5] == "test_"}
        last = monitor.last
        if last is not None and last.value is not None:
            validation[OBJECTIVE] = last.value
            metric = OBJECTIVE
        else:
            metric = monitor.metric if monitor.metric in validation else OBJECTIVE
        direction = None if monitor.is_named else known_direction(metric)
        return replace(
            self.initial,
            **{**figures, "seconds": figures.get("seconds") or outcome.seconds},
            metrics={"validation": validation} | ({"test": test} if test else {}),
            validation_accuracy=validation.get("accuracy"),
            test_accuracy=test.get("accuracy"),
            objective_metric=metric,
            objective_direction=direction or self.initial.objective_direction,
            epochs=outcome.epochs,
            history=history_of(monitor.reports),
            provenance=provenance(self.initial.dataset),
        )

    def leave(self, result: RunResult) -> RunResult | None:
        """Write a result, in place of the program's own, which is returned; None where it has none.

        Raises:
            OSError: it cannot be written.
        """
        found = find_result(self.directory)
        write_result(result, self.directory)
        return found

    def track(self, result: RunResult, found: RunResult | None) -> None:
        """Record a result that was left, and in the storage, with its tracker.

        Args:
            found: what the program left, and tracked itself.

        Raises:
            OSError: a file cannot be written.
        """
        if found is not None:
            _amend_tracked(found, result, self.directory / RESULT_FILE)
            return
        name = f"trial {result.trial}"
        self.tracker.start(name, tracked_params(self.config, result), result.provenance)
        result = replace(result, mlflow_run_id=self.tracker.run_id)
        if result.mlflow_run_id is not None:  # at once: what is sent later goes into this run
            pending = replace(result, mlflow_incomplete=True)
            with_room(self.directory, lambda: write_result(pending, self.directory))
        history = result.history
        for point, metrics in zip(history, tracked_history(history), strict=True):
            self.tracker.log_step(metrics, point.epoch)
        record_result(result, self.directory, self.tracker, [self.directory / CONFIG_FILE])


def _amend_tracked(found: RunResult, result: RunResult, file: Path) -> None:
    """Let the run that the program tracked have what its search knows besides.

    Args:
        file: holds the result, in the trial's folder.
    """
    run_id, known = found.mlflow_run_id, tracked_metrics(found)
    if run_id is None or found.mlflow_incomplete:
        return
    store = open_store(tracking_of_sweep(file.parents[1]))
    if store is not None:
        told = {name: v for name, v in tracked_metrics(result).items() if known.get(name) != v}
        step = max((point.epoch for point in result.history), default=0)
        store.attempt(lambda: store.log_now(run_id, told, step))
        store.attempt(lambda: store.log_files(run_id, [file]))


def _training(monitor: TrialMonitor, window: Window | None) -> EnergyReading | None:
    """Return what the program measured around its reports, else all that the trial did."""
    last = monitor.last
    measured = last.window if last is not None and last.window is not None else window
    return None if measured is None else measured.reading.settled()


def _with_the_rest(result: RunResult, spent_joules: float, window: Window) -> RunResult:
    """Return a result with what the trial did around the program's run, or its measurement."""
    known = result.energy_phases.get(BETWEEN, PhaseSummary())
    measured = sum(each.seconds for each in result.energy_phases.values())
    rest = spent_joules - (result.energy_spent_joules or 0.0)
    kilograms = result.emissions_spent_kg
    if kilograms is not None and result.energy_spent_joules:  # on the program's own grid
        kilograms *= spent_joules / result.energy_spent_joules
    between = PhaseSummary(
        joules=(known.joules or 0.0) + rest,
        seconds=known.seconds + max(window.seconds - measured, 0.0),
        quality=window.quality,
    )
    phases = {**result.energy_phases, BETWEEN: between}
    return replace(
        result,
        energy_spent_joules=spent_joules,
        emissions_spent_kg=kilograms,
        energy_phases=phases,
    )


def _with_others(result: RunResult, values: Sequence[float]) -> RunResult:
    """Return a result that holds the further objectives that no other figure of it is."""
    metrics = dict(result.metrics.get("validation", {}))
    energies = result.energy_joules, result.energy_spent_joules, result.energy_kwh
    for number, value in enumerate(values[1:], start=2):
        if value not in (*metrics.values(), *energies, result.seconds, result.emissions_kg):
            metrics[f"{OBJECTIVE}_{number}"] = value
    return replace(result, metrics={**result.metrics, "validation": metrics})


def _with_objective(result: RunResult, value: float) -> RunResult:
    """Return a result that holds what the program returned to the search.

    Where that is the metric as it was reported after an earlier epoch, it is the metric: of that
    epoch's weights. Else it stands beside it.
    """
    metric, metrics = result.objective_metric, dict(result.metrics.get("validation", {}))
    reported = [point.metrics.get(metric) for point in result.history]
    if metrics.get(metric) == value:
        return result
    is_metric = value in reported
    metrics[metric if is_metric else OBJECTIVE] = value
    figures: dict[str, Any] = {"metrics": {**result.metrics, "validation": metrics}}
    if is_metric:
        figures["best_epoch"] = result.history[reported.index(value)].epoch
    if metric not in metrics:
        figures["objective_metric"] = OBJECTIVE
    return replace(result, **figures, validation_accuracy=metrics.get("accuracy"))
