"""Runs as one table: its columns, and which rows an analysis may use."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from greensweep.config.schema_analysis import ColumnsConfig
from greensweep.errors import AnalysisError, unknown

# Columns that `standard_table` adds. All others stay as they are: a user's may be called `seed`.
ENERGY, ACCURACY = "energy_joules", "accuracy"
SPENT, SETTING, STRATEGY, SEED, ORDER = "_spent", "_setting", "_strategy", "_seed", "_order"
STATUS, QUALITY, MACHINE, CONTENDED = "_status", "_quality", "_machine", "_contended"

# How the columns of our own runs' options begin.
OPTION_GROUPS = ("optimizer.", "scheduler.", "training.", "model.", "dataset.")

NO_STRATEGY = "none"  # of a run that no search drew
_FINISHED = "finished"
_MOST_JOULES = 1e21  # more than the world uses in a year


@dataclass(frozen=True)
class RunTable:
    """Runs that can be analysed.

    Attributes:
        frame: one row per run, with the source's columns. `energy_joules` is the training's;
            `accuracy` is from 0 to 1, and missing where the run did not finish.
        source: where the runs come from.
        rows: that the source has.
        left_out: why rows were left out, and how many.
        warnings: what makes the rows hard to compare.
    """

    frame: pd.DataFrame
    source: str
    rows: int
    left_out: Mapping[str, int] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @property
    def finished(self) -> pd.DataFrame:
        """The runs that have an accuracy.

        Raises:
            AnalysisError: there is none; the states that the runs are in are told.
        """
        found = self.frame[self.frame[ACCURACY].notna()]
        if found.empty:
            states = self.frame[STATUS].value_counts()
            told = ", ".join(f"{state} ({count})" for state, count in states.items())
            raise AnalysisError(
                f"none of the {len(self.frame)} runs of {self.source} finished: columns.status "
                f"has {told}"
            )
        return found


def standard_table(raw: pd.DataFrame, columns: ColumnsConfig, source: str) -> RunTable:
    """Return a source's rows under standard names, without those that no analysis may use.

    A finished run needs an energy of 0 J or more and an accuracy from 0 to 1; one that failed or
    was pruned needs the energy only, and has no accuracy.

    Raises:
        AnalysisError: a column is missing or there twice, no row is left, or no run cost anything.
    """
    if raw.empty:
        raise AnalysisError(f"{source} has no runs: give a table with a row for each run")
    if not raw.columns.is_unique:
        twice = raw.columns[raw.columns.duplicated()][0]
        raise AnalysisError(f"{source} has two columns called {twice}: rename one of them")
    raw = plain_types(raw)
    frame = raw.copy()
    frame[ENERGY] = _numbers(raw, columns.energy, "energy", source)
    frame[ACCURACY] = _numbers(raw, columns.accuracy, "accuracy", source)
    has_spent = columns.spent is not None and columns.spent in raw
    spent = _numbers(raw, str(columns.spent), "spent", source) if has_spent else frame[ENERGY]
    frame[SPENT] = spent.fillna(frame[ENERGY])
    status = pd.Series(_optional(raw, columns.status, _FINISHED), index=raw.index)
    frame[STATUS] = status.astype(str).str.lower()
    frame[QUALITY] = _optional(raw, columns.quality, "unknown")
    frame[MACHINE] = _optional(raw, columns.machine, "unknown")
    frame[CONTENDED] = _flags(raw, columns.contended)
    frame[STRATEGY] = _optional(raw, columns.strategy, NO_STRATEGY)
    frame[SEED] = _optional(raw, columns.seed, 0)
    present = [name for name in columns.setting if name in raw]
    frame[SETTING] = joined(raw, present)
    frame[ORDER] = (
        _numbers(raw, columns.order, "order", source)
        if columns.order is not None and columns.order in raw
        else np.arange(len(raw))
    )
    kept, left_out = _usable(frame)
    if kept.empty:
        reasons = "; ".join(f"{count} rows: {reason}" for reason, count in left_out.items())
        raise AnalysisError(f"no run of {source} can be used ({reasons})")
    if not kept[[ENERGY, SPENT]].to_numpy().any():
        raise AnalysisError(f"the energy of all runs of {source} is 0: there is nothing to weigh")
    kept = kept.sort_values([SETTING, STRATEGY, SEED, ORDER], kind="stable", ignore_index=True)
    return RunTable(kept, source, len(raw), left_out, tuple(_warnings(kept)))


def column(frame: pd.DataFrame, name: str, option: str, source: str) -> "pd.Series[Any]":
    """Return a column.

    Args:
        option: that names it.

    Raises:
        AnalysisError: there is none; the nearest names are told.
    """
    if name not in frame:
        raise AnalysisError(
            f"{option}: " + unknown(f"column of {source}", name, map(str, frame.columns))
        )
    return frame[name]


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
    return " ".join("missing" if pd.isna(each) else str(each) for each in values)


def plain_types(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a table without categories, nullable or Arrow numbers: numbers, texts and objects."""
    plain = {}
    for name in frame.columns:
        values = frame[name]
        if isinstance(values.dtype, pd.CategoricalDtype):
            values = values.astype(object).infer_objects()
        elif pd.api.types.is_bool_dtype(values.dtype) and values.isna().any():
            values = values.astype(object)
        elif pd.api.types.is_numeric_dtype(values.dtype) and not isinstance(values.dtype, np.dtype):
            values = pd.Series(values.to_numpy(float, na_value=np.nan), index=frame.index)
        plain[name] = values
    return pd.DataFrame(plain, index=frame.index)


