"""A table of recorded runs: CSV in, configurations with their learning curves out."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from greensweep.csv_files.figures import (
    ACCURACY_UNITS,
    ENERGY_UNITS,
    TIME_UNITS,
    AccuracyUnit,
    EnergyUnit,
    accuracy_factor,
    doubtful_power,
    energy_factor,
)
from greensweep.csv_files.layout import TableError
from greensweep.csv_files.rows import Row, read_column, read_rows
from greensweep.errors import StudyError, listed, unknown

_Figures = Mapping[str, Mapping[int, float]]  # by column and line


@dataclass(frozen=True)
class Columns:
    """What the figures are called in the table; `seconds` and `epoch` need not be there.

    Units are None where the names hold them, or are joules and shares.
    """

    accuracy: str = "accuracy"
    energy: str = "energy_joules"
    seconds: str = "seconds"
    epoch: str = "epoch"
    energy_unit: EnergyUnit | None = None
    accuracy_unit: AccuracyUnit | None = None


@dataclass(frozen=True)
class RecordedPoint:
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
    curve: tuple[RecordedPoint, ...]


@dataclass(frozen=True)
class RecordedTable:
    """What a table holds.

    Attributes:
        dimensions: the options that distinguish configurations.
        configurations: in the order of the file.
        curves: whether it holds learning curves.
        ignored_columns: further ones in which rows differ, though they distinguish no
            configurations.
        warnings: what is odd about the figures.
    """

    path: Path
    dimensions: tuple[str, ...]
    configurations: tuple[Configuration, ...]
    curves: bool
    ignored_columns: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


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
    figures = _read_figures(rows, columns, curves, header, path)
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
                _curve(members, columns, curves, figures, path),
            )
            for values, members in groups.items()
        ),
        curves=curves,
        ignored_columns=_ignored_columns(rows, header, set(found.values()), columns),
        warnings=_warnings(figures, columns, path),
    )


def last_part(option: str) -> str:
    """Return the short name of an option: learning_rate of optimizer.learning_rate."""
    return option.rpartition(".")[2]


def _read_rows(path: Path) -> tuple[list[str], list[Row]]:
    try:
        header, rows = read_rows(path)
    except TableError as error:
        raise StudyError(str(error)) from error
    except OSError as error:
        raise StudyError(
            f"replay.table={path} cannot be read ({error}): name a CSV file with a header"
        ) from error
    if not rows:
        raise StudyError(f"{path} has no rows below a header: record something first")
    return header, rows


def _filtered(
    rows: list[Row], where: Mapping[str, Any], header: Sequence[str], path: Path
) -> list[Row]:
    for column, wanted in where.items():
        if column not in header:
            raise StudyError(
                f"replay.where.{column}: in {path} {unknown('column', column, header)}"
            )
        sought = parsed_cell(as_text(wanted))
        kept = [row for row in rows if parsed_cell(row[1][column]) == sought]
        if not kept:
            held = sorted({cells[column] for _, cells in rows})
            raise StudyError(
                f"replay.where.{column}={wanted} leaves no row of {path}: there {column} is "
                f"{listed(held)}"
            )
        rows = kept
    return rows


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
            f"{path} records no option of {sought} ({named}) in every row, so nothing "
            f"distinguishes its configurations: name some by replay.options; the columns are "
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


def _read_figures(
    rows: Sequence[Row], columns: Columns, curves: bool, header: Sequence[str], path: Path
) -> _Figures:
    """Read the figures of all rows: joules, accuracies of 0 to 1, and seconds where there are.

    Raises:
        StudyError: one is no such figure.
    """
    try:
        joules = energy_factor(
            columns.energy, columns.energy_unit, header, "replay.columns.energy_unit"
        )
    except TableError as error:
        raise StudyError(f"replay.columns.energy: {path}: {error}") from error
    share = accuracy_factor(columns.accuracy, columns.accuracy_unit)
    timed = [row for row in rows if row[1].get(columns.seconds)]
    read = partial(read_column, path)
    try:
        figures = {
            columns.accuracy: read(rows, columns.accuracy, ACCURACY_UNITS, share),
            columns.energy: read(rows, columns.energy, ENERGY_UNITS, joules),
            columns.seconds: read(timed, columns.seconds, TIME_UNITS),
            **({columns.epoch: read(rows, columns.epoch)} if curves else {}),
        }
    except TableError as error:
        raise StudyError(str(error)) from error
    for line, cells in rows:
        accuracy = figures[columns.accuracy][line]
        if accuracy > 1:
            way = ", or set replay.columns.accuracy_unit=percent" if accuracy <= 100 else ""
            raise StudyError(
                f"{path}, line {line}: {columns.accuracy} must be from 0 to 1, got "
                f"{cells[columns.accuracy]!r}: correct it{way}"
            )
    return figures


def _warnings(figures: _Figures, columns: Columns, path: Path) -> tuple[str, ...]:
    """Hold joules against seconds.

    Raises:
        StudyError: no machine draws such a power.
    """
    seconds, joules = figures[columns.seconds], figures[columns.energy]
    doubt = doubtful_power((joules[line] for line in seconds), seconds.values())
    if doubt is None:
        return ()
    said = f"{columns.energy} over {columns.seconds} of {path} is {doubt[0]}"
    if not doubt[1]:
        raise StudyError(f"{said}: set replay.columns.energy_unit=kWh or its like")
    return (f"{said}: is replay.columns.energy_unit right?",)


def _curve(
    rows: Sequence[Row], columns: Columns, curves: bool, figures: _Figures, path: Path
) -> tuple[RecordedPoint, ...]:
    """Average the rows of one configuration, epoch by epoch.

    Raises:
        StudyError: an epoch is missing, or a figure that must rise along the curve does not.
    """
    if not curves:
        return (_mean_point(1, rows, columns, figures),)
    by_epoch: dict[int, list[Row]] = {}
    for line, cells in rows:
        epoch = figures[columns.epoch][line]
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
    points = tuple(_mean_point(epoch, by_epoch[epoch], columns, figures) for epoch in epochs)
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


def _mean_point(
    epoch: int, rows: Sequence[Row], columns: Columns, figures: _Figures
) -> RecordedPoint:
    def mean(column: str) -> float:
        return math.fsum(figures[column][line] for line, _ in rows) / len(rows)

    is_timed = all(line in figures[columns.seconds] for line, _ in rows)
    return RecordedPoint(
        epoch=epoch,
        accuracy=mean(columns.accuracy),
        joules=mean(columns.energy),
        seconds=mean(columns.seconds) if is_timed else None,
    )


def _ignored_columns(
    rows: Sequence[Row], header: Sequence[str], dimensions: set[str], columns: Columns
) -> tuple[str, ...]:
    known = {*dimensions, columns.accuracy, columns.energy, columns.seconds, columns.epoch}
    return tuple(
        column
        for column in header
        if column not in known and len({cells[column] for _, cells in rows}) > 1
    )
