"""Runs as one table: its columns, and which rows an analysis may use."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, cast

import numpy as np
import pandas as pd

from greensweep.config.schema_analysis import ColumnsConfig
from greensweep.csv_files import (
    ACCURACY_UNITS,
    ENERGY_UNITS,
    MISSING,
    TIME_UNITS,
    EnergyUnit,
    FigureError,
    TableError,
    accuracy_factor,
    checked_names,
    doubtful_power,
    energy_factor,
    read_figures,
    scaled,
)
from greensweep.errors import AnalysisError, unknown

# Columns that `standard_table` adds. All others stay as they are: a user's may be called `seed`.
ENERGY, ACCURACY = "energy_joules", "accuracy"
SPENT, SETTING, STRATEGY, SEED, ORDER = "_spent", "_setting", "_strategy", "_seed", "_order"
STATUS, QUALITY, MACHINE, CONTENDED = "_status", "_quality", "_machine", "_contended"
SELECTED_ON_TEST, UNCERTAINTY = "_selected_on_test", "_uncertainty"
ADDED = (
    SPENT, SETTING, STRATEGY, SEED, ORDER, STATUS, QUALITY, MACHINE, CONTENDED, SELECTED_ON_TEST,
    UNCERTAINTY,
)  # fmt: skip

# How the columns of our own runs' options begin.
OPTION_GROUPS = ("optimizer.", "scheduler.", "training.", "model.", "dataset.")

NO_STRATEGY = "none"  # of a run that no search drew
UNKNOWN = "unknown"  # quality or machine
_FINISHED, _INFEASIBLE, _SHARED = "finished", "infeasible", "shared"
_ENDED = ("failed", "pruned", "stopped", "killed", "running", "fail")
_STATES = (_FINISHED, _INFEASIBLE, _SHARED, *_ENDED)
_TRUE, _FALSE = ("true", "1", "1.0", "yes"), ("false", "0", "0.0", "no")
_BLANK = ("",)
_NAMES = ("strategy", "seed")  # in which NA and none are names
_DEFAULTS = ColumnsConfig()
_MOST_TOLD = 8  # values of a column, in a sentence
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

    @cached_property
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

    def only(self, where: Any, option: str) -> "RunTable":
        """Return the runs in which these columns hold these values, as text.

        Args:
            where: the values by column; None takes all runs.
            option: that says so.

        Raises:
            AnalysisError: there is no such column, or no such run; the values there are told.
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
                there = ", ".join(sorted(found.unique())[:_MOST_TOLD])
                raise AnalysisError(
                    f"{option}.{name}={wanted} leaves no run of {self.source}: there {name} is "
                    f"{there}"
                )
        return replace(self, frame=frame.reset_index(drop=True))


