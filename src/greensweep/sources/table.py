"""A table of runs that can be analysed, under standard names."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from greensweep.config.metrics import METRICS, Metric
from greensweep.csv_files.frame import read_frame
from greensweep.csv_files.layout import TableError
from greensweep.energy.units import emissions_text, watt_hours_text
from greensweep.errors import AnalysisError, plural, unknown
from greensweep.sources import run_columns as col

ENERGY, ACCURACY = "energy_joules", "accuracy"

# How the columns of our own runs' options begin.
OPTION_GROUPS = ("optimizer.", "scheduler.", "training.", "model.", "dataset.")

_MOST_SHOWN = 8  # values of a column, in a sentence


@dataclass(frozen=True)
class Rows:
    """What a source holds: a row for each run, under the source's own names or ours.

    Attributes:
        left_out: why rows of the source are not among these, and how many.
        warnings: what is doubtful about them.
        searched: columns of the options that a search chose, where it says so.
    """

    frame: pd.DataFrame
    left_out: Mapping[str, int] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    searched: tuple[str, ...] = ()


@dataclass(frozen=True)
class RunTable:
    """Runs that can be analysed.

    Attributes:
        frame: one row per run, with the source's columns. `energy_joules` is the training's. A
            column of the metric's name has that, and `_score` the same so that more is better;
            both are missing where the run did not finish.
        source: where the runs come from.
        rows: that the source has.
        left_out: why rows were left out, and how many.
        warnings: what makes the rows hard to compare.
        metric: that the runs are compared by.
        searched: columns of the options that a search chose, where the source says so.
    """

    frame: pd.DataFrame
    source: str
    rows: int
    left_out: Mapping[str, int] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    metric: Metric = METRICS[ACCURACY]
    searched: tuple[str, ...] = ()

    @cached_property
    def finished(self) -> pd.DataFrame:
        """The runs that have a figure of the metric.

        Raises:
            AnalysisError: there is none; the message names the states that the runs are in.
        """
        found = self.frame[self.frame[col.SCORE].notna()]
        if found.empty:
            states = self.frame[col.STATUS].value_counts()
            shown = ", ".join(f"{state} ({count})" for state, count in states.items())
            errors = self.frame.get("error", pd.Series(dtype=object)).dropna()
            why = f"; the first: {errors.iloc[0]}" if len(errors) else ""
            raise AnalysisError(
                f"no run of {self.source} finished, of {len(self.frame)}: columns.status "
                f"has {shown}{why}"
            )
        return found

    @property
    def options(self) -> list[str]:
        """The columns of our own runs' options."""
        return [name for name in map(str, self.frame) if name.startswith(OPTION_GROUPS)]

    @property
    def configuration(self) -> list[str]:
        """The columns of what was chosen for a run: what was searched, else our own options."""
        return [*self.searched] or self.options

    def __str__(self) -> str:
        left = "".join(f"; left out: {count}, {why}" for why, count in self.left_out.items())
        kilograms = self.frame[col.EMISSIONS].sum(min_count=1)
        emitted = "" if np.isnan(kilograms) else f", {emissions_text(kilograms)}"
        took = watt_hours_text(self.frame[col.SPENT].sum())
        return (
            f"{plural(len(self.frame), 'run')}, {took}{emitted}, of {plural(self.rows, 'row')} "
            f"of {self.source}{left}"
        )

    def require(self, names: Iterable[str], option: str) -> None:
        """Refuse names that an option has and no column.

        Raises:
            AnalysisError: as `column`.
        """
        for name in names:
            column(self.frame, name, option, self.source)

    def only(self, where: Any, option: str) -> "RunTable":
        """Return the runs in which these columns hold these values, as text.

        Args:
            where: the values by column; None takes all runs.
            option: that says so.

        Raises:
            AnalysisError: there is no such column, or no such run; the message names the values
                that are there.
        """
        if where is None:
            return self
        if not isinstance(where, Mapping):
            raise AnalysisError(
                f"{option} must be values by column, got {where}: set "
                f"'{option}={{dataset: digits}}', say"
            )
        frame = self.frame
        for name, wanted in where.items():
            found = column(self.frame, name, f"{option}.{name}", self.source).astype(str)
            frame = frame[found[frame.index] == str(wanted)]
            if frame.empty:
                there = ", ".join(sorted(found.unique())[:_MOST_SHOWN])
                raise AnalysisError(
                    f"{option}.{name}={wanted} leaves no run of {self.source}: there {name} is "
                    f"{there}"
                )
        return replace(self, frame=frame.reset_index(drop=True))


