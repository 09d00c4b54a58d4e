"""What is wrong or doubtful about a table of runs: refusals, and warnings."""

import numpy as np
import pandas as pd

from greensweep.config.metrics import Metric
from greensweep.csv_files.figures import TIME_UNITS, doubtful_power
from greensweep.energy.units import JOULES_PER_KWH
from greensweep.errors import AnalysisError, plural
from greensweep.sources import run_columns as col
from greensweep.sources.columns import DEFAULTS, SourceColumns
from greensweep.sources.table import ENERGY, qualities_in_use

MOST_KG_PER_KWH = 3.0  # no grid is half as dirty
_ENDED = ("failed", "pruned", "stopped", "killed", "running", "fail")
_STATES = (col.FINISHED, col.INFEASIBLE, col.SHARED, col.UNMATCHED, *_ENDED)


def refuse_out_of_range(read: SourceColumns, frame: pd.DataFrame, metric: Metric) -> None:
    """Refuse figures above a metric's range: were they left out, the best runs might be missing.

    Raises:
        AnalysisError: a finished run has one.
    """
    values = frame[metric.name]
    over = values[frame[col.STATUS].eq(col.FINISHED) & (values > metric.high) & np.isfinite(values)]
    if over.empty:
        return
    is_percent = metric.is_share and read.config.accuracy_unit == "percent"
    times = 100 if is_percent else 1
    key = "accuracy" if read.config.metric is None and metric.name == "accuracy" else "metric"
    other = " columns.metric if they are another metric," if key == "accuracy" else ""
    is_told = is_percent or not metric.is_share
    way = "" if is_told else f"set columns.accuracy_unit=percent if they are percent,{other} else "
    raise AnalysisError(
        f"columns.{key}: {read.name(key) if key == 'accuracy' else metric.name} of "
        f"{plural(len(over), 'finished run')} of {read.source} is above "
        f"{metric.high * times:g}, such as {over.iloc[0] * times:g}: {way}correct them"
    )


def power_doubts(read: SourceColumns, frame: pd.DataFrame) -> list[str]:
    """Compare joules with seconds; return what is doubtful.

    Raises:
        AnalysisError: no machine draws such a power.
    """
    name = read.config.seconds
    if name == DEFAULTS.seconds and name not in read.raw and "duration" in read.raw:
        name = "duration"  # as CodeCarbon calls it
    elif not read.has("seconds"):
        return []
    seconds = read.numbers("seconds", TIME_UNITS, name=name)
    metered = frame[col.QUALITY].ne("replayed")
    doubt = doubtful_power(frame[ENERGY][metered], seconds[metered])
    if doubt is None:
        return []
    power, is_possible = doubt
    finding = f"{read.name('energy')} over {name} is {power}"
    if not is_possible:
        raise AnalysisError(
            f"{read.source}: {finding}: set columns.energy_unit=kWh or its like, or "
            "columns.seconds=null to check nothing"
        )
    return [f"{finding}: is columns.energy_unit right?"]


def refuse_impossible_intensity(read: SourceColumns, frame: pd.DataFrame) -> None:
    """Refuse emissions that are not kilograms.

    Raises:
        AnalysisError: no grid emits as much for such an energy.
    """
    rate = (frame[col.EMISSIONS] / frame[col.SPENT].replace(0.0, np.nan)).median() * JOULES_PER_KWH
    if rate > MOST_KG_PER_KWH:
        raise AnalysisError(
            f"columns.emissions: {read.name('emissions')} of {read.source} is {rate:.3g} kg per "
            "kWh in the median run, more than any grid has: give kg CO2e, or the energy's unit as "
            "columns.energy_unit"
        )


