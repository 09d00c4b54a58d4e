"""Files that are written whole or not at all."""

import json
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any


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

    Raises:
        OSError: the folder cannot be written to. What was there before stays.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        write(part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def write_json(path: Path, values: Any) -> None:
    """Write a small JSON file whole or not at all."""
    text = json.dumps(values, indent=2) + "\n"
    write_whole(path, lambda part: part.write_text(text, encoding="utf-8"))
