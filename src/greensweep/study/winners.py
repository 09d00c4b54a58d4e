"""Keep a sweep's best models: drop beaten weights as trials end, test the winners at the end."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from filelock import FileLock

from greensweep.energy import Meter, sum_joules
from greensweep.errors import GreensweepError
from greensweep.record.result import (
    CHECKPOINT_FILE,
    CONFIG_FILE,
    RunResult,
    find_result,
    read_result,
    read_results,
    repeat_directories,
    write_result,
)
from greensweep.record.tracked_names import tracked_metrics
from greensweep.runs.mean import mean_result
from greensweep.search.folders import TRIAL_FILE, trial_directories
from greensweep.search.trial import broken_in, read_trial_file
from greensweep.study.trials import Trial, contenders, winners
from greensweep.tracking.mlflow_store import MlflowStore

log = logging.getLogger(__name__)


def drop_beaten_weights(
    sweep: Path, store: MlflowStore | None, *, recorded_only: bool = False, ended: bool = False
) -> None:
    """Delete the weights of every trial that another beats so far in the metric and in cost.

    A trial that is beaten stays beaten, so a long sweep never holds more weights than its front.

    Args:
        ended: no trial will follow, so that those go too whose cost is not distinguishable from
            that of one more accurate.
        recorded_only: pass over trials whose end the search has not recorded yet, since only that
            decides whether they keep its constraints.
    """
    with FileLock(sweep / ".winners.lock"):
        kept = [
            Trial(0, folder, result, {}, broken_in(folder, read_trial_file(folder)))
            for folder, result in read_results(trial_directories(sweep)).items()
            if _checkpoints(folder) and (not recorded_only or (folder / TRIAL_FILE).is_file())
        ]
        choose = winners if ended else contenders
        keep = {trial.directory for trial in choose(kept)}
        for trial in kept:
            if trial.directory not in keep:
                for checkpoint in _checkpoints(trial.directory):
                    checkpoint.unlink()
                    if (run := find_result(checkpoint.parent)) is not None:
                        _update(checkpoint.parent, replace(run, checkpoint=None), store)
                _update(trial.directory, replace(trial.result, checkpoint=None), store)


def evaluate_winners(
    trials: Sequence[Trial], meter: Meter, store: MlflowStore | None
) -> float | None:
    """Test the Pareto-optimal trials and the best one from their kept weights, once.

    Their `result.json` and MLflow run get the metrics of the test split (with repeats, the means
    of theirs), and MLflow the weights. Trials that were selected on test have them already. Returns
    the joules of testing them all, or None where nothing is metered.
    """
    joules: list[float | None] = []
    for trial in winners(trials):
        if trial.result.selected_on_test:
            folders = [path.parent for path in _checkpoints(trial.directory)]
            for folder, run in read_results(folders).items():
                _log_weights(store, run, folder)
        if trial.result.objective_on("test") is not None:
            continue
        try:
            tested = [_test_run(path, meter, store) for path in _checkpoints(trial.directory)]
        except GreensweepError as error:  # its files are broken: the others are tested
            log.warning("Trial %d is not tested: %s.", trial.number, error)
            continue
        joules += tested
        if trial.result.repeats > 1 and tested:
            runs = read_results(repeat_directories(trial.directory)).values()
            mean = mean_result([*runs], trial.result, trial.result.repeats)
            _update(trial.directory, mean, store, tested=True)
    return sum_joules(joules)


def _checkpoints(directory: Path) -> list[Path]:
    """Return the kept weights of a run, or of its repeats."""
    folders = repeat_directories(directory) or [directory]
    return [path for folder in folders if (path := folder / CHECKPOINT_FILE).is_file()]


def _test_run(checkpoint: Path, meter: Meter, store: MlflowStore | None) -> float | None:
    """Test kept weights and record it with their run; return the joules spent."""
    from greensweep.runs.kept_model import evaluate_checkpoint

    directory = checkpoint.parent
    tested = evaluate_checkpoint(checkpoint, meter)
    kept = read_result(directory)
    result = replace(
        kept,
        test_accuracy=tested.test.accuracy,
        metrics={**kept.metrics, "test": dict(tested.test.metrics)},
    )
    _update(directory, result, store, tested=True)
    _log_weights(store, result, directory)
    return tested.reading.joules


def _log_weights(store: MlflowStore | None, result: RunResult, directory: Path) -> None:
    weights = [directory / CHECKPOINT_FILE, directory / CONFIG_FILE]
    if store is not None and (run_id := result.mlflow_run_id) is not None:
        store.attempt(partial(store.log_files, run_id, weights, folder="checkpoint"))


def _update(
    directory: Path, result: RunResult, store: MlflowStore | None, *, tested: bool = False
) -> None:
    """Write a changed result to its file and its artifact; its test metrics where it was tested."""
    path = write_result(result, directory)
    if store is None or (run_id := result.mlflow_run_id) is None:
        return
    store.attempt(partial(store.log_files, run_id, [path]))
    if tested:
        metrics = tracked_metrics(result).items()
        shown = {name: value for name, value in metrics if name.startswith("test/")}
        store.attempt(partial(store.log_now, run_id, shown))
