"""From a source's table to a table of runs, without the rows that no analysis may use."""

import numpy as np
import pandas as pd

from greensweep.config.metrics import METRICS, Metric, metric_called
from greensweep.config.schema_analysis import ColumnsConfig
from greensweep.csv_files.figures import (
    ACCURACY_UNITS,
    ENERGY_UNITS,
    EnergyUnit,
    accuracy_factor,
    energy_factor,
)
from greensweep.csv_files.layout import TableError
from greensweep.errors import AnalysisError, plural
from greensweep.sources import run_columns as col
from greensweep.sources.checks import (
    copies,
    power_doubts,
    refuse_out_of_range,
    refuse_repeated_runs,
    refuse_repeated_trials,
    table_warnings,
)
from greensweep.sources.columns import DEFAULTS, FALSE, SourceColumns
from greensweep.sources.table import ACCURACY, ENERGY, RunTable, column, joined

_SPLITS = ("", "validation_", "test_")  # before a metric's name, in our own tables
_OF_CODECARBON = "energy_consumed"
MOST_JOULES = 1e21  # more than the world uses in a year


def standard_table(raw: pd.DataFrame, columns: ColumnsConfig, source: str) -> RunTable:
    """Return a source's rows under standard names, without those that no analysis may use.

    A finished run needs an energy of 0 J or more and a figure of the metric that the runs are
    compared by, within its range; one that failed or was pruned needs only what it spent, and has
    no such figure; nor has one that its search calls infeasible, or whose energy does not compare,
    which no analysis may recommend.

    Raises:
        AnalysisError: a column that has to be there, or that the user named, is missing; a column
            or a run is there twice; no row is left; or no run cost anything.
    """
    read = SourceColumns(raw, columns, source)
    metric, warnings = _metric_of(read)
    frame = described(read)
    frame[metric.name] = _values(read, metric)
    frame[col.SCORE] = metric.score(frame[metric.name])
    frame[col.START] = read.flags("start")
    for name, key in ((col.LOW, "low"), (col.HIGH, "high")):
        frame[name] = read.numbers(key) if read.has(key) else np.nan
    frame[col.STRATEGY] = read.optional("strategy", col.NO_STRATEGY)
    frame[col.SEED] = read.optional("seed", 0)
    for name in set(columns.setting) - set(DEFAULTS.setting):
        column(read.raw, name, "columns.setting", source)
    frame[col.SETTING] = joined(read.raw, [name for name in columns.setting if name in read.raw])
    frame[col.ORDER] = np.arange(len(frame))
    if read.has("order"):
        frame[col.ORDER] = read.numbers("order")
        refuse_repeated_trials(read, frame)
    refuse_out_of_range(read, frame, metric)
    warnings += [*power_doubts(read, frame), *copies(read, frame)]
    kept, left_out = _usable(frame, metric)
    if kept.empty:
        reasons = "; ".join(
            f"{plural(count, 'row')}: {reason}" for reason, count in left_out.items()
        )
        unmetered = frame[col.QUALITY].eq("unmeasured").all()
        why = ", as nothing was metered: study.json has the best by the metric alone"
        raise AnalysisError(f"no run of {source} can be used ({reasons}){why if unmetered else ''}")
    if not kept[[ENERGY, col.SPENT]].fillna(0.0).to_numpy().any():
        raise AnalysisError(f"the energy of all runs of {source} is 0: there is nothing to weigh")
    kept = kept.sort_values([*col.SEARCH, col.ORDER], kind="stable", ignore_index=True)
    warnings += table_warnings(kept, metric)
    return RunTable(kept, source, len(raw), left_out, tuple(warnings), metric)


def described(read: SourceColumns) -> pd.DataFrame:
    """Return a table with what it says of energy, emissions and machine under standard names.

    Raises:
        AnalysisError: as `standard_table`, but for what runs are compared by.
    """
    frame = read.raw.copy()
    frame[ENERGY], frame[col.SPENT] = _energies(read)
    frame[col.STATUS] = _status(read)
    frame[col.QUALITY] = read.optional("quality", col.UNKNOWN)
    frame[col.MACHINE] = read.optional("machine", col.UNKNOWN)
    frame[col.CONTENDED] = read.flags("contended")
    frame[col.SELECTED_ON_TEST] = read.flags("selected_on_test")
    frame[col.UNCERTAINTY] = 0.0
    if read.has("uncertainty"):
        frame[col.UNCERTAINTY] = read.numbers("uncertainty", ENERGY_UNITS).fillna(0.0)
    frame[col.EMISSIONS] = read.numbers("emissions") if read.has("emissions") else np.nan
    refuse_repeated_runs(read)
    return frame


def metric_if_any(
    read: SourceColumns, frame: pd.DataFrame
) -> tuple[Metric, "pd.Series[float]"] | None:
    """Return the metric of runs and their scores; None where the table has none, nor is it named.

    Args:
        frame: as `described` returns it; gets a column of the metric's name.

    Raises:
        AnalysisError: as `standard_table`, of the metric.
    """
    metric, _ = _metric_of(read)
    is_named = read.config.metric is not None or read.config.accuracy != DEFAULTS.accuracy
    if metric.name == ACCURACY and not is_named and ACCURACY not in read.raw:
        return None
    frame[metric.name] = _values(read, metric)
    refuse_out_of_range(read, frame, metric)
    return metric, metric.score(frame[metric.name])


