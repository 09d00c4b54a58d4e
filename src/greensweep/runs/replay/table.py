"""A table of recorded runs: CSV in, configurations with their learning curves out."""

import itertools
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from greensweep.config.schema_replay import ReplayColumnsConfig
from greensweep.csv_files.figures import (
    ACCURACY_UNITS,
    ENERGY_UNITS,
    TIME_UNITS,
    accuracy_factor,
    doubtful_power,
    energy_factor,
)
from greensweep.csv_files.layout import TableError
from greensweep.csv_files.rows import Row, read_column, read_rows
from greensweep.errors import StudyError, first_line, listed, unknown


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
    columns: ReplayColumnsConfig | None = None,
) -> RecordedTable:
    """Read recorded runs.

    A column belongs to an option by the option's full name, or else by its last part. There are
    no curves where `where` picks one epoch.

    Args:
        options: the dimensions; None takes those of `searched` that the table has, without empty
            cells and not in `where`.
        where: by column, what the rows to use hold.
        columns: what the figures are called.

    Raises:
        StudyError: the file cannot be read, or lacks what the arguments name, or a figure is bad.
    """
    try:
        return _Reader(path, columns or ReplayColumnsConfig(), where or {}).read(options, searched)
    except TableError as error:
        raise StudyError(str(error)) from error
    except OSError as error:
        raise StudyError(
            f"replay.table={path} cannot be read ({first_line(error)}): name a CSV file with "
            "a header"
        ) from error


