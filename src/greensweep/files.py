"""Files that are written whole or not at all, and what becomes of one that is not."""

import json
import logging
import shutil
import uuid
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from greensweep.nested import from_json
from greensweep.secrets.data import masked

log = logging.getLogger(__name__)

T = TypeVar("T")

# Begins the name of what is not whole yet, and stays where a process was killed meanwhile.
PART_PREFIX = ".part-"


def new_folder(path: Path) -> Path:
    """Make a folder that was not there: of this name, or with a number behind it.

    Raises:
        OSError: it cannot be made.
    """
    made = path
    for number in count(2):
        try:
            made.mkdir(parents=True)
            break
        except FileExistsError:
            made = path.with_name(f"{path.name}-{number}")
    return made


def write_whole(path: Path, write: Callable[[Path], Any]) -> None:
    """Let `write` make a file beside `path` that takes its place once it is whole.

    Of several writers at once each makes its own, and the last to end wins.

    Raises:
        OSError: the folder cannot be written to. What was there before stays.
    """
    part = path.with_name(f"{PART_PREFIX}{uuid.uuid4().hex}-{path.name}")
    try:
        write(part)
        part.replace(path)
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        part.unlink(missing_ok=True)


def write_together(
    folder: Path, last: str, replaced: Iterable[str], write: Callable[[Path], Any]
) -> None:
    """Let `write` fill a folder, whose files and folders then take the place of earlier ones.

    Args:
        folder: may hold others, which stay.
        last: what goes first and comes last: where it is, the others are whole.
        replaced: names of earlier ones, which go even where no new one has their name.

    Raises:
        OSError: the folder cannot be written to. Nothing is half written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder, prefix=PART_PREFIX) as name:
        part = Path(name)
        write(part)
        for each in (last, *replaced):
            _remove(folder / each)
        for path in sorted(part.iterdir(), key=lambda each: each.name == last):
            path.replace(folder / path.name)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text in UTF-8 whole or not at all."""
    write_whole(path, lambda part: part.write_text(text, encoding="utf-8", newline=""))


def write_json(path: Path, values: Any) -> None:
    """Write a small JSON file whole or not at all, without secrets."""
    write_text(path, json.dumps(masked(values), indent=2) + "\n")


def read_json(path: Path) -> dict[str, Any] | None:
    """Read what `write_json` wrote of a mapping; None where there is no file.

    One that is not whole is put aside with a warning, and is none from then on.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:  # it may be whole, and be read another time
        log.warning("%s cannot be read (%s): it is left out.", path, error.strerror)
        return None
    except (ValueError, RecursionError) as error:
        put_aside(path, f"{type(error).__name__}: {error}")
        return None
    if not isinstance(values, dict):
        put_aside(path, "it holds no mapping")
        return None
    return values


def read_as(kind: type[T], path: Path) -> T | None:
    """Read what `write_json` wrote of a dataclass, as `read_json` does.

    One that lacks a figure is put aside, too.
    """
    values = read_json(path)
    try:
        return None if values is None else from_json(kind, values)
    except TypeError as error:
        put_aside(path, error)
        return None


def put_aside(path: Path, fault: object) -> None:
    """Keep a broken file under another name, where nothing reads it, and say so in a warning."""
    kept = _aside(path)
    while kept.exists():
        kept = _aside(kept)
    with suppress(OSError):  # a read-only folder: the warning comes all the same
        path.rename(kept)
    log.warning("%s is broken (%s): it is left out, and kept as %s.", path, fault, kept.name)


def was_put_aside(path: Path) -> bool:
    """Tell whether a file of that name was broken once."""
    return _aside(path).exists()


def _aside(path: Path) -> Path:
    return path.with_name(f"{path.name}.broken")
