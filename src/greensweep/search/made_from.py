"""What a search was made from, so that it starts anew where that has changed."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from greensweep.errors import StudyError
from greensweep.files import read_json, write_json

INPUTS_FILE = "made_from.json"
_CONFIGURATION = "the configuration"


def digest_inputs(configuration: str, paths: Sequence[str]) -> dict[str, str]:
    """Return the SHA-256 of a configuration, and of each file or folder with all in it.

    Raises:
        StudyError: one of the paths does not exist.
    """
    for name in paths:
        if not Path(name).exists():
            raise StudyError(
                f"hydra.sweeper.made_from names {name}, which does not exist: make it, or take it "
                "off the list"
            )
    own = hashlib.sha256(configuration.encode()).hexdigest()
    return {_CONFIGURATION: own, **{name: digest(Path(name)) for name in paths}}


def changed_inputs(directory: Path, inputs: Mapping[str, str]) -> list[str]:
    """Name what is not as it was when the search in this folder began; nothing for a new one.

    A search that kept no record has changed in everything.
    """
    if not directory.is_dir() or not any(directory.iterdir()):
        return []
    known = read_json(directory / INPUTS_FILE) or {}
    names = sorted(inputs.keys() | known.keys())
    return [name for name in names if inputs.get(name) != known.get(name)]


def keep_inputs(directory: Path, inputs: Mapping[str, str]) -> None:
    """Record what a search is made from in its folder.

    Raises:
        OSError: the folder cannot be written.
    """
    write_json(directory / INPUTS_FILE, dict(inputs))


def digest(path: Path) -> str:
    """Return the SHA-256 of a file, or of a folder with the names and contents of all files in it.

    Raises:
        OSError: there is no such path, or it cannot be read.
    """
    digested = hashlib.sha256()
    for file in files_in(path) if path.is_dir() else [path]:
        name = file.relative_to(path).as_posix()
        digested.update(f"{name}\0{hashlib.sha256(file.read_bytes()).hexdigest()}\0".encode())
    return digested.hexdigest()


def files_in(folder: Path) -> Iterator[Path]:
    """Yield all files in a folder that somebody wrote, in an order that depends on no machine."""
    for file in sorted(folder.rglob("*")):
        if file.is_file() and "__pycache__" not in file.parts:
            yield file