class _Reader:
    """Reads the rows of a file that `where` leaves."""

    def __init__(self, path: Path, columns: ReplayColumnsConfig, where: Mapping[str, Any]) -> None:
        self._path, self._columns, self._where = path, columns, where
        self._header, self._rows = read_rows(path)
        if not self._rows:
            raise StudyError(f"{path} has no rows below a header: record something first")
        for name in (columns.accuracy, columns.energy):
            if name not in self._header:
                raise StudyError(
                    f"{path}, line 1: {unknown('column', name, self._header)}; replay.columns says "
                    "what the figures are called"
                )
        for column, wanted in where.items():
            self._rows = self._filtered(column, wanted)

    def read(self, options: Sequence[str] | None, searched: Sequence[str]) -> RecordedTable:
        found = self._find_columns(options, searched)
        curves = self._columns.epoch in self._header and self._columns.epoch not in self._where
        points = self._read_points(curves)
        parsed = [self._parse_column(column) for column in found.values()]
        names = self._columns
        known = {*found.values(), names.accuracy, names.energy, names.seconds, names.epoch}
        groups: dict[tuple[float | str, ...], list[tuple[int, RecordedPoint]]] = {}
        for (line, _), point, *values in zip(self._rows, points, *parsed, strict=True):
            groups.setdefault(tuple(values), []).append((line, point))
        return RecordedTable(
            path=self._path,
            dimensions=tuple(found),
            configurations=tuple(
                Configuration(
                    dict(zip(found, values, strict=True)), runs[0][0], self._mean_curve(runs)
                )
                for values, runs in groups.items()
            ),
            curves=curves,
            ignored_columns=tuple(
                column
                for column in self._header
                if column not in known and len({cells[column] for _, cells in self._rows}) > 1
            ),
            warnings=self._warnings(points),
        )

    def _filtered(self, column: str, wanted: Any) -> list[Row]:
        if column not in self._header:
            raise StudyError(
                f"replay.where.{column}: in {self._path} {unknown('column', column, self._header)}"
            )
        sought = parsed_cell(as_text(wanted))
        kept = [row for row in self._rows if parsed_cell(row[1][column]) == sought]
        if not kept:
            held = sorted({cells[column] for _, cells in self._rows})
            raise StudyError(
                f"replay.where.{column}={wanted} leaves no row of {self._path}: there {column} is "
                f"{listed(held)}"
            )
        return kept

    def _find_columns(
        self, options: Sequence[str] | None, searched: Sequence[str]
    ) -> dict[str, str]:
        """Return the dimensions, each with its column."""
        path, header = self._path, self._header
        found: dict[str, str] = {}
        for option in searched if options is None else options:
            column = option if option in header else last_part(option)
            if options is not None and column not in header:
                raise StudyError(
                    f"replay.options names {option}, but in {path} "
                    f"{unknown('column', last_part(option), header)}"
                )
            if column not in header or (options is None and column in self._where):
                continue
            empty = [line for line, cells in self._rows if not cells[column]]
            if empty and options is not None:
                raise StudyError(
                    f"{path}, line {empty[0]}: {column} is empty, but replay.options names "
                    f"{option}: fill it in, leave such rows out by replay.where, or take it off "
                    "replay.options"
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

    def _parse_column(self, column: str) -> list[float | str]:
        """Read a column as numbers, or, if any cell is none, all of it as text."""
        parsed = [parsed_cell(cells[column]) for _, cells in self._rows]
        if any(isinstance(each, str) for each in parsed):
            return [cells[column].casefold() for _, cells in self._rows]
        return parsed

    def _read_points(self, curves: bool) -> list[RecordedPoint]:
        """Read the figures of each row."""
        path, columns, rows = self._path, self._columns, self._rows
        try:
            unit = energy_factor(
                columns.energy, columns.energy_unit, self._header, "replay.columns.energy_unit"
            )
        except TableError as error:
            raise StudyError(f"replay.columns.energy: {path}: {error}") from error
        share = accuracy_factor(columns.accuracy, columns.accuracy_unit)
        timed = [row for row in rows if row[1].get(columns.seconds)]
        read = partial(read_column, path)
        accuracies = read(rows, columns.accuracy, ACCURACY_UNITS, share)
        joules = read(rows, columns.energy, ENERGY_UNITS, unit)
        seconds = read(timed, columns.seconds, TIME_UNITS)
        epochs = read(rows, columns.epoch) if curves else dict.fromkeys(accuracies, 1.0)
        for line, cells in rows:
            if (accuracy := accuracies[line]) > 1:
                way = ", or set replay.columns.accuracy_unit=percent" if accuracy <= 100 else ""
                raise StudyError(
                    f"{path}, line {line}: {columns.accuracy} must be from 0 to 1, got "
                    f"{cells[columns.accuracy]!r}: correct it{way}"
                )
        whole = {line: int(epoch) if epoch.is_integer() else -1 for line, epoch in epochs.items()}
        return [
            RecordedPoint(whole[line], accuracies[line], joules[line], seconds.get(line))
            for line, _ in rows
        ]

    def _warnings(self, points: Sequence[RecordedPoint]) -> tuple[str, ...]:
        """Hold joules against seconds."""
        columns = self._columns
        timed = [(each.joules, each.seconds) for each in points if each.seconds is not None]
        doubt = doubtful_power(*zip(*timed, strict=True)) if timed else None
        if doubt is None:
            return ()
        said = f"{columns.energy} over {columns.seconds} of {self._path} is {doubt[0]}"
        if not doubt[1]:
            raise StudyError(f"{said}: set replay.columns.energy_unit=kWh or its like")
        return (f"{said}: is replay.columns.energy_unit right?",)

    def _mean_curve(
        self, recorded: Sequence[tuple[int, RecordedPoint]]
    ) -> tuple[RecordedPoint, ...]:
        """Average what one configuration recorded, by line, epoch by epoch."""
        path, columns = self._path, self._columns
        by_epoch: dict[int, list[tuple[int, RecordedPoint]]] = {}
        for line, point in recorded:
            by_epoch.setdefault(point.epoch, []).append((line, point))
        epochs = range(1, len(by_epoch) + 1)
        if by_epoch.keys() != set(epochs) or len(set(map(len, by_epoch.values()))) > 1:
            raise StudyError(
                f"{path}, line {recorded[0][0]}: the configuration that begins here does not have "
                f"a row for each {columns.epoch} from 1 to its last: record all of them, or name "
                "every option that differs by replay.options"
            )
        curve = tuple(_mean_point(n, [point for _, point in by_epoch[n]]) for n in epochs)
        for before, after in itertools.pairwise(curve):
            fallen = columns.energy if after.joules < before.joules else None
            if before.seconds is not None and after.seconds is not None:
                fallen = columns.seconds if after.seconds < before.seconds else fallen
            if fallen is not None:
                raise StudyError(
                    f"{path}, line {by_epoch[after.epoch][0][0]}: {fallen} must not fall from "
                    f"epoch {before.epoch} to {after.epoch}, since it counts from the start of "
                    "training: add the epochs up"
                )
        return curve


def _mean_point(epoch: int, points: Sequence[RecordedPoint]) -> RecordedPoint:
    seconds = [each.seconds for each in points if each.seconds is not None]
    return RecordedPoint(
        epoch,
        statistics.fmean(each.accuracy for each in points),
        statistics.fmean(each.joules for each in points),
        statistics.fmean(seconds) if len(seconds) == len(points) else None,
    )


def last_part(option: str) -> str:
    """Return the short name of an option: learning_rate of optimizer.learning_rate."""
    return option.rpartition(".")[2]


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
