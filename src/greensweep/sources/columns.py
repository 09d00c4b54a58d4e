"""The columns of a user's table, read as numbers, texts and flags by the options `columns.…`."""

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import pandas as pd

from greensweep.config.schema_analysis import ColumnsConfig
from greensweep.csv_files.figures import MISSING, FigureError, read_figures, scaled
from greensweep.csv_files.layout import TableError, checked_names
from greensweep.errors import AnalysisError
from greensweep.sources.table import column

TRUE, FALSE = ("true", "1", "1.0", "yes"), ("false", "0", "0.0", "no")
DEFAULTS = ColumnsConfig()
_BLANK = ("",)
_NAMES = ("strategy", "seed")  # in which NA and none are names


class SourceColumns:
    """A source's table, whose columns are read by the key of the option that names them.

    Args:
        raw: at least one row.
        config: what the columns are called.
        source: where the table is from, for messages.

    Raises:
        AnalysisError: there are no rows, or two columns of one name.
    """

    def __init__(self, raw: pd.DataFrame, config: ColumnsConfig, source: str) -> None:
        if raw.empty:
            raise AnalysisError(f"{source} has no runs: give a table with a row for each run")
        try:
            names = checked_names(list(raw.columns), source)
        except TableError as error:
            raise AnalysisError(str(error)) from error
        self.raw = plain_types(raw.set_axis(names, axis="columns"))
        self.config = config
        self.source = source

    def name(self, key: str) -> str:
        """Return what the column of that key is called."""
        return str(getattr(self.config, key))

    def has(self, key: str) -> bool:
        """Return whether an optional column is there.

        Raises:
            AnalysisError: the user named it, and it is not.
        """
        name = getattr(self.config, key)
        if name is not None and name != getattr(DEFAULTS, key):
            column(self.raw, name, f"columns.{key}", self.source)
        return name is not None and name in self.raw

    def numbers(
        self,
        key: str,
        units: Mapping[str, float] | None = None,
        factor: float = 1.0,
        *,
        name: str | None = None,
    ) -> "pd.Series[float]":
        """Return a column as numbers in one unit.

        Args:
            name: of the column, where it is not the option's.

        Raises:
            AnalysisError: a cell is no number, whose row would else be left out.
        """
        name = name or self.name(key)
        values = column(self.raw, name, f"columns.{key}", self.source)
        if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
            return cast("pd.Series[float]", scaled(values.astype(float), factor))
        cells = values.astype(object)
        try:
            numbers = read_figures(cells.where(values.notna(), None), units, factor)
        except FigureError as error:
            raise AnalysisError(
                f"columns.{key}: in {self.source}, row {error.index + 1} below the header, {name} "
                f"{error}"
            ) from error
        return pd.Series(numbers, index=self.raw.index, dtype=float)

    def optional(self, key: str, otherwise: Any) -> "pd.Series[Any]":
        """Return an optional column, with another value where it is missing or blank."""
        if not self.has(key):
            return pd.Series(otherwise, index=self.raw.index)
        values: pd.Series[Any] = self.raw[self.name(key)]
        blank = _BLANK if key in _NAMES else MISSING
        missing = [each for each in values.unique() if _folded(each) in blank]
        return values.where(values.notna() & ~values.isin(missing), otherwise)

    def words(self, key: str, otherwise: str) -> "pd.Series[str]":
        """Return an optional column as texts in lower case."""
        values = self.optional(key, otherwise)
        return values.map({each: _folded(each) for each in values.unique()})

    def flags(self, key: str, otherwise: str = "false") -> "pd.Series[bool]":
        """Return an optional column of true and false.

        Raises:
            AnalysisError: a cell is neither.
        """
        words = self.words(key, otherwise)
        unclear = words[~words.isin(TRUE + FALSE)]
        if len(unclear):
            raise AnalysisError(
                f"columns.{key}: {self.name(key)} of {self.source} must be true or false, got "
                f"{unclear.iloc[0]!r}: write it so"
            )
        return words.isin(TRUE)


def plain_types(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a table without categories, lists, nullable or Arrow numbers: numbers and texts."""
    plain = {}
    for name in frame.columns:
        values = frame[name]
        if isinstance(values.dtype, pd.CategoricalDtype):
            values = values.astype(object).infer_objects()
        elif pd.api.types.is_bool_dtype(values.dtype) and values.isna().any():
            values = values.astype(object)
        elif pd.api.types.is_numeric_dtype(values.dtype) and not isinstance(values.dtype, np.dtype):
            values = pd.Series(values.to_numpy(float, na_value=np.nan), index=frame.index)
        elif values.dtype == object and not values.map(_is_hashable).all():
            values = values.astype(str)
        plain[name] = values
    return pd.DataFrame(plain, index=frame.index)


def _is_hashable(value: Any) -> bool:
    return value.__hash__ is not None


def _folded(value: Any) -> str:
    return str(value).strip().casefold()