def standard_table(raw: pd.DataFrame, columns: ColumnsConfig, source: str) -> RunTable:
    """Return a source's rows under standard names, without those that no analysis may use.

    A finished run needs an energy of 0 J or more and an accuracy from 0 to 1; one that failed or
    was pruned needs only what it spent, and has no accuracy; nor has one that its search calls
    infeasible, or whose energy does not compare, which no analysis may recommend.

    Raises:
        AnalysisError: a column that has to be there, or that the user named, is missing; a column
            or a run is there twice; no row is left; or no run cost anything.
    """
    if raw.empty:
        raise AnalysisError(f"{source} has no runs: give a table with a row for each run")
    try:
        names = checked_names(list(raw.columns), source)
    except TableError as error:
        raise AnalysisError(str(error)) from error
    raw = plain_types(raw.set_axis(names, axis="columns"))
    frame = raw.copy()
    frame[ENERGY], frame[SPENT] = _energies(raw, columns, source)
    share = accuracy_factor(columns.accuracy, columns.accuracy_unit)
    frame[ACCURACY] = _numbers(raw, columns.accuracy, "accuracy", source, ACCURACY_UNITS, share)
    frame[STATUS] = _words_of(raw, columns, "status", _FINISHED, source)
    if _has(raw, columns, "infeasible", source):
        said = _words_of(raw, columns, "infeasible", "no", source)
        broken = frame[STATUS].eq(_FINISHED) & ~said.isin(_FALSE)
        frame[STATUS] = frame[STATUS].mask(broken, _INFEASIBLE)
    compares = _flags(raw, columns, "comparable", source, otherwise="true")
    frame[STATUS] = frame[STATUS].mask(frame[STATUS].eq(_FINISHED) & ~compares, _SHARED)
    frame[QUALITY] = _optional(raw, columns, "quality", UNKNOWN, source)
    frame[MACHINE] = _optional(raw, columns, "machine", UNKNOWN, source)
    for name, key in ((CONTENDED, "contended"), (SELECTED_ON_TEST, "selected_on_test")):
        frame[name] = _flags(raw, columns, key, source)
    frame[UNCERTAINTY] = 0.0
    if _has(raw, columns, "uncertainty", source):
        told = _numbers(raw, str(columns.uncertainty), "uncertainty", source, ENERGY_UNITS)
        frame[UNCERTAINTY] = told.fillna(0.0)
    frame[STRATEGY] = _optional(raw, columns, "strategy", NO_STRATEGY, source)
    frame[SEED] = _optional(raw, columns, "seed", 0, source)
    for name in set(columns.setting) - set(_DEFAULTS.setting):
        column(raw, name, "columns.setting", source)
    frame[SETTING] = joined(raw, [name for name in columns.setting if name in raw])
    frame[ORDER] = np.arange(len(raw))
    if _has(raw, columns, "order", source):
        frame[ORDER] = _numbers(raw, str(columns.order), "order", source)
        _refuse_copies(raw, frame, source)
    if "run_id" in raw:
        _refuse_repeated(raw["run_id"], source)
    _check_accuracies(frame, columns, source)
    doubts = [*_check_power(raw, frame, columns, source), *_copies(raw, frame)]
    kept, left_out = _usable(frame)
    if kept.empty:
        reasons = "; ".join(f"{count} rows: {reason}" for reason, count in left_out.items())
        raise AnalysisError(f"no run of {source} can be used ({reasons})")
    if not kept[[ENERGY, SPENT]].fillna(0.0).to_numpy().any():
        raise AnalysisError(f"the energy of all runs of {source} is 0: there is nothing to weigh")
    kept = kept.sort_values([SETTING, STRATEGY, SEED, ORDER], kind="stable", ignore_index=True)
    return RunTable(kept, source, len(raw), left_out, (*doubts, *_warnings(kept)))


def column(frame: pd.DataFrame, name: str, option: str, source: str) -> "pd.Series[Any]":
    """Return a column.

    Args:
        option: that names it.

    Raises:
        AnalysisError: there is none; the nearest names are told.
    """
    if name not in frame:
        theirs = [str(each) for each in frame.columns if each not in ADDED]
        raise AnalysisError(f"{option}: " + unknown(f"column of {source}", name, theirs))
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


def _numbers(
    raw: pd.DataFrame,
    name: str,
    key: str,
    source: str,
    units: Mapping[str, float] | None = None,
    factor: float = 1.0,
) -> "pd.Series[float]":
    """Return a column as numbers in one unit.

    Raises:
        AnalysisError: a cell is no number, whose row would else be left out.
    """
    values = column(raw, name, f"columns.{key}", source)
    if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
        return cast("pd.Series[float]", scaled(values.astype(float), factor))
    cells = values.astype(object)
    try:
        numbers = read_figures(cells.where(values.notna(), None), units, factor)
    except FigureError as error:
        raise AnalysisError(
            f"columns.{key}: in {source}, row {error.index + 1} below the header, {name} {error}"
        ) from error
    return pd.Series(numbers, index=raw.index, dtype=float)


def _energies(
    raw: pd.DataFrame, columns: ColumnsConfig, source: str
) -> tuple["pd.Series[float]", "pd.Series[float]"]:
    """Return the joules of each run's training, and those of all that it did."""

    def joules(name: str, key: str, unit: EnergyUnit | None) -> "pd.Series[float]":
        column(raw, name, f"columns.{key}", source)
        try:
            factor = energy_factor(name, unit, raw.columns, "columns.energy_unit")
        except TableError as error:
            raise AnalysisError(f"columns.{key}: {error}") from error
        return _numbers(raw, name, key, source, ENERGY_UNITS, factor)

    energy = joules(columns.energy, "energy", columns.energy_unit)
    if not _has(raw, columns, "spent", source):
        return energy, energy
    own = columns.spent != _DEFAULTS.spent
    spent = joules(str(columns.spent), "spent", columns.energy_unit if own else None)
    return energy, spent.fillna(energy)


