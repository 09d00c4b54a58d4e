"""The metric that the runs of a table are compared by: its name, direction, range and column."""

import pandas as pd

from greensweep.config.metrics import METRICS, Metric, metric_called
from greensweep.csv_files.figures import ACCURACY_UNITS, accuracy_factor
from greensweep.errors import AnalysisError
from greensweep.sources.columns import DEFAULTS, SourceColumns
from greensweep.sources.table import (
    ACCURACY,
    FINISHED,
    OBJECTIVE_DIRECTION,
    OBJECTIVE_METRIC,
    column,
)

_SPLITS = ("", "validation_", "test_")  # before a metric's name, in the columns of our own tables


def metric_of(read: SourceColumns) -> tuple[Metric, list[str]]:
    """Return the metric of `columns.metric`, or else of the runs themselves; and warnings.

    Without either it is the accuracy.

    Raises:
        AnalysisError: nothing says in which direction it is better.
    """
    config, warnings = read.config, []
    name, direction = config.metric, config.metric_direction
    if name is None and config.accuracy == DEFAULTS.accuracy and OBJECTIVE_METRIC in read.raw:
        names = read.raw[OBJECTIVE_METRIC].fillna(ACCURACY).astype(str)
        counts = names[read.words("status", FINISHED).eq(FINISHED)].value_counts()
        if len(counts):
            name = str(counts.index[0])
            if OBJECTIVE_DIRECTION in read.raw:
                known = read.raw.loc[names.eq(name), OBJECTIVE_DIRECTION].dropna()
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
            f"columns.metric={name} is none whose direction is known: set "
            "columns.metric_direction=maximize, or minimize"
        )
    return metric, warnings


def read_values(read: SourceColumns, metric: Metric) -> "pd.Series[float]":
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
