"""Text cells that no spreadsheet runs: written with an apostrophe before, and read without it."""

import csv
import re
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from greensweep.files import write_whole

if TYPE_CHECKING:
    import pandas as pd

# What Excel, LibreOffice and Google Sheets take for a formula by its first character; in East
# Asian settings that character may be a wide one.
_RUN = re.compile(r"'*[=+\-@\t\r\n＝＋－＠]")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|[+-](inf|infinity|nan)", re.IGNORECASE)


def stored(value: Any) -> Any:
    """Return a cell as a file holds it: a text that a spreadsheet would run begins with '.

    >>> stored("=1+1"), stored("-0.5"), stored("adam"), stored(-0.5)
    ("'=1+1", '-0.5', 'adam', -0.5)
    """
    if isinstance(value, str) and _RUN.match(value) and not _NUMBER.fullmatch(value):
        return f"'{value}"
    return value


def shown(text: str) -> str:
    """Return the text that `stored` was given.

    >>> shown("'=1+1"), shown("'tis"), shown(stored("'=x"))
    ('=1+1', "'tis", "'=x")
    """
    return text[1:] if text.startswith("'") and _RUN.match(text, 1) else text


class _Lines:
    """Takes lines that end as Windows' do, so that a lone CR is put in quotes, and writes LF."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    def write(self, line: str) -> int:
        return self._file.write(line.removesuffix("\r\n") + "\n")


def write_rows(rows: Iterable[Iterable[Any]], path: Path) -> None:
    """Write rows, the header first, as a CSV file, whole or not at all; None is an empty cell.

    Raises:
        OSError: the file cannot be written.
    """
    stored_rows = (map(stored, row) for row in rows)
    _write(path, lambda lines: csv.writer(lines).writerows(stored_rows))


def write_frame(frame: "pd.DataFrame", path: Path) -> None:
    """Write a table, without its index, as a CSV file, whole or not at all.

    Raises:
        OSError: the file cannot be written.
    """
    cells = frame.apply(lambda each: each if each.dtype.kind in "biufM" else each.map(stored))
    names = [stored(str(name)) for name in frame.columns]
    _write(path, partial(cells.to_csv, index=False, header=names, lineterminator="\r\n"))


def _write(path: Path, write: Callable[[Any], Any]) -> None:
    def lines(part: Path) -> None:
        with part.open("w", encoding="utf-8", newline="") as file:
            write(_Lines(file))

    write_whole(path, lines)
