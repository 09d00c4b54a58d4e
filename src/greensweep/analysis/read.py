"""Read a table of runs from a file."""

import bz2
import csv
import gzip
import lzma
import warnings
from pathlib import Path
from typing import Any

import pandas as pd

from greensweep.errors import AnalysisError, first_line

# How to open what pandas unpacks by its name; in others than these no line is looked up.
_OPENERS: dict[str, Any] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
_OTHER_ARCHIVES = (".zip", ".zst", ".tar")
_LONGEST_CELL = 2**31 - 1  # characters; the csv module's own limit is less than pandas takes


def read_file(path: Path) -> pd.DataFrame:
    """Read a CSV file, or Parquet (`.parquet`, `.pq`).

    Raises:
        AnalysisError: the file is missing, empty or broken; the first broken line is named.
    """
    if not path.is_file():
        raise AnalysisError(f"source={path} is no file: give a CSV or Parquet file, or mlflow")
    try:
        if path.suffix in (".parquet", ".pq"):
            return pd.read_parquet(path)
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            # Else cells beyond the header's names shift the columns: the first are row labels.
            frame = pd.read_csv(path, low_memory=False, index_col=False)
    except pd.errors.EmptyDataError as error:
        raise AnalysisError(f"{path} is empty: give a table with a header line") from error
    except (pd.errors.ParserError, pd.errors.ParserWarning) as error:
        said = _first_broken_line(path) or f" cannot be read: {first_line(error)}"
        raise AnalysisError(f"{path}{said}") from error
    except UnicodeDecodeError as error:
        raise AnalysisError(
            f"{path}, line {_first_undecodable_line(path)} is no UTF-8 text: save the file with "
            "that encoding"
        ) from error
    except (OSError, ValueError) as error:
        raise AnalysisError(f"{path} cannot be read: {first_line(error)}") from error
    # pandas fills a line that ends early without a word.
    broken = _first_broken_line(path) if frame.iloc[:, -1].isna().any() else None
    if broken is not None:
        raise AnalysisError(f"{path}{broken}")
    return frame


def _first_broken_line(path: Path) -> str | None:
    """Say which line is the first with more or fewer cells than the header; None: there is none.

    A row may go over several lines, within quotes: the line that it begins on is named.
    """
    if path.suffix in _OTHER_ARCHIVES:
        return None
    opener = _OPENERS.get(path.suffix, open)
    limit = csv.field_size_limit(_LONGEST_CELL)
    try:
        with opener(path, "rt", encoding="utf-8-sig", errors="replace", newline="") as opened:
            rows = csv.reader(opened)
            names, begin, after = 0, 1, 0
            for cells in rows:
                begin, after = after + 1, rows.line_num
                if len(cells) == 0 or (len(cells) == 1 and not cells[0].strip()):
                    continue  # pandas leaves blank lines out
                names = names or len(cells)
                if len(cells) != names:
                    return f", line {begin} has {_difference(len(cells), names, after > begin)}"
    finally:
        csv.field_size_limit(limit)
    return f", line {begin} has a quote that is not closed" if after > begin else None


def _difference(cells: int, names: int, goes_on: bool) -> str:
    if cells > names:
        return (
            f"more cells than its header has names ({cells}, not {names}): name every column, or "
            "leave out commas at the ends of lines"
        )
    quote = ", and close its quotes" if goes_on else ""
    return (
        f"fewer cells than its header has names ({cells}, not {names}): write the line whole{quote}"
    )


def _first_undecodable_line(path: Path) -> int:
    with _OPENERS.get(path.suffix, open)(path, "rb") as opened:
        for number, line in enumerate(opened, start=1):
            try:
                line.decode()
            except UnicodeDecodeError:
                return number
    return 1
