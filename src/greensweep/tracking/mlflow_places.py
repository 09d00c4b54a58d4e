"""Where an MLflow store is, and which run in it is a sweep's."""

import os
import re
from pathlib import Path

from greensweep.config.folders import command_folder, sqlite_file, sqlite_url
from greensweep.config.schema_tracking import MlflowConfig
from greensweep.files import put_aside
from greensweep.tracking.view import run_page

PARENT_FILE = ".mlflow_parent"  # in a sweep's directory: of its run, and where its UI is


def tracking_uri(configured: str) -> str:
    """Return the URI to track to: MLFLOW_TRACKING_URI wins over the configured one.

    The path of a SQLite file is made absolute: it is meant from `store_folder`.
    """
    return _absolute(os.environ.get("MLFLOW_TRACKING_URI") or configured)


def is_default_store(uri: str) -> bool:
    """Tell whether this is the store that `make ui` shows by itself, in a checkout."""
    has_target = (store_folder() / "src" / "greensweep").is_dir()
    return has_target and uri == _absolute(MlflowConfig().uri)


def _absolute(uri: str) -> str:
    file = sqlite_file(uri, store_folder())
    return uri if file is None else sqlite_url(file, uri)


def artifact_root(configured: str) -> str:
    """Return the artifact root of a new experiment: a folder is meant from `store_folder`.

    MLflow takes what could be a URI for one, so an odd folder is given as one.
    """
    if "://" in configured:
        return configured
    folder = store_folder() / configured
    return folder.as_uri() if set("%?#") & set(str(folder)) else str(folder)


def store_folder() -> Path:
    """Return the folder that the paths of a store are meant from: where the command was given.

    An experiment from DVC's queue runs in a copy of the project, `.dvc/tmp/exps/NAME`, that DVC
    deletes in the end: its runs belong into the store of the project itself.
    """
    here = command_folder()
    for parent in here.parents:
        if parent.parts[-3:] == (".dvc", "tmp", "exps"):
            return parent.parents[2]
    return here


def known_parent(directory: Path) -> str | None:
    """Return the parent run of the sweep in `directory`, or None when there is none yet."""
    return next(iter(_kept_parent(directory)), None)


def known_experiment(directory: Path) -> str | None:
    """Return the id of the experiment that the sweep in `directory` is recorded in, if it is."""
    return next(iter(_kept_parent(directory)[1:2]), None)


def known_run_page(directory: Path, run_id: str) -> str | None:
    """Return the address in the UI of a run of the sweep in `directory`; None where not known."""
    match _kept_parent(directory):
        case [_, experiment_id, ui]:
            return f"{ui}/{run_page(experiment_id, run_id)}"
    return None


def _kept_parent(directory: Path) -> list[str]:
    """Return the ids of a sweep's run and its experiment, and the address of the store's UI.

    Earlier versions kept fewer of them; without a file that is whole there are none.
    """
    kept = directory / PARENT_FILE
    if not kept.is_file():
        return []
    text = kept.read_bytes().decode(errors="replace")
    if not re.fullmatch(r"\w{32}( \w+( \S+)?)?\n", text, re.ASCII):
        put_aside(kept, "it names no run")
        return []
    return text.split()
