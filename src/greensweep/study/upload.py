"""Send results that could not reach their MLflow server."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import cache, partial
from pathlib import Path

from greensweep.config.schema_tracking import MlflowConfig
from greensweep.config.store import is_our_config, load_run_config, read_plain_config
from greensweep.errors import StudyError, TrackingError
from greensweep.record.recorded_run import TRACKED_STATUS
from greensweep.record.result import (
    CHECKPOINT_FILE,
    CONFIG_FILE,
    LAYER_ENERGY_FILE,
    REPEATS_FOLDER,
    RESULT_FILE,
    RunResult,
    find_result,
    read_results,
    repeat_directories,
    write_result,
)
from greensweep.record.tracked_names import (
    tracked_history,
    tracked_metrics,
    tracked_params,
    tracked_tags,
)
from greensweep.search.folders import trial_directories
from greensweep.secrets.data import still_masked
from greensweep.study.summary import read_summary, summarise, write_summary
from greensweep.study.tracked_sweep import finish_tracked_sweep
from greensweep.study.trials import read_trials
from greensweep.tracking.mlflow_store import MlflowStore, now
from greensweep.tracking.mlflow_tracker import open_store
from greensweep.tracking.tracker import Metrics


def upload(directory: Path) -> list[str]:
    """Send what a run or a sweep has that is in no store yet; return the new run ids.

    The store is that of the runs' own config, or MLFLOW_TRACKING_URI. Each `result.json` then
    names its run, so sending again sends nothing twice.

    Raises:
        StudyError: no results there.
        TrackingError: the store cannot be reached, or refuses.
    """
    runs = [path for path in trial_directories(directory) if (path / RESULT_FILE).is_file()]
    found = [path for run in runs for path in (run, *repeat_directories(run))]
    if not found:
        raise StudyError(
            f"{directory} holds no {RESULT_FILE}: name the directory of a run or sweep"
        )
    results = read_results(found)
    pending = {path: result for path, result in results.items() if result.is_unsent}
    if not pending:
        return []
    file = next(iter(pending)) / CONFIG_FILE
    # A program of one's own is sent where the environment says, or to the default store.
    is_ours = is_our_config(read_plain_config(file))
    tracking = load_run_config(file).tracking if is_ours else MlflowConfig()
    hidden = still_masked(asdict(tracking))
    if hidden and not os.environ.get("MLFLOW_TRACKING_URI"):
        raise TrackingError(
            f"the runs do not keep the password of their store (tracking.{hidden[0]}): set "
            "MLFLOW_TRACKING_URI to its whole address"
        )
    # A run that asked for files only is sent to the default store, or the environment's.
    store = open_store(tracking if isinstance(tracking, MlflowConfig) else MlflowConfig())
    if store is None:
        raise TrackingError(
            "the MLflow store cannot be reached: start it, or set MLFLOW_TRACKING_URI to another"
        )
    try:
        return _send(store, directory, pending)
    except Exception as error:
        raise TrackingError(
            f"MLflow refused an upload ({type(error).__name__}: {error}): "
            "run the same command again, it goes on where it stopped"
        ) from error


def _send(store: MlflowStore, directory: Path, pending: Mapping[Path, RunResult]) -> list[str]:
    is_sweep = not (directory / RESULT_FILE).is_file()
    parent = None
    if is_sweep:
        parent = store.shared_parent(directory, f"sweep {directory.name}", {"uploaded": "true"})
    # A run comes before its repeats, which stand below it.
    run_ids = []
    for path, result in pending.items():
        is_repeat = path.parent.name == REPEATS_FOLDER
        whole = find_result(path.parents[1]) if is_repeat else None
        above = whole.mlflow_run_id if whole is not None else parent
        run_ids.append(_send_run(store, path, result, above))
    if parent is not None:
        trials = read_trials(directory)
        summary = replace(read_summary(directory) or summarise(trials), mlflow_run_id=parent)
        files = write_summary(summary, trials, directory)
        finish_tracked_sweep(store, parent, summary, trials, files)
    return run_ids


def _send_run(store: MlflowStore, directory: Path, result: RunResult, parent: str | None) -> str:
    config_file = directory / CONFIG_FILE
    params = tracked_params(read_plain_config(config_file), result)
    name = result.model if result.trial is None else f"trial {result.trial}"
    tags = {**result.provenance, **tracked_tags(result), "uploaded": "true"}
    points: list[tuple[int, Metrics]] = [*enumerate(tracked_history(result.history), start=1)]
    run_id = result.mlflow_run_id
    if run_id is None or not store.has(run_id):
        run_id = store.create_run(name, tags, parent)
        # At once: should the store refuse the rest, it goes into this run later.
        result = replace(result, mlflow_run_id=run_id, mlflow_incomplete=True)
        write_result(result, directory)
    else:
        store.log(run_id, [], tags)
        points = _missing(store, run_id, points)
    store.log_params(run_id, params)
    store.log(run_id, [(now(), *point) for point in points])
    store.log_now(run_id, tracked_metrics(result), len(result.history))
    files = [config_file, directory / LAYER_ENERGY_FILE]
    store.log_files(run_id, [path for path in files if path.is_file()])
    if (directory / CHECKPOINT_FILE).is_file():
        store.log_files(run_id, [directory / CHECKPOINT_FILE, config_file], folder="checkpoint")
    store.close(run_id, TRACKED_STATUS[result.status])
    sent = write_result(replace(result, mlflow_incomplete=False), directory)
    store.log_files(run_id, [sent])
    return run_id


def _missing(
    store: MlflowStore, run_id: str, points: Sequence[tuple[int, Metrics]]
) -> list[tuple[int, Metrics]]:
    """Return the points of a history that a run in the store does not have."""
    known = cache(partial(store.logged_steps, run_id))
    return [
        (step, {name: value for name, value in metrics.items() if step not in known(name)})
        for step, metrics in points
    ]
