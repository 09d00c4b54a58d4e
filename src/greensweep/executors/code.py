"""The code and the configuration that a node needs: sent to it where it does not see ours."""

import importlib
import os
import shutil
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import greensweep
from greensweep.config.folders import CONF
from greensweep.errors import StudyError

# Of one's own folders no data, and no results: a node gets what is code or configuration.
_SENT = {".py", ".pyi", ".yaml", ".yml", ".json", ".toml", ".cfg", ".ini", ".txt"}
_NEVER = {"__pycache__", "node_modules", "site-packages", "multirun", "outputs", "mlruns"}
_MOST_BYTES = 500 * 2**20  # Ray's own limit of what it sends
_MOST_FILES = 20_000

# What was sent stands in a package of this name, each folder under its place in _PLACES.
_PACKAGE = "greensweep_sent"
_PLACES = "places.txt"


def program_folders(command: Path) -> list[str]:
    """Return where the modules of the running program are looked for.

    That is the folder of its script, if it is no command that was installed, and the command's.
    """
    script = getattr(sys.modules.get("__main__"), "__file__", None)
    folders = [str(command)]
    if script is not None and not Path(script).resolve().is_relative_to(Path(sys.prefix).resolve()):
        folders.insert(0, str(Path(script).resolve().parent))
    return [*dict.fromkeys(folders)]


def gather_code(folders: Iterable[str], into: Path) -> list[str]:
    """Copy what nodes need into a folder; return the packages to send, as Ray's `py_modules`.

    Args:
        folders: of the program's modules and configuration.

    Raises:
        StudyError: that is more than can be sent.
    """
    package = Path(greensweep.__file__).parent
    skipped = shutil.ignore_patterns("__pycache__", "*.db")
    shutil.copytree(package, into / "greensweep", ignore=skipped)
    if not CONF.is_relative_to(package):  # a checkout's, which an installed package holds
        shutil.copytree(CONF, into / "greensweep" / "conf", ignore=skipped)
    plugin = Path("hydra_plugins") / "greensweep_sweeper"
    shutil.copytree(package.parent / plugin, into / plugin, ignore=skipped)
    sent = into / _PACKAGE
    sent.mkdir()
    places = [*dict.fromkeys(folders)]
    (sent / _PLACES).write_text("\n".join(places), encoding="utf-8")
    for place, folder in enumerate(places):
        _copy(Path(folder), sent / str(place))
    return [str(into / name) for name in ("greensweep", "hydra_plugins", _PACKAGE)]


def sent_folder(folder: str) -> str | None:
    """Return where the copy of a folder, or of one that it is in, stands here; None of no copy."""
    try:
        (sent,) = importlib.import_module(_PACKAGE).__path__
    except ModuleNotFoundError:
        return None
    places = (Path(sent) / _PLACES).read_text(encoding="utf-8").split("\n")
    for place, each in enumerate(places):
        if Path(folder).is_relative_to(each):
            return str(Path(sent) / str(place) / Path(folder).relative_to(each))
    return None


def _copy(folder: Path, to: Path) -> None:
    size = 0
    for number, path in enumerate(_code_in(folder)):
        size += path.stat().st_size
        if size > _MOST_BYTES or number > _MOST_FILES:
            raise StudyError(
                f"{folder} holds more code and configuration than Ray sends to nodes "
                f"({_MOST_BYTES // 2**20} MiB, {_MOST_FILES} files): give the command in the "
                "program's own folder, or on a file system that all nodes share"
            )
        copy = to / path.relative_to(folder)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)


def _code_in(folder: Path) -> Iterator[Path]:
    for name, folders, files in os.walk(folder):
        here = Path(name)
        folders[:] = [
            each
            for each in folders
            if not each.startswith(".") and each not in _NEVER and not _is_left_out(here / each)
        ]
        for file in files:
            path = here / file
            if path.suffix in _SENT and not file.startswith(".") and path.is_file():
                yield path


def _is_left_out(folder: Path) -> bool:
    """Tell whether a folder is an environment of Python's, or greensweep's own package."""
    return (folder / "pyvenv.cfg").exists() or folder == Path(greensweep.__file__).parent
