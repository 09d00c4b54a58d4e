"""One run from a table: read the configuration's record, report it epoch by epoch, record."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from greensweep.config import TrainConfig, save_run_config
from greensweep.energy import ComponentEnergy, EnergyReading, declared_grid
from greensweep.errors import GreensweepError, StudyError, TrialEnded, first_line
from greensweep.models import model_name
from greensweep.record.reporting import Progress, report_progress
from greensweep.record.result import CONFIG_FILE, RunResult, Status, history_metrics
from greensweep.runs.once import Report, record
from greensweep.runs.replay.source import option_values, replay_model
from greensweep.runs.replay.table import Point
from greensweep.secrets import masked
from greensweep.tracking import Tracker, flat, provenance

# What energy=replay calls its source, too.
REPLAY_SOURCE = "replay"


@dataclass
class _Notes:
    """What has been replayed so far; a run that breaks off leaves what it has."""

    replayed: dict[str, Any] = field(default_factory=dict)
    points: list[Point] = field(default_factory=list)


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
    notes = _Notes()
    directory.mkdir(parents=True, exist_ok=True)
    config_file = directory / CONFIG_FILE
    save_run_config(config, config_file)
    status: Status = "failed"
    error: str | None = None
    origin = provenance(config.dataset.name)
    began = time.monotonic()
    try:
        tracker.start(name, flat(masked(asdict(config))), origin)
        _replay(config, notes, tracker, report, began)
        status = "finished"
    except KeyboardInterrupt:
        status, error = "stopped", f"interrupted in epoch {len(notes.points) + 1}"
        raise
    except TrialEnded as ended:
        status, error = ended.status, str(ended)
        raise
    except GreensweepError as fault:
        error = str(fault)
        raise
    except Exception as fault:
        error = f"{type(fault).__name__}: {first_line(fault)}"
        raise
    finally:
        result = replace(
            _result(config, notes, time.monotonic() - began),
            status=status,
            error=error,
            trial=trial,
            overrides=tuple(overrides),
            provenance=origin,
            mlflow_run_id=tracker.run_id,
        )
        record(result, directory, tracker, [config_file])
    return result


def _replay(
    config: TrainConfig, notes: _Notes, tracker: Tracker, report: Report, began: float
) -> None:
    training, settings = config.training, config.replay
    assert settings is not None
    model = replay_model(config)
    answer = model.answer(option_values(config, model.table.dimensions), training.epochs)
    notes.replayed = {
        "table": settings.table,
        "method": settings.method,
        "where": dict(settings.where),
        "line": answer.line,
        "distance": answer.distance,
        "outside": answer.outside,
        "fault": answer.fault,
    }
    if answer.outside and settings.outside == "refuse":
        raise StudyError(
            f"{settings.table} does not answer this run, since {answer.fault}: search what was "
            "recorded, or set replay.outside=mark"
        )
    for point in answer.curve:
        notes.points.append(point)
        tracker.log_step(history_metrics(_history(config, notes.points)[-1]), step=point.epoch)
        report(
            Progress(
                epoch=point.epoch,
                accuracy=point.accuracy,
                joules=point.joules,
                spent_joules=point.joules,
                epochs=training.epochs,
                seconds=time.monotonic() - began if point.seconds is None else point.seconds,
            )
        )
        best = _best(notes.points)
        if training.patience is not None and point.epoch - best.epoch >= training.patience:
            break


def _best(points: Sequence[Point]) -> Point:
    return max(points, key=lambda point: (point.accuracy, -point.epoch))


def _history(config: TrainConfig, points: Sequence[Point]) -> list[dict[str, float | None]]:
    history: list[dict[str, float | None]] = []
    joules, seconds = 0.0, 0.0
    for point in points:
        history.append(
            {
                "epoch": point.epoch,
                "train_loss": None,
                f"{config.select_on}_loss": None,
                f"{config.select_on}_accuracy": point.accuracy,
                "energy_joules": point.joules - joules,
                "seconds": None if point.seconds is None else point.seconds - seconds,
            }
        )
        joules, seconds = point.joules, point.seconds or 0.0
    return history


def _result(config: TrainConfig, notes: _Notes, real_seconds: float) -> RunResult:
    assert config.replay is not None
    run = RunResult(
        status="finished",
        error=None,
        model=model_name(config.model),
        dataset=config.dataset.name,
        seed=config.seed,
        seconds=real_seconds,
        replayed=notes.replayed,
        selected_on_test=config.select_on == "test",
    )
    if not notes.points:
        return run
    last = notes.points[-1]
    kept = last if config.training.keep == "last" else _best(notes.points)
    seconds = real_seconds if last.seconds is None else last.seconds
    energy = ComponentEnergy(last.joules, REPLAY_SOURCE, "replayed")
    reading = EnergyReading(seconds, {config.replay.component: energy})
    grid = declared_grid(config.energy)
    return replace(
        run,
        validation_accuracy=None if run.selected_on_test else kept.accuracy,
        test_accuracy=kept.accuracy if run.selected_on_test else None,
        energy_joules=reading.joules,
        energy_spent_joules=reading.joules,
        energy_kwh=reading.kwh,
        energy_components={name: part.summary() for name, part in reading.components.items()},
        energy_quality=reading.quality,
        energy_measured_share=reading.measured_share,
        energy_constant_share=reading.constant_share,
        energy_phases={
            "training": {
                "joules": reading.joules,
                "net_joules": None,
                "seconds": seconds,
                "quality": reading.quality,
            }
        },
        emissions_kg=grid.emissions_kg(reading.kwh) if grid else None,
        emissions_grid=grid.declared if grid else None,
        seconds=seconds,
        epochs=last.epoch,
        best_epoch=kept.epoch,
        history=tuple(_history(config, notes.points)),
    )
