"""A table of recorded runs: CSV in, configurations with their learning curves out."""

import csv
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from greensweep.errors import StudyError, unknown

Row = tuple[int, Mapping[str, str]]  # its line in the file, from 1, and its cells


@dataclass(frozen=True)
class Columns:
    """What the figures are called in the table; `seconds` and `epoch` need not be there."""

    accuracy: str = "accuracy"
    energy: str = "energy_joules"
    seconds: str = "seconds"
    epoch: str = "epoch"


@dataclass(frozen=True)
class Point:
    """A run after one of its epochs; in a table without curves, at its end.

    Attributes:
        epoch: from 1; in a table without curves 1.
        accuracy: 0 to 1.
        joules, seconds: of training up to here; seconds None where the table has none.
    """

    epoch: int
    accuracy: float
    joules: float
    seconds: float | None


@dataclass(frozen=True)
class Configuration:
    """One recorded configuration; several rows of it are averaged.

    Attributes:
        values: by option; numbers, or text where the column holds any.
        line: of its first row in the file, from 1.
        curve: its points, by epoch; one in a table without curves.
    """

    values: Mapping[str, float | str]
    line: int
    curve: tuple[Point, ...]


@dataclass(frozen=True)
class RecordedTable:
    """What a table holds.

    Attributes:
        dimensions: the options that tell configurations apart.
        configurations: in the order of the file.
        curves: whether it holds learning curves.
        loose: further columns in which rows differ, though they tell no configurations apart.
    """

    path: Path
    dimensions: tuple[str, ...]
    configurations: tuple[Configuration, ...]
    curves: bool
    loose: tuple[str, ...] = ()


def read_table(
    path: Path,
    *,
    options: Sequence[str] | None = None,
    searched: Sequence[str] = (),
    where: Mapping[str, Any] | None = None,
    columns: Columns | None = None,
) -> RecordedTable:
    """Read recorded runs.

    A column belongs to an option by the option's full name, or else by its last part. There are
    no curves where `where` picks one epoch.

    Args:
        options: the dimensions; None takes those of `searched` that the table has, without empty
            cells and not in `where`.
        where: by column, what the rows to use hold.

    Raises:
        StudyError: the file cannot be read, or lacks what the arguments name, or a figure is bad.
    """
    where, columns = where or {}, columns or Columns()
    header, rows = _read_rows(path)
    for name in (columns.accuracy, columns.energy):
        if name not in header:
            raise StudyError(
                f"{path}, line 1: {unknown('column', name, header)}; replay.columns says what the "
                "figures are called"
            )
    rows = _filtered(rows, where, header, path)
    found = _find_columns(header, rows, options, searched, where, path)
    curves = columns.epoch in header and columns.epoch not in where
    parsed = {option: _parse_column(rows, column) for option, column in found.items()}
    groups: dict[tuple[float | str, ...], list[Row]] = {}
    for index, row in enumerate(rows):
        groups.setdefault(tuple(cells[index] for cells in parsed.values()), []).append(row)
    return RecordedTable(
        path=path,
        dimensions=tuple(found),
        configurations=tuple(
            Configuration(
                dict(zip(found, values, strict=True)),
                members[0][0],
                _curve(members, columns, curves, path),
            )
            for values, members in groups.items()
        ),
        curves=curves,
        loose=_loose_columns(rows, header, set(found.values()), columns),
    )


def last_part(option: str) -> str:
    """Return the short name of an option: learning_rate of optimizer.learning_rate."""
    return option.rpartition(".")[2]


