"""How a CSV file is laid out: its encoding, what separates its cells, and its header."""

import bz2
import codecs
import csv
import gzip
import io
import lzma
import re
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from greensweep.csv_files.cells import unescape_formula
from greensweep.errors import GreensweepError

_SEPARATORS = (",", ";", "\t", "|")
_LONGEST_CELL = 2**31 - 1  # characters; the csv module's own limit is less than people write
_HINT = re.compile(r'"?sep=(.)"?[\r\n]*', re.IGNORECASE)  # which Excel writes and obeys
_FRACTION = re.compile(r"[+-]?\d*[.,]\d+(e[+-]?\d+)?", re.IGNORECASE)


class TableError(GreensweepError):
    """A file holds no table, or one that cannot be read without guessing."""


@dataclass(frozen=True)
class Layout:
    """How to read a file.

    Attributes:
        skipped: lines before the header.
        names: of the columns; "" where there is none.
    """

    encoding: str
    separator: str
    skipped: int
    names: tuple[str, ...]


def layout_of(path: Path) -> Layout:
    """Return how a file is laid out.

    Its cells are separated by what gives its header the most of them: comma, semicolon, tab or
    bar, or what a first line `sep=;` says.

    Raises:
        TableError: it is empty, no text in UTF-8 or UTF-16, or its first line holds no names.
        OSError: it cannot be read.
    """
    encoding = _encoding(path)
    try:
        with open_text(path, encoding) as file:
            hint = _HINT.fullmatch(file.readline(100))
        skipped = int(bool(hint))
        headers = {
            each: _first_row(path, encoding, each, skipped)
            for each in ((hint[1],) if hint else _SEPARATORS)
        }
    except UnicodeDecodeError as error:
        raise undecodable(path) from error
    separator = max(headers, key=lambda each: len(headers[each]))
    names = checked_names(headers[separator], path)
    if not any(names):
        raise TableError(f"{path} is empty: give a table with a header line")
    if any(_FRACTION.fullmatch(name) for name in names):
        raise TableError(
            f"{path}, line {1 + skipped} holds numbers ({', '.join(names[:3])}), not the names of "
            "columns: write a header line above it"
        )
    return Layout(encoding, separator, skipped, names)


def checked_names(names: Sequence[Any], source: Path | str) -> tuple[str, ...]:
    """Return the names of columns, without the space around them.

    Raises:
        TableError: two are the same.
    """
    plain = tuple(unescape_formula(str(name).strip()) for name in names)
    for name in filter(None, plain):
        if plain.count(name) > 1:
            raise TableError(f"{source} has two columns called {name}: rename one of them")
    return plain


@contextmanager
def open_text(path: Path, encoding: str, skipped: int = 0) -> Iterator[IO[str]]:
    """Open a file, which may be packed, behind some lines, for cells as long as they come."""
    limit = csv.field_size_limit(_LONGEST_CELL)
    try:
        with _open(path) as raw, io.TextIOWrapper(raw, encoding=encoding, newline="") as file:
            for _ in range(skipped):
                file.readline()
            yield file
    finally:
        csv.field_size_limit(limit)


def undecodable(path: Path) -> TableError:
    """Name the first line that is no UTF-8."""
    found = 1
    with _open(path) as file:
        for number, line in enumerate(file, start=1):
            try:
                line.decode()
            except UnicodeDecodeError:
                found = number
                break
    return TableError(f"{path}, line {found} is no UTF-8 text: save the file with that encoding")


def _first_row(path: Path, encoding: str, separator: str, skipped: int) -> list[str]:
    with open_text(path, encoding, skipped) as file:
        rows = csv.reader(file, delimiter=separator)
        return next((row for row in rows if not is_blank(row)), [])


def is_blank(row: Sequence[str]) -> bool:
    """Tell whether a line holds nothing, which no reader takes for a row."""
    return len(row) < 2 and not "".join(row).strip()


@contextmanager
def _open(path: Path) -> Iterator[IO[bytes]]:
    openers: dict[str, Any] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
    try:
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive, archive.open(archive.namelist()[0]) as file:
                yield file
        else:
            with openers.get(path.suffix, open)(path, "rb") as file:
                yield file
    except (EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, gzip.BadGzipFile) as error:
        raise TableError(f"{path} cannot be unpacked ({error}): pack it again") from error


def _encoding(path: Path) -> str:
    with _open(path) as file:
        head = file.read(1024)
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if b"\0" in head:
        raise undecodable(path)
    return "utf-8-sig"
