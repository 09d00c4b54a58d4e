"""The metrics that a command of any language tells: in its output's lines, or in a file."""

import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from greensweep.csv_files.layout import TableError
from greensweep.csv_files.rows import read_rows
from greensweep.energy.notices import warn_once
from greensweep.errors import ConfigError, first_line
from greensweep.nested import dotted

Figures = Mapping[str, float]  # by name; `epoch` and `epochs` among them where they are told

READ_SECONDS = 0.2  # how often a file is looked at

_LINE = re.compile(r"\bGREENSWEEP_METRIC\b:?(.*)")
_PAIR = re.compile(r"([^\s=:]+)\s*[=:]\s*(\S+)")
_NAMES = re.compile(r"[/.\s]+")  # which part names as _ does: val/loss, test.accuracy


class MetricLines:
    """Reads metrics from lines.

    `GREENSWEEP_METRIC name=value …` names them; a pattern, a regular expression, by its groups, as
    in `Acc@1 (?P<top1>[0-9.]+)`.

    Raises:
        ConfigError: a pattern is none, or names no group.
    """

    def __init__(self, patterns: Sequence[str] = ()) -> None:
        self._patterns = [_compiled(each) for each in patterns]
        self._unmatched = {each.pattern: None for each in self._patterns}

    def read(self, line: str) -> Figures:
        """Return the figures of a line; none of nearly all lines."""
        figures: dict[str, float] = {}
        if found := _LINE.search(line):
            pairs = _PAIR.findall(found[1])
            if not pairs:
                warn_once(
                    f"{line.strip()!r} names no metric: write GREENSWEEP_METRIC NAME=VALUE NAME=…"
                )
            for name, value in pairs:
                figures |= _figure(name, value.rstrip(",;"), line)
        for pattern in self._patterns:
            if found := pattern.search(line):
                self._unmatched.pop(pattern.pattern, None)
                for name, value in found.groupdict().items():
                    figures |= _figure(name, value, line) if value is not None else {}
        return figures

    def tell_unmatched(self) -> None:
        """Warn of each pattern that no line had."""
        for pattern in self._unmatched:
            warn_once(
                f"--pattern {pattern!r} matched no line of the command's standard output: try it "
                "on a line of that, without colours and the like."
            )


class MetricFile:
    """Reads metrics from a file that the command writes, row by row or anew each time.

    It holds CSV, one row an epoch, or JSON: an object, a list of them, one in each line, or lists
    by name. What stood in it before the command is left out.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._first = self._version = self._stamp()
        self._seen = _known(path)
        self._due = 0.0  # when to look again

    def read(self, *, complete: bool = False) -> list[Figures]:
        """Return what is new in it.

        Args:
            complete: nobody writes it any more, so that what is broken or missing is told.
        """
        began = time.monotonic()
        if began < self._due and not complete:
            return []
        self._due = began + READ_SECONDS
        stamp = self._stamp()
        if complete and stamp == self._first:
            warn_once(f"No metrics from {self._path}: the command did not write it.")
        if stamp == self._version:
            if complete and stamp != self._first:
                self._tell_empty()
            return []
        try:
            found = _read(self._path)
        except (OSError, TableError, ValueError) as error:
            if complete:
                is_text = not isinstance(error, UnicodeDecodeError)
                said = first_line(error) if is_text else "it is no UTF-8 text"
                warn_once(f"No metrics from {self._path}: {said}.")
            return []
        # To read a long one again and again must not cost what the run is charged.
        self._due += 50 * (time.monotonic() - began)
        seen, self._seen = self._seen, found
        is_first, self._version = self._version == self._first, stamp
        if complete:
            self._tell_empty()
        if len(found) > len(seen) or (found == seen and not is_first):
            return found[len(seen) :] if found[: len(seen)] == seen or not is_first else found
        return found

    def _tell_empty(self) -> None:
        if not any(each.keys() - {"epoch", "epochs"} for each in self._seen):
            warn_once(f"No metrics from {self._path}: it holds no number beside a name.")

    def _stamp(self) -> tuple[int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size


def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ConfigError(f"--pattern {pattern!r} is no regular expression: {error}") from error
    if not compiled.groupindex:
        raise ConfigError(
            f"--pattern {pattern!r} names no metric: write its number as (?P<NAME>[0-9.]+)"
        )
    return compiled


def _figure(name: str, value: str, line: str) -> dict[str, float]:
    try:
        return {_NAMES.sub("_", name): float(value)} if name else {}
    except ValueError:
        warn_once(f"{name}={value!r} in {line.strip()!r} is no number, and left out.")
        return {}


def _known(path: Path) -> list[Figures]:
    try:
        return _read(path)
    except (OSError, TableError, ValueError):
        return []


def _read(path: Path) -> list[Figures]:
    """Return the figures of each row or object; what is no number is left out.

    Raises:
        TableError: it is a broken CSV file.
        ValueError: it is broken JSON.
        OSError: it cannot be read.
    """
    if path.suffix.lower() not in (".json", ".jsonl", ".ndjson"):
        _, rows = read_rows(path)
        return [_figures(cells) for _, cells in rows]
    return [_figures(dotted(each)) for each in _objects(path.read_text(encoding="utf-8"))]


def _objects(text: str) -> Iterator[Mapping[str, Any]]:
    try:
        values = json.loads(text)
    except ValueError:
        values = [json.loads(line) for line in text.splitlines() if line.strip()]
    if isinstance(values, Mapping):
        columns = [each for each in values.values() if isinstance(each, list)]
        if not columns or len(columns) < len(values):
            yield values
            return
        values = [dict(zip(values, row, strict=False)) for row in zip(*columns, strict=False)]
    yield from (each for each in values if isinstance(each, Mapping))


def _figures(cells: Mapping[str, Any]) -> Figures:
    found = {}
    for name, cell in cells.items():
        if not isinstance(cell, bool | None):
            try:
                found[_NAMES.sub("_", name)] = float(cell)
            except (TypeError, ValueError):
                continue  # a text, or a cell that is empty
    # As Keras has it: beside val_loss, loss is that of training.
    return {f"train_{n}" if f"val_{n}" in found else n: figure for n, figure in found.items()}