def _metric_of(read: SourceColumns) -> tuple[Metric, list[str]]:
    """Return the metric of `columns.metric`, or else of the runs themselves; and warnings.

    Without either it is the accuracy.

    Raises:
        AnalysisError: nothing says in which direction it is better.
    """
    config, warnings = read.config, []
    name, direction = config.metric, config.metric_direction
    if name is None and config.accuracy == DEFAULTS.accuracy and col.OBJECTIVE_METRIC in read.raw:
        names = read.raw[col.OBJECTIVE_METRIC].fillna(ACCURACY).astype(str)
        is_finished = read.words("status", col.FINISHED).eq(col.FINISHED)
        counts = names[is_finished | (not is_finished.any())].value_counts()
        if len(counts):
            name = str(counts.index[0])
            if col.OBJECTIVE_DIRECTION in read.raw:
                known = read.raw.loc[names.eq(name), col.OBJECTIVE_DIRECTION].dropna()
                direction = direction or next(iter(known), None)
        if len(counts) > 1:
            listed = ", ".join(f"{each} ({count})" for each, count in counts.items())
            warnings.append(
                f"the runs were selected by several metrics ({listed}): they are compared by "
                f"{name}; set columns.metric for another"
            )
    if name is None or (name == ACCURACY and config.metric is None):
        return METRICS[ACCURACY], warnings
    metric = metric_called(name, direction)
    if metric is None:
        raise AnalysisError(
            f"the direction of the metric {name} is not known: set "
            "columns.metric_direction=maximize, or minimize"
        )
    return metric, warnings


def _values(read: SourceColumns, metric: Metric) -> "pd.Series[float]":
    """Return the metric of each run.

    Raises:
        AnalysisError: there is no such column; a cell is no number; or a finished run's is above
            the metric's range.
    """
    if read.config.metric is None and metric.name == ACCURACY:
        share = accuracy_factor(read.config.accuracy, read.config.accuracy_unit)
        return read.numbers("accuracy", ACCURACY_UNITS, share)
    names = [f"{split}{metric.name}" for split in _SPLITS]
    found = next((name for name in names if name in read.raw), metric.name)
    column(read.raw, found, "columns.metric", read.source)
    if metric.is_share:
        share = accuracy_factor(found, read.config.accuracy_unit)
        return read.numbers("metric", ACCURACY_UNITS, share, name=found)
    return read.numbers("metric", name=found)


def _energies(read: SourceColumns) -> tuple["pd.Series[float]", "pd.Series[float]"]:
    """Return the joules of each run's training, and those of all that it did."""

    def joules(key: str, unit: EnergyUnit | None) -> "pd.Series[float]":
        name = read.name(key)
        if name == DEFAULTS.energy and name not in read.raw and _OF_CODECARBON in read.raw:
            raise AnalysisError(
                f"{read.source} has no {name}, but CodeCarbon's {_OF_CODECARBON}: set "
                f"columns=codecarbon if that tool wrote it, or columns.energy={_OF_CODECARBON}"
            )
        column(read.raw, name, f"columns.{key}", read.source)
        try:
            factor = energy_factor(name, unit, read.raw.columns, "columns.energy_unit")
        except TableError as error:
            raise AnalysisError(f"columns.{key}: {error}") from error
        return read.numbers(key, ENERGY_UNITS, factor)

    unit = read.config.energy_unit
    energy = joules("energy", unit)
    if not read.has("spent"):
        return energy, energy
    own = read.config.spent != DEFAULTS.spent
    return energy, joules("spent", unit if own else None).fillna(energy)


def _status(read: SourceColumns) -> "pd.Series[str]":
    """Return how each run ended, with names of our own for finished ones that do not compare."""
    status = read.words("status", col.FINISHED)
    if read.has("infeasible"):
        broken = status.eq(col.FINISHED) & ~read.words("infeasible", "no").isin(FALSE)
        status = status.mask(broken, col.INFEASIBLE)
    compares = read.flags("comparable", otherwise="true")
    return status.mask(status.eq(col.FINISHED) & ~compares, col.SHARED)


def _usable(frame: pd.DataFrame, metric: Metric) -> tuple[pd.DataFrame, dict[str, int]]:
    is_finished = frame[col.STATUS].eq(col.FINISHED)
    value = frame[metric.name]
    below = "negative" if metric.low == 0 else f"below {metric.low:g}"
    # A run that failed before its training has no energy of training, but spent some all the same.
    energy = frame[ENERGY].where(is_finished, frame[col.SPENT])
    reasons = {
        "the energy is missing or no number": energy.isna(),
        "the energy is infinite": np.isinf(energy) | np.isinf(frame[col.SPENT]),
        f"the energy is above {MOST_JOULES:.0e} J, which no training takes": (
            (energy > MOST_JOULES) | (frame[col.SPENT] > MOST_JOULES)
        ),
        "the energy is negative": (energy < 0) | (frame[col.SPENT] < 0),
        f"the {metric.label} is missing or no number": is_finished & value.isna(),
        f"the {metric.label} is infinite": is_finished & np.isinf(value),
        f"the {metric.label} is {below}": is_finished & (value < metric.low),
    }
    left = pd.Series(True, index=frame.index)
    counts = {}
    for reason, holds in reasons.items():
        found = int((left & holds).sum())
        if found:
            counts[reason] = found
        left &= ~holds
    kept = frame[left].copy()
    kept.loc[~is_finished[left], [metric.name, col.SCORE]] = np.nan
    return kept, counts
