"""Runs that MLflow wrote as a table: `mlflow.search_runs().to_csv(…)`, and its UI's download."""

from pathlib import Path
from typing import Any

import pandas as pd

from greensweep.errors import AnalysisError
from greensweep.sources.mlflow import table_of
from greensweep.sources.mlflow_store import Columns
from greensweep.sources.table import Rows, cell_text, read_file

_NAME = "tags.mlflow.runName"
# Columns that are no param, metric or tag, and what the UI calls them.
_OF_A_RUN = ("run_id", "experiment_id", "status", "artifact_uri", "start_time", "end_time")
_IN_THE_UI = {"Run ID": "run_id", "Status": "status", "Start Time": "start_time", "Name": _NAME}


def read_mlflow_table(path: Path) -> Rows:
    """Return the runs that `source=mlflow` would have found, out of a table of them.

    Raises:
        AnalysisError: the file is missing, broken, or no such table.
    """
    table = read_file(path)
    if "Run ID" in table:
        tags = {name: f"tags.{name}" for name in _OF_A_RUN}
        table = table.rename(columns=tags).rename(columns=_IN_THE_UI)
    if not {"run_id", "status"} <= set(table):
        raise AnalysisError(
            f"{path} has no columns run_id and status, so that it is no table of MLflow's runs: "
            "write one by mlflow.search_runs().to_csv('runs.csv'), or set columns=runs"
        )
    runs = table.reindex(columns=list(_OF_A_RUN)).assign(name=table.get(_NAME))
    runs["start_time"] = pd.to_datetime(runs["start_time"], errors="coerce", utc=True)
    wide: dict[str, Columns] = {"metrics": {}, "params": {}, "tags": {}}
    for name in table.columns.drop(list(_OF_A_RUN), errors="ignore"):
        cells = table[name].astype(object).where(table[name].notna(), None)
        is_number = pd.api.types.is_numeric_dtype(table[name]) and not _is_flag(table[name])
        kind, _, key = str(name).partition(".")
        if kind not in wide:  # the UI tells no kinds
            kind, key = "metrics" if is_number else "tags", str(name)
            wide["params"] |= {} if is_number else {key: cells.tolist()}
        elif kind == "metrics" and not is_number:
            kind = "params"  # so that an analysis that needs it says which cell is no number
        wide[kind][key] = cells.map(cell_text).tolist() if kind == "tags" else cells.tolist()
    return Rows(table_of(runs, wide))


def _is_flag(values: "pd.Series[Any]") -> bool:
    return bool(pd.api.types.is_bool_dtype(values))
