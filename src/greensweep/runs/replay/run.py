"""One run from a table: read the configuration's record, report it epoch by epoch, record."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from greensweep.config.schema import TrainConfig
from greensweep.energy import ComponentEnergy, EnergyReading, declared_grid
from greensweep.errors import StudyError
from greensweep.record.metered import energy_figures
from greensweep.record.recorded_run import RecordedRun, initial_result, recorded_run
from greensweep.record.reporting import Progress, report_progress
from greensweep.record.result import RunResult
from greensweep.record.summaries import HistoryPoint, Replayed, Split
from greensweep.record.tracked_names import history_metrics
from greensweep.runs.fit import Report
from greensweep.runs.replay.source import option_values, replay_model
from greensweep.runs.replay.table import RecordedPoint
from greensweep.tracking.tracker import Tracker

_SOURCE = "replay"  # as energy=replay calls its own

_START = RecordedPoint(epoch=0, accuracy=0.0, joules=0.0, seconds=0.0)


def replay_once(
    config: TrainConfig,
    directory: Path,
    *,
    tracker: Tracker,
    name: str = "run",
    trial: int | None = None,
    overrides: Iterable[str] = (),
    report: Report = report_progress,
) -> RunResult:
    """Answer a run from `config.replay.table` and leave `result.json` and `config.yaml`.

    It is recorded as `run_once` records a training, whose arguments these are, with the recorded
    joules as what it cost. A table without curves answers the last epoch only.

    Raises:
        TrialEnded: the search ended the run; likewise recorded, with the joules up to that epoch.
        GreensweepError: the table cannot be read, or does not answer; `result.json` says so.
        KeyboardInterrupt: the run was interrupted; likewise.
        OSError: the result cannot be written; the tracker has it.
    """
    points = [_START]
    history: list[HistoryPoint] = []
    began = time.monotonic()
    initial = initial_result(config, trial, overrides)
    with recorded_run(initial, asdict(config), directory, tracker, name) as run:
        try:
            for point in _recorded_epochs(config, run):
                history.append(_history_point(config.select_on, points[-1], point))
                points.append(point)
                tracker.log_step(history_metrics(history[-1], point.joules), step=point.epoch)
                seconds = time.monotonic() - began if point.seconds is None else point.seconds
                report(
                    Progress(
                        epoch=point.epoch,
                        accuracy=point.accuracy,
                        joules=point.joules,
                        spent_joules=point.joules,
                        epochs=config.training.epochs,
                        seconds=seconds,
                    )
                )
                patience = config.training.patience
                if patience is not None and point.epoch - _best(points[1:]).epoch >= patience:
                    break
        finally:
            figures = _figures(config, points[1:], time.monotonic() - began)
            run.note(history=tuple(history), **figures)
    return run.result


def _recorded_epochs(config: TrainConfig, run: RecordedRun) -> Sequence[RecordedPoint]:
    """Return what the table says of a run, epoch by epoch, and note where that comes from."""
    settings = config.replay
    assert settings is not None
    model = replay_model(config)
    answer = model.answer(option_values(config, model.table.dimensions), config.training.epochs)
    run.note(
        replayed=Replayed(
            table=settings.table,
            method=settings.method,
            where=dict(settings.where),
            line=answer.line,
            distance=answer.distance,
            outside=answer.outside,
            fault=answer.fault,
        )
    )
    if answer.outside and settings.outside == "refuse":
        raise StudyError(
            f"{settings.table} does not answer this run, since {answer.fault}: search what was "
            "recorded, or set replay.outside=mark"
        )
    return answer.curve


def _best(points: Sequence[RecordedPoint]) -> RecordedPoint:
    return max(points, key=lambda point: (point.accuracy, -point.epoch))


def _history_point(split: Split, before: RecordedPoint, point: RecordedPoint) -> HistoryPoint:
    return HistoryPoint(
        point.epoch,
        split=split,
        metrics={"loss": None, "accuracy": point.accuracy},
        seconds=None if point.seconds is None else point.seconds - (before.seconds or 0.0),
        energy_joules=point.joules - before.joules,
    )


def _figures(
    config: TrainConfig, points: Sequence[RecordedPoint], real_seconds: float
) -> dict[str, Any]:
    if not points:
        return {"seconds": real_seconds}
    assert config.replay is not None
    last = points[-1]
    kept = last if config.training.keep == "last" else _best(points)
    seconds = real_seconds if last.seconds is None else last.seconds
    energy = ComponentEnergy(last.joules, _SOURCE, "replayed")
    reading = EnergyReading(seconds, {config.replay.component: energy})
    return {
        f"{config.select_on}_accuracy": kept.accuracy,
        **energy_figures({"training": reading}, declared_grid(config.energy)),
        # A record knows of no machine, whoever shared it.
        "energy_basis": None,
        "energy_charged_joules": None,
        "epochs": last.epoch,
        "best_epoch": kept.epoch,
    }
