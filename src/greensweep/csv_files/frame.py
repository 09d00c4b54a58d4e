"""Tables as data frames, from CSV files and from Parquet."""

import warnings
from pathlib import Path
from typing import Any

import pandas as pd

from greensweep.csv_files.cells import unescape_formula
from greensweep.csv_files.figures import MISSING, decimal_points, may_be_numbers
from greensweep.csv_files.layout import Layout, TableError, checked_names, layout_of
from greensweep.csv_files.rows import broken_line
from greensweep.errors import first_line


def read_frame(path: Path) -> pd.DataFrame:
    """Read a CSV file, or Parquet (`.parquet`, `.pq`); columns without a name are left out.

    A column of numbers may have missing ones (NA, nan, -); a text stays as it is, also such a one.

    Raises:
        TableError: the file is missing, empty or broken; the first broken line is named.
    """
    try:
        if path.suffix in (".parquet", ".pq"):
            frame = pd.read_parquet(path, engine="pyarrow")
            frame.columns = pd.Index(checked_names(list(frame.columns), path))
            return frame.reset_index(drop=True)
        return _read_csv(path, layout_of(path))
    except (OSError, ValueError, EOFError) as error:
        raise TableError(f"{path} cannot be read: {first_line(error)}") from error


def _read_csv(path: Path, layout: Layout) -> pd.DataFrame:
    whole_cells = layout.separator != ","  # a decimal comma in one column shows that of the others
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            # Else cells beyond the header's names shift the columns: the first are row labels.
            frame = pd.read_csv(
                path,
                sep=layout.separator,
                encoding=layout.encoding,
                skiprows=layout.skipped,
                low_memory=False,
                index_col=False,
                keep_default_na=False,
                na_values=[""],
                dtype=str if whole_cells else None,
            )
    except (pd.errors.ParserError, pd.errors.ParserWarning, UnicodeDecodeError) as error:
        raise broken_line(path, layout) or error from error
    # pandas fills a line that ends early without a word.
    if frame.iloc[:, -1].isna().any() and (broken := broken_line(path, layout)):
        raise broken
    columns = {name: frame.iloc[:, number] for number, name in enumerate(layout.names) if name}
    texts = {
        name: values for name, values in columns.items() if pd.api.types.is_string_dtype(values)
    }
    columns |= {name: _shown(values) for name, values in texts.items()}
    maybe = {name: each for name, each in texts.items() if may_be_numbers(each.dropna())}
    plain = decimal_points([each.fillna("").tolist() for each in maybe.values()], layout.separator)
    for name, values in zip(maybe, plain, strict=True):
        numbers = _numbers(pd.Series(values, dtype=str))
        columns |= {} if numbers is None else {name: numbers}
    return pd.DataFrame(columns)


def _numbers(texts: "pd.Series[str]") -> "pd.Series[Any] | None":
    """Return a column of texts as numbers, where it holds any and nothing else."""
    known = texts[~texts.str.strip().str.casefold().isin(MISSING)]
    numbers = pd.to_numeric(known, errors="coerce")
    return numbers.reindex(texts.index) if len(known) and numbers.notna().all() else None


def _shown(texts: "pd.Series[str]") -> "pd.Series[str]":
    guarded = texts.str.startswith("'", na=False)
    return texts.mask(guarded, texts[guarded].map(unescape_formula)) if guarded.any() else texts
