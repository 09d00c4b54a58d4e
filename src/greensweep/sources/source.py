"""A table of runs out of the options `source`, `columns`, `join` and `on`."""

import re
from collections.abc import Container, Iterator
from dataclasses import fields, replace
from pathlib import Path
from pkgutil import resolve_name

import pandas as pd

from greensweep.config.folders import located
from greensweep.config.metrics import metric_called
from greensweep.config.schema_analysis import ColumnsConfig, SourceConfig
from greensweep.errors import AnalysisError
from greensweep.sources import run_columns as col
from greensweep.sources.join import join_table
from greensweep.sources.mlflow import read_mlflow
from greensweep.sources.standard import standard_table
from greensweep.sources.table import Rows, RunTable
from greensweep.tracking.mlflow_places import tracking_uri

# Nobody chose what columns of these names hold: which run it is, when and by what,
_NAMES = re.compile(
    r"(run|experiment)?_?(id|name)|folder|cell|dataset|started|timestamp|date|commit|data|"
    r".*[/@].*|(energy|version|phases|hardware|metrics)\..*|number_of_runs|runs|n_hyperparameters|"
    r"selected_on_.*|pareto_optimal",
    re.IGNORECASE,
)
# nor the numbers in these: what it came to. A loss in words is a choice.
_FIGURES = re.compile(
    r".*(joules|energy|kwh|power|watt|emission|duration|seconds|time|loss|_std|_low|_high).*",
    re.IGNORECASE,
)
_MOST_CHOSEN = 12


def read_runs(config: SourceConfig) -> RunTable:
    """Return the runs of a source, with the columns of the table that is joined to it.

    Raises:
        AnalysisError: as `read_source`; or no run is left.
    """
    rows = _read(config)
    of_the_tool = () if config.columns.tool is None else [*map(str, rows.frame)]
    rows = _joined(rows, config)
    has_metric = {config.columns.metric, config.columns.accuracy} & set(rows.frame)
    if config.join is None and config.columns.reads_energy_alone and not has_metric:
        raise AnalysisError(
            f"{config.source} has no {config.columns.metric or config.columns.accuracy}, which "
            "runs are compared by: give the table that has it, join=metrics.csv on=run_id say"
        )
    runs = standard_table(rows.frame, config.columns, config.source)
    return replace(
        runs,
        rows=runs.rows + sum(rows.left_out.values()),
        left_out={**rows.left_out, **runs.left_out},
        warnings=(*rows.warnings, *runs.warnings),
        searched=rows.searched or tuple(_chosen(runs, config.columns, of_the_tool)),
    )


def _chosen(runs: RunTable, columns: ColumnsConfig, others: Container[str]) -> Iterator[str]:
    """Yield the columns of a table of others that tell its runs apart by what was chosen for them.

    These are the columns that vary, but for figures, metrics, and what names a run.

    Args:
        others: columns that are none.
    """
    if runs.options:
        return
    named = {getattr(columns, each.name) for each in fields(columns) if each.name != "setting"}
    found = 0
    for name in map(str, runs.frame):
        if name in (*named, *col.ADDED, runs.metric.name) or name in others:
            continue
        values = runs.frame[name].dropna()
        is_text = not pd.api.types.is_numeric_dtype(values)
        is_figure = name.startswith("energy_") or (not is_text and _FIGURES.fullmatch(name))
        if _NAMES.fullmatch(name) or is_figure or metric_called(name) is not None:
            continue
        kinds = values.astype(str).nunique()
        if kinds > 1 and not (is_text and kinds == len(runs.frame)) and found < _MOST_CHOSEN:
            found += 1
            yield name


def read_source(config: SourceConfig) -> Rows:
    """Return the rows of a source, with the columns of the table that is joined to it.

    Raises:
        AnalysisError: one of the tables cannot be read, or they do not belong together.
    """
    return _joined(_read(config), config)


def _read(config: SourceConfig) -> Rows:
    if config.source == "mlflow":
        return Rows(read_mlflow(tracking_uri(config.mlflow_uri), config.mlflow_experiment))
    rows: Rows = resolve_name(config.columns.reader)(Path(located(config.source)))
    return rows


def _joined(rows: Rows, config: SourceConfig) -> Rows:
    if config.join is None:
        return rows
    status = config.columns.status
    return join_table(rows, config.source, Path(located(config.join)), config.keys(), status)
