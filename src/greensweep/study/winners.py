"""Keep a sweep's best models: drop beaten weights as trials end, test the winners at the end."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from greensweep.energy import Meter, sum_joules
from greensweep.result import (
    CHECKPOINT_FILE,
    CONFIG_FILE,
    RESULT_FILE,
    RunResult,
    read_result,
    write_result,
)
from greensweep.study.trials import Trial, pareto_front

if TYPE_CHECKING:
    from greensweep.tracking.mlflow import MlflowStore


def drop_beaten_weights(sweep: Path, store: "MlflowStore | None") -> None:
    """Delete the weights of every trial that is not Pareto-optimal so far, as the best one is.

    A trial that is beaten stays beaten, so a long sweep never holds more weights than its front.
    """
    with FileLock(sweep / ".winners.lock"):
        kept = [
            Trial(0, path.parent, read_result(path.parent), {})
            for path in sweep.glob(f"**/{CHECKPOINT_FILE}")
            if (path.parent / RESULT_FILE).is_file()
        ]
        winners = {trial.directory for trial in pareto_front(kept)}
        if not winners:
            return
        for trial in kept:
            if trial.directory not in winners:
                (trial.directory / CHECKPOINT_FILE).unlink()
                _update(trial.directory, replace(trial.result, checkpoint=None), store)


def test_winners(
    trials: Sequence[Trial], meter: Meter, store: "MlflowStore | None"
) -> float | None:
    """Test the Pareto-optimal trials, the best among them, from their kept weights, once.

    Their `result.json` and MLflow run get the test accuracy, and MLflow the weights. Returns the
    joules of testing them all, or None where nothing is metered.
    """
    from greensweep.checkpoint import test_checkpoint

    joules: list[float | None] = []
    for trial in pareto_front(trials):
        directory, result = trial.directory, trial.result
        checkpoint = directory / CHECKPOINT_FILE
        if not checkpoint.is_file() or result.test_accuracy is not None:
            continue
        tested = test_checkpoint(checkpoint, meter)
        joules.append(tested.reading.joules)
        result = replace(result, test_accuracy=tested.test.accuracy)
        _update(directory, result, store)
        if store is not None and result.mlflow_run_id is not None:
            store.attempt(partial(_log_winner, store, result, directory))
    return sum_joules(joules)


def _log_winner(store: "MlflowStore", result: RunResult, directory: Path) -> None:
    assert result.mlflow_run_id is not None and result.test_accuracy is not None
    store.log_now(result.mlflow_run_id, {"test/accuracy": result.test_accuracy})
    weights = [directory / CHECKPOINT_FILE, directory / CONFIG_FILE]
    store.log_files(result.mlflow_run_id, weights, folder="checkpoint")


def _update(directory: Path, result: RunResult, store: "MlflowStore | None") -> None:
    """Write a changed result to its file and its artifact."""
    path = write_result(result, directory)
    if store is not None and result.mlflow_run_id is not None:
        store.attempt(partial(store.log_files, result.mlflow_run_id, [path]))
