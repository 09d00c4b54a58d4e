"""Which folders are the trials of a sweep, whatever else lies in its folder."""

import os
import re
from pathlib import Path

from greensweep.result import REPEATS_FOLDER, RESULT_FILE
from greensweep.search.bill import STUDY_FILE
from greensweep.search.trial import TRIAL_FILE

_ARTIFACTS = re.compile(r"[0-9a-f]{32}/artifacts$")  # of a run in MLflow, which hold its result too
_OF_A_SWEEP = {STUDY_FILE, "optuna.db", "optimization_results.yaml", "multirun.yaml"}


def trial_directories(sweep: Path) -> list[Path]:
    """Return the folders of a sweep's own trials, as far as these have left something, sorted.

    Hydra names them by the trials' numbers. Under another `hydra.sweep.subdir` they are the
    outermost folders that hold a trial, but in other sweeps and in the artifacts of MLflow. The
    folder of a single run is its own.
    """
    numbered = [path for path in sweep.glob("[0-9]*") if path.name.isdecimal() and _is_trial(path)]
    return sorted(numbered or _outermost(sweep), key=lambda path: (len(path.name), path))


def _is_trial(path: Path) -> bool:
    return (path / RESULT_FILE).is_file() or (path / TRIAL_FILE).is_file()


def _outermost(sweep: Path) -> list[Path]:
    found = []
    for name, folders, files in os.walk(sweep):
        path, is_trial = Path(name), RESULT_FILE in files or TRIAL_FILE in files
        if _ARTIFACTS.search(path.as_posix()) or path.name == REPEATS_FOLDER:
            folders.clear()
        elif is_trial:
            found.append(path)
            folders.clear()
        elif path != sweep and _OF_A_SWEEP & set(files):
            folders.clear()
    return found