def _read_rows(path: Path) -> tuple[list[str], list[Row]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            table = csv.DictReader(file, restval="")
            header = [name.strip() for name in table.fieldnames or []]
            table.fieldnames = header
            rows: list[Row] = []
            for cells in table:
                if cells.pop(None, None) is not None:
                    raise StudyError(
                        f"{path}, line {table.line_num}: the row has more cells than the header: "
                        "quote cells that hold commas"
                    )
                rows.append((table.line_num, {name: text.strip() for name, text in cells.items()}))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise StudyError(
            f"replay.table={path} cannot be read ({error}): name a CSV file with a header"
        ) from error
    if not rows:
        raise StudyError(f"{path} has no rows below a header: record something first")
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise StudyError(f"{path}, line 1: two columns are called {twice[0]}: rename one of them")
    return header, rows


def _filtered(
    rows: list[Row], where: Mapping[str, Any], header: Sequence[str], path: Path
) -> list[Row]:
    for column, wanted in where.items():
        if column not in header:
            raise StudyError(
                f"replay.where.{column}: in {path} {unknown('column', column, header)}"
            )
        kept = [row for row in rows if _same(row[1][column], wanted)]
        if not kept:
            held = sorted({cells[column] for _, cells in rows})
            shown = ", ".join(held[:8]) + (", …" if len(held) > 8 else "")
            raise StudyError(
                f"replay.where.{column}={wanted} leaves no row of {path}: there {column} is {shown}"
            )
        rows = kept
    return rows


def _same(cell: str, wanted: Any) -> bool:
    one, other = parsed_cell(cell), parsed_cell(as_text(wanted))
    return one == other


def _find_columns(
    header: Sequence[str],
    rows: Sequence[Row],
    options: Sequence[str] | None,
    searched: Sequence[str],
    where: Mapping[str, Any],
    path: Path,
) -> dict[str, str]:
    """Return the dimensions, each with its column."""
    found: dict[str, str] = {}
    for option in searched if options is None else options:
        column = option if option in header else last_part(option)
        if options is not None and column not in header:
            raise StudyError(
                f"replay.options names {option}, but in {path} "
                f"{unknown('column', last_part(option), header)}"
            )
        if column not in header or (options is None and column in where):
            continue
        empty = [line for line, cells in rows if not cells[column]]
        if empty and options is not None:
            raise StudyError(
                f"{path}, line {empty[0]}: {column} is empty, but replay.options names {option}: "
                "fill it in, leave such rows out by replay.where, or take it off replay.options"
            )
        if empty:
            continue
        if column in found.values():
            other = next(each for each, taken in found.items() if taken == column)
            raise StudyError(
                f"{path}, line 1: the column {column} could be of {other} or of {option}: "
                f"call it {other}, say"
            )
        found[option] = column
    if not found:
        sought = "replay.options" if options is not None else "the space"
        named = ", ".join(searched if options is None else options) or "nothing"
        raise StudyError(
            f"{path} records no option of {sought} ({named}) in every row, so nothing tells its "
            f"configurations apart: name some by replay.options; the columns are "
            f"{', '.join(header)}"
        )
    return found


def parsed_cell(text: str) -> float | str:
    """Return a number (true is 1, false is 0) where the text is one, else the text in lower case.

    >>> parsed_cell("1e-3"), parsed_cell("True"), parsed_cell("Adam")
    (0.001, 1.0, 'adam')
    """
    text = text.casefold()
    if text in ("true", "false"):
        return float(text == "true")
    try:
        number = float(text)
    except ValueError:
        return text
    return number if math.isfinite(number) else text


def as_text(value: Any) -> str:
    """Return an option's value as a table writes it."""
    return "null" if value is None else str(value)


def _parse_column(rows: Sequence[Row], column: str) -> list[float | str]:
    """Read a column as numbers, or, if any cell is none, all of it as text."""
    parsed = [parsed_cell(cells[column]) for _, cells in rows]
    if any(isinstance(each, str) for each in parsed):
        return [cells[column].casefold() for _, cells in rows]
    return parsed


def _curve(rows: Sequence[Row], columns: Columns, curves: bool, path: Path) -> tuple[Point, ...]:
    """Average the rows of one configuration, epoch by epoch.

    Raises:
        StudyError: an epoch is missing, or a figure that must rise along the curve does not.
    """
    if not curves:
        return (_mean_point(1, rows, columns, path),)
    by_epoch: dict[int, list[Row]] = {}
    for line, cells in rows:
        epoch = _figure(cells[columns.epoch], columns.epoch, line, path)
        by_epoch.setdefault(int(epoch) if epoch == int(epoch) else -1, []).append((line, cells))
    epochs = sorted(by_epoch)
    first = by_epoch[epochs[0]]
    if epochs != list(range(1, len(epochs) + 1)) or any(
        len(each) != len(first) for each in by_epoch.values()
    ):
        raise StudyError(
            f"{path}, line {rows[0][0]}: the configuration that begins here does not have a row "
            f"for each {columns.epoch} from 1 to its last: record all of them, or name every "
            "option that differs by replay.options"
        )
    points = tuple(_mean_point(epoch, by_epoch[epoch], columns, path) for epoch in epochs)
    for before, after in itertools.pairwise(points):
        fallen = columns.energy if after.joules < before.joules else None
        if before.seconds is not None and after.seconds is not None:
            fallen = columns.seconds if after.seconds < before.seconds else fallen
        if fallen is not None:
            raise StudyError(
                f"{path}, line {by_epoch[after.epoch][0][0]}: {fallen} must not fall from epoch "
                f"{before.epoch} to {after.epoch}, since it counts from the start of training: "
                "add the epochs up"
            )
    return points


def _mean_point(epoch: int, rows: Sequence[Row], columns: Columns, path: Path) -> Point:
    def mean(column: str, most: float = math.inf) -> float:
        figures = [_figure(cells[column], column, line, path, most) for line, cells in rows]
        return math.fsum(figures) / len(figures)

    has_seconds = all(cells.get(columns.seconds) for _, cells in rows)
    return Point(
        epoch=epoch,
        accuracy=mean(columns.accuracy, most=1.0),
        joules=mean(columns.energy),
        seconds=mean(columns.seconds) if has_seconds else None,
    )


def _figure(text: str, column: str, line: int, path: Path, most: float = math.inf) -> float:
    number = parsed_cell(text)
    if not isinstance(number, float) or not 0 <= number <= most:
        rule = "a number that is not negative" if most == math.inf else f"from 0 to {most:g}"
        raise StudyError(f"{path}, line {line}: {column} must be {rule}, got {text!r}: correct it")
    return number


def _loose_columns(
    rows: Sequence[Row], header: Sequence[str], dimensions: set[str], columns: Columns
) -> tuple[str, ...]:
    known = {*dimensions, columns.accuracy, columns.energy, columns.seconds, columns.epoch}
    return tuple(
        column
        for column in header
        if column not in known and len({cells[column] for _, cells in rows}) > 1
    )
