"""Give every trial whose process died a result, and end its run in MLflow."""

import logging
from collections.abc import Collection
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import optuna
from filelock import FileLock, Timeout
from optuna.trial import TrialState

from greensweep.config.folders import sqlite_file, storage_url
from greensweep.config.schema import TrainConfig
from greensweep.config.store import load_run_config, read_plain_config
from greensweep.files import was_put_aside
from greensweep.record.recorded_run import TRACKED_STATUS
from greensweep.record.result import (
    CONFIG_FILE,
    RESULT_FILE,
    RunResult,
    read_results,
    repeat_directories,
    write_result,
)
from greensweep.record.tracked_names import tracked_metrics, tracked_tags
from greensweep.search.folders import (
    COMMAND_LOCK,
    STUDY_FILE,
    TRIAL_FILE,
    has_owner,
    trial_directories,
)
from greensweep.search.records import Outcome, ended_as
from greensweep.search.storage import storage_faults
from greensweep.search.trial import read_trial_file
from greensweep.study.trials import result_of
from greensweep.tracking.mlflow_places import known_parent
from greensweep.tracking.mlflow_store import MlflowStore
from greensweep.tracking.mlflow_tracker import open_store

_ENDED = Outcome("stopped", "it was ended before it could record what it came to")

log = logging.getLogger(__name__)

_REPEAT = ", repeat "  # between the name of a run and the number of its repeat


def record_dead_trials(sweep: Path, config: TrainConfig | None, store: MlflowStore | None) -> None:
    """Leave a result where a trial's process died before it could.

    Args:
        sweep: the sweep's folder.
        config: what the sweep has in common; None of a program of one's own.

    Raises:
        OSError: the folder cannot be written to.
    """
    dead = set[str]()
    for directory in trial_directories(sweep):
        kept = read_trial_file(directory)
        if kept is not None and kept.outcome.status != "finished":
            _leave_result(directory, config, kept.number, kept.outcome)
            if TRACKED_STATUS[ended_as(kept.outcome)] == "KILLED":
                dead.add(f"trial {kept.number}")
    if not has_owner(sweep):  # other sweepers wait for all that they began
        for composed in sweep.glob("**/.hydra/hydra.yaml"):
            with suppress(KeyError, TypeError):  # half a file
                number = read_plain_config(composed)["hydra"]["job"]["num"]
                _leave_result(composed.parents[1], config, number, _ENDED)
    parent = known_parent(sweep)
    if store is not None and parent is not None:
        store.attempt(partial(_end_runs, store, parent, sweep, dead))


def end_killed(sweep: Path) -> bool:
    """End what a sweep left open whose command was killed, and which no command goes on with.

    A command at work holds the lock of its folder, which the system frees however it ends.
    Returns whether one is at work.

    Raises:
        GreensweepError: a file of the sweep is broken, or its storage failed.
        OSError: the folder cannot be written to.
    """
    lock = sweep / COMMAND_LOCK
    if has_owner(sweep) or (sweep / STUDY_FILE).is_file() or not lock.is_file():
        return False
    try:
        with FileLock(lock, timeout=0):
            fail_running(sweep, storage_url(None, sweep))
            begun = [each.with_name(CONFIG_FILE) for each in sorted(sweep.glob("**/.hydra"))]
            config = next((load_run_config(each) for each in begun if each.is_file()), None)
            if config is not None:  # a run began
                store = open_store(config.tracking)
                record_dead_trials(sweep, config, store)
                if store is not None and (parent := known_parent(sweep)) is not None:
                    store.attempt(partial(store.close, parent, "KILLED"))
    except Timeout:
        return True
    return False


def fail_running(sweep: Path, storage: str) -> None:
    """Mark as failed what the stock sweeper was running when it ended, in a storage of its own.

    Who else runs trials in a shared storage is not known.

    Raises:
        StudyError: the storage failed.
    """
    file = sqlite_file(storage)
    if file is None or not file.is_file() or not file.resolve().is_relative_to(sweep.resolve()):
        return
    with storage_faults(storage):
        for name in optuna.get_all_study_names(storage):
            study = optuna.load_study(study_name=name, storage=storage)
            for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
                study.tell(trial.number, state=TrialState.FAIL)


def _leave_result(
    directory: Path, config: TrainConfig | None, number: int, outcome: Outcome
) -> None:
    path = directory / RESULT_FILE
    if path.is_file() or was_put_aside(path):
        return
    write_result(result_of(directory, number, outcome, config), directory)


def _end_runs(store: MlflowStore, parent: str, sweep: Path, dead: Collection[str]) -> None:
    """End the runs of trials that have: found by their id, or, of dead ones, by their number."""
    running = store.running_below(parent)
    # What ended on a machine from which nothing came home has not, and runs again.
    finished = store.finished_below(parent) if dead else {}
    too_soon = {run_id: name for run_id, name in finished.items() if name in dead}
    if not running and not too_soon:
        return
    waits = not has_owner(sweep)
    recorded = [each for each in trial_directories(sweep) if waits or (each / TRIAL_FILE).is_file()]
    results = read_results(recorded)
    by_name = {f"trial {result.trial}": (folder, result) for folder, result in results.items()}
    results |= read_results(each for folder in recorded for each in repeat_directories(folder))
    by_id = {result.mlflow_run_id: (folder, result) for folder, result in results.items()}
    for run_id, name in running.items():
        found = by_id.get(run_id) or by_name.get(name)
        if found is not None:
            _end_run(store, run_id, *found)
        elif name.partition(_REPEAT)[0] in by_name:  # a repeat that died before it left a result
            store.close(run_id, "KILLED")
    for run_id, name in too_soon.items():
        if name in by_name:
            _end_run(store, run_id, *by_name[name])


def _end_run(store: MlflowStore, run_id: str, folder: Path, result: RunResult) -> None:
    if result.mlflow_run_id is None:
        write_result(replace(result, mlflow_run_id=run_id), folder)
    store.log(run_id, [], tracked_tags(result))
    store.log_now(run_id, tracked_metrics(result), result.epochs)
    store.log_files(run_id, [folder / RESULT_FILE])
    store.close(run_id, TRACKED_STATUS[result.status])
