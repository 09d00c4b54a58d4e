"""One configuration trained with several seeds, as one run."""

from collections.abc import Iterable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

from greensweep.config import TrainConfig, save_run_config
from greensweep.energy import Meter, sum_joules
from greensweep.errors import GreensweepError, TrialEnded, first_line
from greensweep.record.reporting import Progress, report_progress, report_repeat
from greensweep.record.result import (
    CONFIG_FILE,
    REPEATS_FOLDER,
    RunResult,
    Status,
    read_results,
    repeat_directories,
)
from greensweep.runs.mean import mean_result
from greensweep.runs.once import ShowEpochs, record, run_once
from greensweep.secrets import masked
from greensweep.tracking import Tracker, flat, provenance


def run_repeats(
    config: TrainConfig,
    directory: Path,
    *,
    meter: Meter,
    tracker: Tracker,
    test: bool,
    name: str = "run",
    trial: int | None = None,
    overrides: Iterable[str] = (),
    show_epochs: ShowEpochs | None = None,
) -> RunResult:
    """Train `config.repeats` times, with seeds that follow each other, as one run.

    Each repeat has a folder and a tracked run of its own, below this run's; `result.json` of the
    run holds their means. A run of one training is `run_once`, whose arguments these are.

    Raises:
        GreensweepError: a repeat failed; the result says so and holds what all of them cost.
        KeyboardInterrupt: likewise.
        OSError: the result cannot be written; the tracker has it.
    """
    overrides = tuple(overrides)
    train_once = partial(
        run_once, meter=meter, test=test, overrides=overrides, show_epochs=show_epochs
    )
    if config.repeats == 1:
        return train_once(config, directory, tracker=tracker, name=name, trial=trial)
    directory.mkdir(parents=True, exist_ok=True)
    config_file = directory / CONFIG_FILE
    save_run_config(config, config_file)
    origin = provenance(config.dataset.name)
    status: Status = "failed"
    error: str | None = None
    spent: float | None = None
    number = 0
    try:
        tracker.start(name, flat(masked(asdict(config))), origin)
        for number in range(config.repeats):
            run = train_once(
                replace(config, seed=config.seed + number, repeats=1),
                directory / REPEATS_FOLDER / str(number),
                tracker=tracker.child(),
                name=f"{name}, repeat {number}",
                report=partial(_report_epoch, number, config.repeats, spent),
            )
            spent = sum_joules([spent, run.energy_spent_joules])
            report_repeat(
                Progress(
                    run.epochs,
                    run.accuracy,
                    run.energy_joules,
                    spent,
                    config.training.epochs,
                    repeat=number,
                    repeats=config.repeats,
                    seconds=run.seconds,
                )
            )
        status = "finished"
    except KeyboardInterrupt:
        status, error = "stopped", f"interrupted in repeat {number + 1} of {config.repeats}"
        raise
    except TrialEnded as ended:
        status, error = ended.status, f"repeat {number + 1} of {config.repeats}: {ended}"
        raise
    except Exception as fault:
        text = str(fault) if isinstance(fault, GreensweepError) else first_line(fault)
        error = f"repeat {number + 1} of {config.repeats} failed: {text}"
        raise
    finally:
        runs = list(read_results(repeat_directories(directory)).values())
        result = replace(
            mean_result(runs, config),
            status=status,
            error=error,
            trial=trial,
            overrides=overrides,
            provenance=origin,
            mlflow_run_id=tracker.run_id,
        )
        record(result, directory, tracker, [config_file])
    return result


def _report_epoch(
    number: int, repeats: int, spent_before: float | None, progress: Progress
) -> None:
    spent = sum_joules([spent_before, progress.spent_joules])
    report_progress(replace(progress, repeat=number, repeats=repeats, spent_joules=spent))
