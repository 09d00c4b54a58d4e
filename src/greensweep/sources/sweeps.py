"""One sweep by its name: the folder that it is in, or its run in MLflow."""

from dataclasses import replace
from pathlib import Path

import pandas as pd

from greensweep.config.folders import located
from greensweep.config.schema_analysis import SourceConfig
from greensweep.errors import AnalysisError, unknown
from greensweep.sources.mlflow import read_sweeps
from greensweep.sources.source import read_runs
from greensweep.sources.table import RunTable
from greensweep.study.summary import read_summary
from greensweep.tracking.mlflow_places import tracking_uri

_ID, _NAME = "search", "sweep"


def read_named_sweep(name: str, config: SourceConfig) -> tuple[RunTable, pd.DataFrame | None]:
    """Return the runs of a sweep, and what it spent beside them, where that is known.

    Args:
        name: its folder, or the name, the id or the beginning of the id of its run in MLflow.

    Raises:
        AnalysisError: there is no such sweep, or there are several in MLflow.
    """
    if Path(located(name)).is_dir():
        named = replace(config, source=name)
        return read_runs(named), beside_runs(named)
    try:
        runs = read_runs(replace(config, source="mlflow"))
    except AnalysisError as error:
        raise AnalysisError(
            f"compare: {name} is no folder, and {config.mlflow_uri} has no sweep: {error}"
        ) from error
    sweeps = runs.frame.reindex(columns=[_ID, _NAME]).dropna(subset=[_ID]).drop_duplicates()
    ids, names = sweeps[_ID].astype(str), sweeps[_NAME].astype(str)
    found = ids[names.eq(name) | ids.str.startswith(name)].tolist()
    if not found:
        raise AnalysisError(f"compare: {unknown('folder or sweep', name, names.unique())}")
    if len(found) > 1:
        raise AnalysisError(
            f"compare: {len(found)} sweeps in MLflow are called {name}: name one by its id, "
            f"{' or '.join(each[:8] for each in found[:3])}"
        )
    beside = read_sweeps(tracking_uri(config.mlflow_uri), config.mlflow_experiment)
    own = runs.only({_ID: found[0]}, "compare")
    return replace(own, source=f"the sweep {name}"), beside[beside.index == found[0]]


def beside_runs(config: SourceConfig) -> pd.DataFrame | None:
    """Return what the sweeps of a source spent beside their runs, where that is known."""
    if config.source == "mlflow":
        return read_sweeps(tracking_uri(config.mlflow_uri), config.mlflow_experiment)
    folder = Path(located(config.source))
    summary = read_summary(folder) if folder.is_dir() else None
    return None if summary is None else pd.DataFrame([summary.metrics()])
