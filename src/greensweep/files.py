"""Files that are written whole or not at all."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any


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
