"""Against CSV injection: cells that a spreadsheet would run are written with an apostrophe."""

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


def escape_formula(value: Any) -> Any:
    """Return a cell as a file holds it: a text that a spreadsheet would run begins with '.

    >>> [escape_formula(cell) for cell in ("=1+1", "-0.5", "adam", -0.5)]
    ["'=1+1", '-0.5', 'adam', -0.5]
    """
    if isinstance(value, str) and _RUN.match(value) and not _NUMBER.fullmatch(value):
        return f"'{value}"
    return value


def unescape_formula(text: str) -> str:
    """Return the text that `escape_formula` was given.

    >>> unescape_formula("'=1+1"), unescape_formula("'tis"), unescape_formula(escape_formula("'=x"))
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
    stored_rows = (map(escape_formula, row) for row in rows)
    _write(path, lambda lines: csv.writer(lines).writerows(stored_rows))


def write_frame(frame: "pd.DataFrame", path: Path) -> None:
    """Write a table, without its index, as a CSV file, whole or not at all.

    Raises:
        OSError: the file cannot be written.
    """
    safe = "biufM"  # dtypes of numbers and dates, which no spreadsheet runs
    cells = frame.apply(lambda each: each if each.dtype.kind in safe else each.map(escape_formula))
    names = [escape_formula(str(name)) for name in frame.columns]
    _write(path, partial(cells.to_csv, index=False, header=names, lineterminator="\r\n"))


def _write(path: Path, write: Callable[[Any], Any]) -> None:
    def lines(part: Path) -> None:
        with part.open("w", encoding="utf-8", newline="") as file:
            write(_Lines(file))

    write_whole(path, lines)
