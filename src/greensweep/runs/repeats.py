"""One configuration trained with several seeds, as one run."""

from collections.abc import Iterable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

from greensweep.config.schema import TrainConfig
from greensweep.energy import Meter, sum_joules
from greensweep.record.recorded_run import initial_result, recorded_run
from greensweep.record.reporting import Progress, report_progress, report_repeat
from greensweep.record.result import REPEATS_FOLDER, RunResult, read_results, repeat_directories
from greensweep.runs.fit import ShowEpochs
from greensweep.runs.mean import mean_result
from greensweep.runs.once import run_once
from greensweep.tracking.tracker import Tracker


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
    spent: float | None = None
    initial = initial_result(config, trial, overrides)
    with recorded_run(initial, asdict(config), directory, tracker, name) as recorded:
        try:
            for number in range(config.repeats):
                recorded.repeat = f"repeat {number + 1} of {config.repeats}"
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
                        metric=run.objective_metric,
                        direction=run.objective_direction,
                        metric_value=run.objective_value,
                    )
                )
        finally:
            runs = read_results(repeat_directories(directory)).values()
            recorded.result = mean_result(list(runs), recorded.result, config.repeats)
    return recorded.result


def _report_epoch(
    number: int, repeats: int, spent_before: float | None, progress: Progress
) -> None:
    spent = sum_joules([spent_before, progress.spent_joules])
    report_progress(replace(progress, repeat=number, repeats=repeats, spent_joules=spent))