def refuse_repeated_trials(read: SourceColumns, frame: pd.DataFrame) -> None:
    """Refuse rows that are the same in every column, where trials are numbered.

    Raises:
        AnalysisError: there are some.
    """
    alike = frame.duplicated([col.ORDER, ENERGY], keep=False) & frame[col.ORDER].notna()
    if not alike.any():
        return
    repeated = read.raw[alike].astype(str).duplicated()
    if not repeated.any():
        return
    first = frame.loc[repeated.index[repeated][0]]
    search = f" of {first[col.STRATEGY]} in {first[col.SETTING]}"
    which = f"{first[col.ORDER]:g}" + (search if first[col.STRATEGY] != col.NO_STRATEGY else "")
    raise AnalysisError(
        f"{read.source} has trial {which} twice, and {plural(int(repeated.sum()), 'such row')} in "
        "all: leave out the copies, or name the column that numbers the searches in columns.seed"
    )


def refuse_repeated_runs(read: SourceColumns) -> None:
    """Refuse a run that is there twice, where runs have ids.

    Raises:
        AnalysisError: there is one.
    """
    names = [name for name in ("run_id", "task_name") if name in read.raw]  # CodeCarbon's tasks
    if "run_id" not in names:
        return
    ids = read.raw["run_id"]
    repeated = ids[read.raw.duplicated(names) & ids.notna()]
    if len(repeated):
        raise AnalysisError(
            f"{read.source} has the run {repeated.iloc[0]} twice, and "
            f"{plural(len(repeated), 'such row')} in all: leave out the copies"
        )


def copies(read: SourceColumns, frame: pd.DataFrame) -> list[str]:
    """Warn of rows that are the same in every column, where joules have digits to differ in."""
    alike = frame[frame.duplicated([ENERGY, col.SCORE], keep=False)]
    exact = alike.index[alike[ENERGY].map(lambda joules: float(f"{joules:.6g}") != joules)]
    found = int(read.raw.loc[exact].duplicated().sum())
    return [f"copies of other rows, each counted as a run: {found}"] if found else []


def table_warnings(frame: pd.DataFrame, metric: Metric) -> list[str]:
    """Return what makes the runs of a table hard to compare, in sentences."""
    return [*_mixtures(frame), *_counts(frame), *_selection(frame, metric)]


def _mixtures(frame: pd.DataFrame) -> list[str]:
    found = []
    for values, what, missing in (
        (qualities_in_use(frame), "qualities of energy figures", "the quality of the energy"),
        (frame[col.MACHINE], "machines", "the machine"),
    ):
        known = sorted({str(each) for each in values.unique()} - {col.UNKNOWN})
        unknown_ones = int(values.eq(col.UNKNOWN).sum())
        if len(known) > 1:
            found.append(f"the runs mix {what} ({'; '.join(known)}): they compare badly")
        if known and unknown_ones:
            found.append(f"{missing} is not stated by {unknown_ones} of {len(frame)} runs")
    return found


def _counts(frame: pd.DataFrame) -> list[str]:
    """Count the runs that no analysis may recommend, by why, and those that had company."""
    status = frame[col.STATUS]
    other = ~status.isin(_STATES)
    counted = {
        "counted in energy only, as infeasible (a constraint of the search is broken, or the run "
        "was cheaper than a whole one)": status.eq(col.INFEASIBLE),
        "counted in energy only, as the machine was shared while its idle power was not known, so "
        "that the energy does not compare": status.eq(col.SHARED),
        "counted in energy only, as the status is not finished, failed, pruned or stopped but "
        f"{next(iter(status[other]), '')}, say": other,
        "shared the machine with other work, so that the energy is a share": frame[col.CONTENDED],
    }
    return [
        f"{int(holds.sum())} of {plural(len(frame), 'run')} {what}"
        for what, holds in counted.items()
        if holds.any()
    ]


def _selection(frame: pd.DataFrame, metric: Metric) -> list[str]:
    on_test = frame[frame[col.STATUS].eq(col.FINISHED)][col.SELECTED_ON_TEST]
    if on_test.all() and len(on_test):
        return [
            f"the runs were selected by their {metric.label} on the test split, so the best of "
            "them are optimistic"
        ]
    if on_test.any():
        return [
            f"{metric.label} on the test split selected {int(on_test.sum())} of "
            f"{len(on_test)} finished runs, and not the others: they compare badly"
        ]
    return []
