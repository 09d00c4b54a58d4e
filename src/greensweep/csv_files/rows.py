"""The rows of a CSV file, each with the line that it begins on."""

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from greensweep.csv_files.cells import unescape_formula
from greensweep.csv_files.figures import FigureError, decimal_points, read_figures
from greensweep.csv_files.layout import (
    Layout,
    TableError,
    is_blank,
    layout_of,
    open_text,
    undecodable,
)

Row = tuple[int, Mapping[str, str]]  # its line in the file, from 1, and its cells by column


def read_rows(path: Path) -> tuple[list[str], list[Row]]:
    """Return the names of a file's columns, and its rows; numbers have decimal points.

    Columns without a name, such as the numbers of rows that some programs write, are left out.

    Raises:
        TableError: the file cannot be read without guessing; the first bad line is named.
        OSError: it cannot be read.
    """
    layout = layout_of(path)
    named = [name for name in layout.names if name]
    lines, rows = [], []
    try:
        for line, cells in _rows(path, layout):
            lines.append(line)
            rows.append([unescape_formula(cell.strip()) for cell in cells])
    except UnicodeDecodeError as error:
        raise undecodable(path) from error
    columns = [list(column) for column in zip(*rows, strict=True)] or [[] for _ in layout.names]
    columns = decimal_points(columns, layout.separator)
    kept = [column for name, column in zip(layout.names, columns, strict=True) if name]
    return named, [
        (line, dict(zip(named, cells, strict=True)))
        for line, cells in zip(lines, zip(*kept, strict=True), strict=False)
    ]


def read_column(
    path: Path,
    rows: Sequence[Row],
    column: str,
    units: Mapping[str, float] | None = None,
    factor: float = 1.0,
) -> dict[int, float]:
    """Return the figures of a column, none of them negative, by the line of their row.

    Args:
        units, factor: as of `read_figures`.

    Raises:
        TableError: a cell is no such figure.
    """
    try:
        figures = read_figures((cells[column] for _, cells in rows), units, factor)
    except FigureError as error:
        raise TableError(f"{path}, line {rows[error.index][0]}: {column} {error}") from error
    for (line, cells), figure in zip(rows, figures, strict=True):
        if not 0 <= figure < math.inf:
            raise TableError(
                f"{path}, line {line}: {column} must be a number that is not negative, got "
                f"{cells[column]!r}: correct it"
            )
    return {line: figure for (line, _), figure in zip(rows, figures, strict=True)}


def broken_line(path: Path, layout: Layout) -> TableError | None:
    """Return what is wrong with the first line that has not as many cells as the header."""
    try:
        for _ in _rows(path, layout):
            pass
    except TableError as error:
        return error
    return None


def _rows(path: Path, layout: Layout) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows below the header. A row may go over several lines, within quotes.

    Blank lines are left out.
    """
    names = len(layout.names)
    with open_text(path, layout.encoding, layout.skipped) as file:
        rows = csv.reader(file, delimiter=layout.separator, strict=True)
        after, is_header = layout.skipped, True
        while True:
            begin = after + 1
            try:
                cells = next(rows)
            except StopIteration:
                return
            except csv.Error as error:
                unclosed = "unexpected end" in str(error)
                said = "has a quote that is not closed" if unclosed else f"cannot be read ({error})"
                raise TableError(f"{path}, line {begin} {said}") from error
            after = layout.skipped + rows.line_num
            if is_blank(cells):
                continue
            if len(cells) != names:
                raise TableError(f"{path}, line {begin} has {_difference(len(cells), names)}")
            if not is_header:
                yield begin, cells
            is_header = False


def _difference(cells: int, names: int) -> str:
    if cells > names:
        return (
            f"more cells than its header has names ({cells}, not {names}): name every column, "
            "leave out separators at the ends of lines, or quote cells that hold them"
        )
    return f"fewer cells than its header has names ({cells}, not {names}): write the line whole"
