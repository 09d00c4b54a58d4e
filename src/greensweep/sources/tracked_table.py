"""The runs of a table, of whichever tool, under the names that MLflow shows."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from greensweep.config.folders import located
from greensweep.config.metrics import Metric
from greensweep.config.schema_analysis import ColumnsConfig, SourceConfig
from greensweep.errors import AnalysisError, plural
from greensweep.sources import run_columns as col
from greensweep.sources.checks import copies, power_doubts, refuse_impossible_intensity
from greensweep.sources.columns import DEFAULTS, SourceColumns
from greensweep.sources.mlflow import KEPT_METRICS, KEPT_TAGS
from greensweep.sources.source import read_source
from greensweep.sources.standard import MOST_JOULES, described, metric_if_any
from greensweep.sources.table import ENERGY, Rows, cell_text
from greensweep.sources.tracked_runs import (
    ENDED,
    TrackedRun,
    TrackedRuns,
    TrackedSweep,
    read_experiment,
    read_folder,
)
from greensweep.tracking.mlflow_places import tracking_uri

_GRID = "emissions.grid"
_TAGS = (*KEPT_TAGS, "energy.source.", _GRID, "dataset", "model")
_PARTS = ("cpu", "gpu", "ram")


def read_tracked(config: SourceConfig) -> TrackedRuns:
    """Return the runs of a source: what Greensweep recorded of them, or what a table says.

    Raises:
        AnalysisError: there are none, or a table's columns are not what the options say.
    """
    columns, path = config.columns, Path(located(config.source))
    is_file = config.source != "mlflow" and path.is_file()
    names_energy = columns.energy != DEFAULTS.energy
    if is_file or columns.reader != ColumnsConfig.reader or names_energy:
        return tracked_table(read_source(config), config)
    if config.join is not None or columns != DEFAULTS:
        raise AnalysisError(
            f"columns and join are of tables, and source={config.source} is what Greensweep "
            "recorded: leave them out, and name the final run by final=RUN"
        )
    if config.source == "mlflow":
        return read_experiment(tracking_uri(config.mlflow_uri), config.mlflow_experiment)
    return read_folder(path, config.source)


def tracked_table(rows: Rows, config: SourceConfig) -> TrackedRuns:
    """Return the runs of a table; what it does not say of them is in no metric and no tag.

    Raises:
        AnalysisError: a column is missing or no figure is in it; or units cannot be right.
    """
    read = SourceColumns(rows.frame, config.columns, config.source)
    frame = described(read)
    scored = metric_if_any(read, frame)
    frame[col.SCORE] = np.nan if scored is None else scored[1]
    warnings = [*rows.warnings, *power_doubts(read, frame), *copies(read, frame)]
    for name in (ENERGY, col.SPENT):
        frame[name] = frame[name].where(frame[name].between(0.0, MOST_JOULES))
    refuse_impossible_intensity(read, frame)
    if not frame[col.SPENT].gt(0.0).any():
        raise AnalysisError(
            f"no run of {config.source} has an energy above 0 in {config.columns.energy}: set "
            "columns.energy to the column that has it"
        )
    if frame[col.EMISSIONS].isna().all():
        frame = frame.drop(columns=_GRID, errors="ignore")
    elif _GRID in frame and frame[_GRID].nunique() == 1:  # as of runs that crashed before they told
        frame[_GRID] = frame[_GRID].dropna().iloc[0]
    frame["_sweep"] = _sweeps(read)
    frame["_name"] = _names(frame)
    frame["_ended"] = _ends(read)
    if read.has("seconds"):
        frame["_seconds"] = read.numbers("seconds")
    # Where all that a run did is no other figure, nothing is known of its training alone.
    tells_training = not frame[ENERGY].equals(frame[col.SPENT])
    runs = [
        _run(number, row, scored and scored[0], config.columns.tool, tells_training)
        for number, row in enumerate(frame.to_dict("records"), 1)
    ]
    sweeps = {run.sweep: TrackedSweep(run.sweep, {}) for run in runs if run.sweep is not None}
    left_out = (
        f"left out: {plural(count, 'row')} of {config.source}, as {why}"
        for why, count in rows.left_out.items()
    )
    named = "MLflow" if config.source == "mlflow" else Path(config.source).name
    told_by = config.columns.tool or named
    return TrackedRuns(
        config.source, tuple(runs), sweeps, told_by=told_by, notes=(*left_out, *warnings)
    )


def _names(frame: pd.DataFrame) -> "pd.Series[Any]":
    """Return what runs are called; of CodeCarbon the project, where each run has one of its own."""
    named = [name for name in ("run_name", "log_prefix", "project_name") if name in frame]
    if not named or (named[0] == "project_name" and not frame["project_name"].is_unique):
        return pd.Series(None, index=frame.index, dtype=object)
    return frame[named[0]]


def _sweeps(read: SourceColumns) -> "pd.Series[Any]":
    """Return the search that drew each run, by strategy and number; missing where none is told."""
    texts = [read.optional(key, None).map(cell_text) for key in ("strategy", "seed")]
    known = [each.fillna("") for each in texts]
    return (known[0] + " " + known[1]).str.strip().replace("", None)


def _ends(read: SourceColumns) -> "pd.Series[str]":
    """Return how each run ended; `ended` where the tool does not tell, and no other table does."""
    ends = read.words("status", col.FINISHED)
    told = read.has("status") and (
        not read.config.reads_energy_alone or not ends.isin([col.FINISHED, col.UNMATCHED]).all()
    )
    return ends if told else ends.replace(col.FINISHED, ENDED)


def _run(
    number: int, row: Mapping[Any, Any], metric: Metric | None, tool: str | None, tells: bool
) -> TrackedRun:
    key = cell_text(row.get("run_id")) or str(number)
    task = cell_text(row.get("task_name"))
    key = f"{key} {task}" if task else key
    name = cell_text(row["_name"]) or key
    seconds = row.get("_seconds", math.nan)
    return TrackedRun(
        name if name != str(number) else f"row {number}",
        key,
        row["_ended"],
        dict(_metrics(row, metric, seconds, tells)),
        dict(_tags(row, metric, tool)),
        sweep=row["_sweep"],
        is_feasible=row[col.STATUS] != col.INFEASIBLE,
        seconds=None if tells or math.isnan(seconds) else seconds,
        meter=cell_text(row.get("energy.name")),
    )


def _metrics(
    row: Mapping[Any, Any], metric: Metric | None, seconds: float, tells_training: bool
) -> Iterator[tuple[str, float]]:
    figures = {
        **{name: value for name, value in row.items() if str(name).startswith(KEPT_METRICS)},
        "energy/spent_joules": row[col.SPENT],
        "energy/training_joules": row[ENERGY] if tells_training else None,
        "training/seconds": seconds if tells_training else None,
        "energy/uncertainty_joules": row[col.UNCERTAINTY] or None,
        "emissions/spent_kg": row[col.EMISSIONS],
    }
    if metric is not None:
        figures[f"validation/{metric.name}"] = row[metric.name]
    for name, value in figures.items():
        if isinstance(value, int | float) and math.isfinite(value):
            yield str(name), float(value)


def _tags(
    row: Mapping[Any, Any], metric: Metric | None, tool: str | None
) -> Iterator[tuple[str, str]]:
    texts = {
        **{name: value for name, value in row.items() if str(name).startswith(_TAGS)},
        "energy.quality": row[col.QUALITY],
        "energy.contended": row[col.CONTENDED],
        "energy.pue": row.get("pue"),
        "energy.tracking_mode": row.get("tracking_mode"),
        "hardware.machine": None
        if row[col.MACHINE] == col.UNKNOWN
        else str(row[col.MACHINE]).rstrip("."),
    }
    for part in _PARTS if tool else ():
        if f"energy.quality.{part}" in texts:
            texts[f"energy.source.{part}"] = tool if texts[f"energy.quality.{part}"] else None
    if metric is not None:
        texts |= {"objective.metric": metric.name, "objective.direction": metric.direction}
    for name, value in texts.items():
        if (text := cell_text(value)) is not None:
            yield str(name), text