def _numbers(raw: pd.DataFrame, name: str, key: str, source: str) -> "pd.Series[float]":
    return pd.to_numeric(column(raw, name, f"columns.{key}", source), errors="coerce").astype(float)


def _optional(raw: pd.DataFrame, name: str | None, otherwise: Any) -> Any:
    if name is None or name not in raw:
        return otherwise
    return raw[name].where(raw[name].notna(), otherwise)


def _flags(raw: pd.DataFrame, name: str | None) -> Any:
    if name is None or name not in raw:
        return False
    return raw[name].astype(str).str.lower().isin(["true", "1", "1.0", "yes"])


def _usable(frame: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, int]]:
    is_finished = frame[STATUS].eq(_FINISHED)
    energy, accuracy = frame[ENERGY], frame[ACCURACY]
    reasons = {
        "the energy is missing or no number": energy.isna(),
        "the energy is infinite": np.isinf(energy) | np.isinf(frame[SPENT]),
        f"the energy is above {_MOST_JOULES:.0e} J, which no training takes": (
            (energy > _MOST_JOULES) | (frame[SPENT] > _MOST_JOULES)
        ),
        "the energy is negative": (energy < 0) | (frame[SPENT] < 0),
        "the accuracy is missing or no number": is_finished & accuracy.isna(),
        "the accuracy is outside of 0 to 1 (a share, not percent)": (
            is_finished & ~accuracy.between(0, 1)
        ),
    }
    left = pd.Series(True, index=frame.index)
    counts = {}
    for reason, holds in reasons.items():
        found = int((left & holds).sum())
        if found:
            counts[reason] = found
        left &= ~holds
    kept = frame[left].copy()
    kept.loc[~is_finished[left], ACCURACY] = np.nan
    return kept, counts


def _warnings(frame: pd.DataFrame) -> list[str]:
    found = []
    for name, what in ((QUALITY, "qualities of energy figures"), (MACHINE, "machines")):
        values = sorted(map(str, frame[name].unique()))
        if len(values) > 1:
            found.append(f"the runs mix {what} ({', '.join(values)}): they compare badly")
    contended = int(frame[CONTENDED].astype(bool).sum())
    if 0 < contended < len(frame):
        found.append(f"{contended} of {len(frame)} runs shared their machine with other work")
    return found