def _check_accuracies(frame: pd.DataFrame, columns: ColumnsConfig, source: str) -> None:
    """Refuse accuracies above 1: were they left out, the best runs would be missing."""
    over = frame[frame[STATUS].eq(_FINISHED) & (frame[ACCURACY] > 1)][ACCURACY]
    if over.empty:
        return
    most = 100 if columns.accuracy_unit == "percent" else 1
    way = "" if most == 100 else "set columns.accuracy_unit=percent if they are percent, else "
    raise AnalysisError(
        f"columns.accuracy: {columns.accuracy} of {len(over)} finished runs of {source} is above "
        f"{most}, such as {over.iloc[0] * most:g}: {way}correct them"
    )


def _check_power(
    raw: pd.DataFrame, frame: pd.DataFrame, columns: ColumnsConfig, source: str
) -> list[str]:
    """Hold joules against seconds; return what is doubtful.

    Raises:
        AnalysisError: no machine draws such a power.
    """
    name = columns.seconds
    if name == _DEFAULTS.seconds and name not in raw and "duration" in raw:
        name = "duration"  # as CodeCarbon calls it
    elif not _has(raw, columns, "seconds", source):
        return []
    seconds = _numbers(raw, str(name), "seconds", source, TIME_UNITS)
    told = frame[QUALITY].ne("replayed")
    doubt = doubtful_power(frame[ENERGY][told], seconds[told])
    if doubt is None:
        return []
    said = f"{columns.energy} over {name} is {doubt[0]}"
    if not doubt[1]:
        raise AnalysisError(
            f"{source}: {said}: set columns.energy_unit=kWh or its like, or columns.seconds=null "
            "to check nothing"
        )
    return [f"{said}: is columns.energy_unit right?"]


def _has(raw: pd.DataFrame, columns: ColumnsConfig, key: str, source: str) -> bool:
    """Tell whether an optional column is there; one that the user named has to be."""
    name = getattr(columns, key)
    if name is not None and name != getattr(_DEFAULTS, key):
        column(raw, name, f"columns.{key}", source)
    return name is not None and name in raw


def _optional(
    raw: pd.DataFrame, columns: ColumnsConfig, key: str, otherwise: Any, source: str
) -> Any:
    """Return an optional column, with another value where it is missing or blank."""
    if not _has(raw, columns, key, source):
        return pd.Series(otherwise, index=raw.index)
    values: pd.Series[Any] = raw[getattr(columns, key)]
    says_nothing = _BLANK if key in _NAMES else MISSING
    missing = [each for each in values.unique() if _text(each) in says_nothing]
    return values.where(values.notna() & ~values.isin(missing), otherwise)


def _words_of(
    raw: pd.DataFrame, columns: ColumnsConfig, key: str, otherwise: str, source: str
) -> "pd.Series[str]":
    """Return an optional column as texts in lower case."""
    values: pd.Series[Any] = _optional(raw, columns, key, otherwise, source)
    return values.map({each: _text(each) for each in values.unique()})


def _flags(
    raw: pd.DataFrame, columns: ColumnsConfig, key: str, source: str, otherwise: str = "false"
) -> "pd.Series[bool]":
    said = _words_of(raw, columns, key, otherwise, source)
    unclear = said[~said.isin(_TRUE + _FALSE)]
    if len(unclear):
        raise AnalysisError(
            f"columns.{key}: {getattr(columns, key)} of {source} must be true or false, got "
            f"{unclear.iloc[0]!r}: write it so"
        )
    return said.isin(_TRUE)


def _text(value: Any) -> str:
    return str(value).strip().casefold()


def _refuse_copies(raw: pd.DataFrame, frame: pd.DataFrame, source: str) -> None:
    """Refuse rows that are the same in every column, where trials are numbered."""
    alike = frame.duplicated([ORDER, ENERGY], keep=False) & frame[ORDER].notna()
    if not alike.any():
        return
    copies = raw[alike].astype(str).duplicated()
    if not copies.any():
        return
    first = frame.loc[copies.index[copies][0]]
    search = "" if first[STRATEGY] == NO_STRATEGY else f" of {first[STRATEGY]} in {first[SETTING]}"
    raise AnalysisError(
        f"{source} has trial {first[ORDER]:g}{search} twice, and {int(copies.sum())} such rows in "
        "all: leave out the copies, or name what tells several searches apart in columns.seed"
    )


