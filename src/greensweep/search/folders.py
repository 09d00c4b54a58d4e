"""The folder of a sweep: which study it belongs to, and which folders in it are its trials."""

import os
import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from greensweep.errors import StudyError
from greensweep.files import read_json, was_put_aside, write_json
from greensweep.record.result import REPEATS_FOLDER, RESULT_FILE

if TYPE_CHECKING:  # `--help` asks for a sweep's folder too, and loads no Optuna
    import optuna

    from greensweep.search.spec import SearchSpec

OWNER_FILE = "study_of.json"
STUDY_FILE = "study.json"
TRIAL_FILE = "trial.json"
COMMAND_LOCK = ".command.lock"  # of a command of a sweeper that does not go on with others

# System attributes of a study: the folders that it keeps its trials in, each with a name that is
# drawn once and stays when the folder is copied or moved together with the study's storage.
_FOLDER = "greensweep:folder:"

_ARTIFACTS = re.compile(r"[0-9a-f]{32}/artifacts$")  # of a run in MLflow, which hold its result too
_OF_A_SWEEP = {
    *(OWNER_FILE, STUDY_FILE, "optuna.db", "journal.log"),
    *("optimization_results.yaml", "multirun.yaml"),
}


def check_owner(spec: "SearchSpec", study: "optuna.Study | None") -> None:
    """Refuse a folder that is another study's, whose trials would be overwritten and mixed in.

    Args:
        study: that would use it; None where the storage does not have it yet.

    Raises:
        StudyError: it is.
    """
    owner, known = _owner(spec.directory), _folders(study)
    if owner:
        is_own = owner["folder"] in known
    elif trial_directories(spec.directory):  # of a search that began before folders were marked?
        is_unknown = not known or was_put_aside(spec.directory / OWNER_FILE)
        is_own = study is not None and is_unknown and bool(study.get_trials(deepcopy=False))
    else:
        is_own = True
    if is_own:
        return
    name = owner.get("study_name", spec.study_name)
    which = f"the study {name}" if name != spec.study_name else f"another study called {name}"
    gone = ", which this storage does not have" if study is None and name == spec.study_name else ""
    raise StudyError(
        f"{spec.directory} holds the trials of {which}{gone}: set hydra.sweep.dir to a folder of "
        "its own, hydra.sweeper.fresh=true to put these trials aside, or their own study_name and "
        "storage to go on with them"
    )


def keep_owner(spec: "SearchSpec", study: "optuna.Study") -> None:
    """Record in a sweep's folder, and in its study, that they belong together.

    Raises:
        StudyError: as `check_owner`; another command may have come first.
        OSError: the folder cannot be written.
    """
    from greensweep.search.optuna_internals import set_study_attribute

    check_owner(spec, study)
    if not _owner(spec.directory):
        owner = {"study_name": spec.study_name, "folder": uuid.uuid4().hex}
        name = f"{_FOLDER}{owner['folder']}"
        set_study_attribute(study, name, True)
        write_json(spec.directory / OWNER_FILE, owner)


def check_present(sweep: Path) -> None:
    """Refuse to go on in a folder that is no longer the one that the search began in.

    Raises:
        StudyError: it was deleted or moved.
    """
    if not has_owner(sweep):
        raise lost(sweep)


def lost(sweep: Path) -> StudyError:
    """Return what is to be said of a folder that was deleted or moved."""
    return StudyError(
        f"the folder {sweep} was deleted or moved while its sweep ran, with the results of its "
        "trials: put it back, or give the same command again to begin anew"
    )


def has_owner(sweep: Path) -> bool:
    """Tell whether a folder is of a study of this sweeper's, also one without trials yet."""
    return (sweep / OWNER_FILE).is_file()


def mark_of(sweep: Path) -> str:
    """Return what tells a sweep's folder from another of the same path, as on another machine."""
    return _owner(sweep).get("folder", "")


def is_of(sweep: Path, mark: str) -> bool:
    """Tell whether a path is the very folder that has this mark."""
    return mark_of(sweep) == mark != ""


def holds_sweep(folder: Path) -> bool:
    """Tell whether a sweep of whatever sweeper has left something in a folder."""
    return is_marked_sweep(folder) or bool(trial_directories(folder))


def is_marked_sweep(folder: Path) -> bool:
    """Tell whether a folder has a file that only sweeps leave beside their trials."""
    return any((folder / name).exists() for name in _OF_A_SWEEP)


def _owner(sweep: Path) -> dict[str, str]:
    kept = read_json(sweep / OWNER_FILE) or {}
    names = ("study_name", "folder")
    return {name: str(kept[name]) for name in names} if kept.keys() >= set(names) else {}


def _folders(study: "optuna.Study | None") -> set[str]:
    """Return the names of the folders that a study has."""
    if study is None:
        return set()
    from greensweep.search.optuna_internals import study_attributes

    names = study_attributes(study)
    return {name.removeprefix(_FOLDER) for name in names if name.startswith(_FOLDER)}


def trial_directories(sweep: Path) -> list[Path]:
    """Return the folders of a sweep's own trials, as far as these have left something, sorted.

    Hydra names them by the trials' numbers. Under another `hydra.sweep.subdir` they are the
    outermost folders that hold a trial, but in other sweeps and in the artifacts of MLflow. The
    folder of a single run is its own.
    """
    numbered = [path for path in sweep.glob("[0-9]*") if path.name.isdecimal() and _is_trial(path)]
    return sorted(numbered or _outermost(sweep), key=lambda path: (len(path.name), path))


def runs_and_sweeps(folder: Path) -> Iterator[Path]:
    """Yield the folders of runs and of sweeps below a folder, none of them in another, in order."""
    for name, folders, files in os.walk(folder):
        path = Path(name)
        if RESULT_FILE in files or is_marked_sweep(path):
            folders.clear()
            if not is_artifacts(path):
                yield path
        folders.sort(key=lambda each: (len(each), each))


def is_artifacts(path: Path) -> bool:
    """Tell whether a folder is where MLflow keeps the files of a run, its result among them."""
    return _ARTIFACTS.search(path.as_posix()) is not None


def _is_trial(path: Path) -> bool:
    return (path / RESULT_FILE).is_file() or (path / TRIAL_FILE).is_file()


def _outermost(sweep: Path) -> list[Path]:
    found = []
    for name, folders, files in os.walk(sweep):
        path, is_trial = Path(name), RESULT_FILE in files or TRIAL_FILE in files
        if is_artifacts(path) or path.name == REPEATS_FOLDER:
            folders.clear()
        elif is_trial:
            found.append(path)
            folders.clear()
        elif path != sweep and _OF_A_SWEEP & set(files):
            folders.clear()
    return found