def read_file(path: Path, option: str = "source") -> pd.DataFrame:
    """Read a table as `read_frame` does.

    Args:
        option: that names it.

    Raises:
        AnalysisError: the file is missing, empty or broken; the first broken line is named.
    """
    if path.is_dir():
        raise AnalysisError(f"{option}={path} is a folder: give the CSV or Parquet file in it")
    if not path.is_file():
        others = ", the folder of runs or sweeps, or mlflow" if option == "source" else ""
        raise AnalysisError(f"{option}={path} is no file: give a CSV or Parquet file{others}")
    try:
        return read_frame(path)
    except TableError as error:
        raise AnalysisError(str(error)) from error


def column(frame: pd.DataFrame, name: str, option: str, source: str) -> "pd.Series[Any]":
    """Return a column.

    Args:
        option: that names it.

    Raises:
        AnalysisError: there is none; the message names the nearest ones.
    """
    if name not in frame:
        there = frame.columns[frame.notna().any()]  # empty ones would be no help
        theirs = [str(each) for each in there if each not in col.ADDED]
        other = (
            "; columns.metric=NAME goes by another metric" if option.endswith("accuracy") else ""
        )
        raise AnalysisError(f"{option}: {unknown(f'column of {source}', name, theirs)}{other}")
    return frame[name]


def cell_text(value: Any) -> str | None:
    """Return a cell as it was written; None where it is blank.

    A whole number of a column with blanks is 3.0 by now, and true or false of one without is a
    flag.
    """
    if pd.isna(value):
        return None
    if isinstance(value, bool | np.bool):
        return str(value).lower()
    is_whole = isinstance(value, float) and value.is_integer()
    return str(int(value) if is_whole else value).strip() or None


def joined(frame: pd.DataFrame, names: Sequence[str]) -> "pd.Series[Any]":
    """Return the texts of several columns as one; `all` where there are none.

    Rows have the same text only where they have the same values.
    """
    if not names:
        return pd.Series("all", index=frame.index)
    values = frame[list(names)]
    codes = values.groupby(list(names), dropna=False, sort=False).ngroup()
    kinds = list(values[~codes.duplicated()].itertuples(index=False, name=None))
    texts = [_words(kind) for kind in kinds]
    if len(set(texts)) < len(texts):
        texts = [
            ", ".join(f"{name}={value!r}" for name, value in zip(names, kind, strict=True))
            for kind in kinds
        ]
    return pd.Series(np.array(texts, dtype=object)[codes], index=frame.index)


def _words(values: Sequence[Any]) -> str:
    texts = ["missing" if pd.isna(each) else str(each) for each in values]
    return " ".join([each for each in texts if each != col.UNKNOWN] or texts)


def qualities(frame: pd.DataFrame) -> list[str]:
    """Return the qualities of the energy figures that count, sorted.

    A run that did not finish may have no figure for its training (`unmeasured`): what it spent
    counts, so this says nothing of the figures.
    """
    return sorted(map(str, qualities_in_use(frame).unique()))


def qualities_in_use(frame: pd.DataFrame) -> "pd.Series[Any]":
    """Return the quality of each energy figure that counts."""
    says_nothing = frame[col.STATUS].ne(col.FINISHED) & frame[col.QUALITY].eq("unmeasured")
    return frame[~says_nothing][col.QUALITY]
