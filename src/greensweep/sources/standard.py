"""From a source's table to a table of runs, without the rows that no analysis may use."""

import numpy as np
import pandas as pd

from greensweep.config.metrics import Metric
from greensweep.config.schema_analysis import ColumnsConfig
from greensweep.csv_files.figures import ENERGY_UNITS, EnergyUnit, energy_factor
from greensweep.csv_files.layout import TableError
from greensweep.errors import AnalysisError
from greensweep.sources.checks import (
    copies,
    power_doubts,
    refuse_out_of_range,
    refuse_repeated_runs,
    refuse_repeated_trials,
    table_warnings,
)
from greensweep.sources.columns import DEFAULTS, FALSE, SourceColumns
from greensweep.sources.metric import metric_of, read_values
from greensweep.sources.table import (
    CONTENDED,
    ENERGY,
    FINISHED,
    INFEASIBLE,
    MACHINE,
    NO_STRATEGY,
    ORDER,
    QUALITY,
    SCORE,
    SEED,
    SELECTED_ON_TEST,
    SETTING,
    SHARED,
    SPENT,
    STATUS,
    STRATEGY,
    UNCERTAINTY,
    UNKNOWN,
    RunTable,
    column,
    joined,
)

_MOST_JOULES = 1e21  # more than the world uses in a year


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
    frame = read.raw.copy()
    frame[ENERGY], frame[SPENT] = _energies(read)
    metric, warnings = metric_of(read)
    frame[metric.name] = read_values(read, metric)
    frame[SCORE] = metric.score(frame[metric.name])
    frame[STATUS] = _status(read)
    frame[QUALITY] = read.optional("quality", UNKNOWN)
    frame[MACHINE] = read.optional("machine", UNKNOWN)
    frame[CONTENDED] = read.flags("contended")
    frame[SELECTED_ON_TEST] = read.flags("selected_on_test")
    frame[UNCERTAINTY] = 0.0
    if read.has("uncertainty"):
        frame[UNCERTAINTY] = read.numbers("uncertainty", ENERGY_UNITS).fillna(0.0)
    frame[STRATEGY] = read.optional("strategy", NO_STRATEGY)
    frame[SEED] = read.optional("seed", 0)
    for name in set(columns.setting) - set(DEFAULTS.setting):
        column(read.raw, name, "columns.setting", source)
    frame[SETTING] = joined(read.raw, [name for name in columns.setting if name in read.raw])
    frame[ORDER] = np.arange(len(frame))
    if read.has("order"):
        frame[ORDER] = read.numbers("order")
        refuse_repeated_trials(read, frame)
    refuse_repeated_runs(read)
    refuse_out_of_range(read, frame, metric)
    warnings += [*power_doubts(read, frame), *copies(read, frame)]
    kept, left_out = _usable(frame, metric)
    if kept.empty:
        reasons = "; ".join(f"{count} rows: {reason}" for reason, count in left_out.items())
        raise AnalysisError(f"no run of {source} can be used ({reasons})")
    if not kept[[ENERGY, SPENT]].fillna(0.0).to_numpy().any():
        raise AnalysisError(f"the energy of all runs of {source} is 0: there is nothing to weigh")
    kept = kept.sort_values([SETTING, STRATEGY, SEED, ORDER], kind="stable", ignore_index=True)
    warnings += table_warnings(kept, metric)
    return RunTable(kept, source, len(raw), left_out, tuple(warnings), metric)


def _energies(read: SourceColumns) -> tuple["pd.Series[float]", "pd.Series[float]"]:
    """Return the joules of each run's training, and those of all that it did."""

    def joules(key: str, unit: EnergyUnit | None) -> "pd.Series[float]":
        name = read.name(key)
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
    status = read.words("status", FINISHED)
    if read.has("infeasible"):
        broken = status.eq(FINISHED) & ~read.words("infeasible", "no").isin(FALSE)
        status = status.mask(broken, INFEASIBLE)
    compares = read.flags("comparable", otherwise="true")
    return status.mask(status.eq(FINISHED) & ~compares, SHARED)


def _usable(frame: pd.DataFrame, metric: Metric) -> tuple[pd.DataFrame, dict[str, int]]:
    is_finished = frame[STATUS].eq(FINISHED)
    value = frame[metric.name]
    below = "negative" if metric.low == 0 else f"below {metric.low:g}"
    # A run that failed before its training has no energy of training, but spent some all the same.
    energy = frame[ENERGY].where(is_finished, frame[SPENT])
    reasons = {
        "the energy is missing or no number": energy.isna(),
        "the energy is infinite": np.isinf(energy) | np.isinf(frame[SPENT]),
        f"the energy is above {_MOST_JOULES:.0e} J, which no training takes": (
            (energy > _MOST_JOULES) | (frame[SPENT] > _MOST_JOULES)
        ),
        "the energy is negative": (energy < 0) | (frame[SPENT] < 0),
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
    kept.loc[~is_finished[left], [metric.name, SCORE]] = np.nan
    return kept, counts
