"""Give every trial whose process died a result, and end its run in MLflow."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from greensweep.config import TrainConfig, load_run_config
from greensweep.files import was_put_aside
from greensweep.models import model_name
from greensweep.result import CONFIG_FILE, RESULT_FILE, RunResult, read_results, write_result
from greensweep.run import TRACKED_STATUS
from greensweep.search.folders import trial_directories
from greensweep.search.trial import TRIAL_FILE, read_trial_file
from greensweep.tracking.mlflow import known_parent

if TYPE_CHECKING:
    from greensweep.tracking.mlflow import MlflowStore


def mend_dead(sweep: Path, config: TrainConfig, store: "MlflowStore | None") -> None:
    """Leave a result where a trial's process died before it could.

    Args:
        sweep: the sweep's folder.
        config: what the sweep has in common.

    Raises:
        OSError: the folder cannot be written to.
    """
    for directory in trial_directories(sweep):
        result = directory / RESULT_FILE
        if not result.is_file() and not was_put_aside(result):
            _write_result(directory, config)
    parent = known_parent(sweep)
    if store is not None and parent is not None:
        store.attempt(partial(_end_runs, store, parent, sweep))


def _write_result(directory: Path, config: TrainConfig) -> None:
    kept = read_trial_file(directory)
    if kept is None:
        return
    number, outcome, _ = kept
    if (directory / CONFIG_FILE).is_file():
        config = load_run_config(directory / CONFIG_FILE)
    selects_on_test = config.select_on == "test"
    result = RunResult(
        status="failed",
        error=outcome.error or "it never ran",
        model=model_name(config.model),
        dataset=config.dataset.name,
        seed=config.seed,
        trial=number,
        validation_accuracy=None if selects_on_test else outcome.accuracy,
        test_accuracy=outcome.accuracy if selects_on_test else None,
        selected_on_test=selects_on_test,
        energy_spent_joules=outcome.spent_joules,
        epochs=outcome.epochs,
    )
    write_result(result, directory)


def _end_runs(store: "MlflowStore", parent: str, sweep: Path) -> None:
    """End the runs of trials that have: found by their id, or, of dead ones, by their number."""
    running = store.running_below(parent)
    if not running:
        return
    settled = (each for each in trial_directories(sweep) if (each / TRIAL_FILE).is_file())
    results = read_results(settled)
    by_id = {result.mlflow_run_id: (folder, result) for folder, result in results.items()}
    by_name = {f"trial {result.trial}": (folder, result) for folder, result in results.items()}
    for run_id, name in running.items():
        folder, result = by_id.get(run_id) or by_name.get(name) or (None, None)
        if folder is None or result is None:
            continue
        if result.mlflow_run_id is None:
            write_result(replace(result, mlflow_run_id=run_id), folder)
        store.log(run_id, [], result.tags())
        store.log_now(run_id, result.metrics(), result.epochs)
        store.log_files(run_id, [folder / RESULT_FILE])
        store.close(run_id, TRACKED_STATUS[result.status])