def _copies(raw: pd.DataFrame, frame: pd.DataFrame) -> list[str]:
    """Tell of rows that are the same in every column, where joules have digits to differ in."""
    alike = frame[frame.duplicated([ENERGY, ACCURACY], keep=False)]
    exact = alike.index[alike[ENERGY].map(lambda joules: float(f"{joules:.6g}") != joules)]
    copies = int(raw.loc[exact].duplicated().sum())
    return [f"{copies} rows are copies of others: each counts as a run"] if copies else []


def _refuse_repeated(run_ids: "pd.Series[Any]", source: str) -> None:
    repeated = run_ids[run_ids.duplicated() & run_ids.notna()]
    if len(repeated):
        raise AnalysisError(
            f"{source} has the run {repeated.iloc[0]} twice, and {len(repeated)} such rows in all: "
            "leave out the copies"
        )


def _usable(frame: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, int]]:
    is_finished = frame[STATUS].eq(_FINISHED)
    accuracy = frame[ACCURACY]
    # A run that failed before its training has no energy of training, but spent some all the same.
    energy = frame[ENERGY].where(is_finished, frame[SPENT])
    reasons = {
        "the energy is missing or no number": energy.isna(),
        "the energy is infinite": np.isinf(energy) | np.isinf(frame[SPENT]),
        f"the energy is above {_MOST_JOULES:.0e} J, which no training takes": (
            (energy > _MOST_JOULES) | (frame[SPENT] > _MOST_JOULES)
        ),
        "the energy is negative": (energy < 0) | (frame[SPENT] < 0),
        "the accuracy is missing or no number": is_finished & accuracy.isna(),
        "the accuracy is negative": is_finished & (accuracy < 0),
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


def qualities(frame: pd.DataFrame) -> list[str]:
    """Return the qualities of the energy figures that count, sorted.

    A run that did not finish may have no figure for its training (`unmeasured`): what it spent
    counts, so this says nothing of the figures.
    """
    return sorted(map(str, _told_qualities(frame).unique()))


def _told_qualities(frame: pd.DataFrame) -> "pd.Series[Any]":
    says_nothing = frame[STATUS].ne(_FINISHED) & frame[QUALITY].eq("unmeasured")
    return frame[~says_nothing][QUALITY]


def _warnings(frame: pd.DataFrame) -> list[str]:
    found = []
    for values, what, untold in (
        (_told_qualities(frame), "qualities of energy figures", "the quality of their energy"),
        (frame[MACHINE], "machines", "their machine"),
    ):
        known = sorted({str(each) for each in values.unique()} - {UNKNOWN})
        unknown_ones = int(values.eq(UNKNOWN).sum())
        if len(known) > 1:
            found.append(f"the runs mix {what} ({', '.join(known)}): they compare badly")
        if known and unknown_ones:
            found.append(f"{unknown_ones} of {len(frame)} runs do not tell {untold}")
    infeasible = int(frame[STATUS].eq(_INFEASIBLE).sum())
    if infeasible:
        found.append(
            f"{infeasible} of {len(frame)} runs are infeasible, as they break a constraint of "
            "their search or were cheaper than whole ones: they count in energy only"
        )
    shared = int(frame[STATUS].eq(_SHARED).sum())
    if shared:
        found.append(
            f"{shared} of {len(frame)} runs shared their machine while its idle power was not "
            "known: their energy does not compare, and they count in energy only"
        )
    states = frame[STATUS][~frame[STATUS].isin(_STATES)]
    if len(states):
        found.append(
            f"{len(states)} of {len(frame)} runs have another status than finished, failed, pruned "
            f"and stopped, such as {states.iloc[0]}: they count in energy only"
        )
    contended = int(frame[CONTENDED].sum())
    if contended:
        found.append(f"{contended} of {len(frame)} runs shared their machine with other work")
    on_test = frame[frame[STATUS].eq(_FINISHED)][SELECTED_ON_TEST]
    if on_test.all() and len(on_test):
        found.append(
            "the runs were selected by their accuracy on the test split, so the best of them are "
            "optimistic"
        )
    elif on_test.any():
        found.append(
            f"{int(on_test.sum())} of {len(on_test)} finished runs were selected by their accuracy "
            "on the test split, the others not: they compare badly"
        )
    return found
