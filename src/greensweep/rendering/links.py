"""Where a run of the page leads to: its page in the MLflow UI, and its configuration."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

import pandas as pd

from greensweep.config.folders import located
from greensweep.config.schema_analysis import ReportConfig
from greensweep.record.result import CONFIG_FILE
from greensweep.tracking.view import run_page

RUN, CONFIG = "MLflow run", "config"
_MLFLOW_ID = re.compile("[0-9a-f]{32}")


def run_links(frame: pd.DataFrame, config: ReportConfig) -> list[Mapping[str, str]]:
    """Return, for each run, the addresses of what is there of it, by what that is."""
    runs = mlflow_links(frame, config)
    pairs = zip(runs or [""] * len(frame), _configs(frame, config), strict=True)
    return [{word: to for word, to in ((RUN, run), (CONFIG, own)) if to} for run, own in pairs]


def mlflow_links(frame: pd.DataFrame, config: ReportConfig) -> Sequence[str]:
    """Return the address of each run in the MLflow UI; none of runs that are not MLflow's."""
    if not {"run_id", "experiment_id"} <= set(frame.columns):
        return []
    return [
        f"{config.ui}/{run_page(str(experiment), str(run))}"
        if _MLFLOW_ID.fullmatch(str(run))
        else ""
        for experiment, run in zip(frame["experiment_id"], frame["run_id"], strict=True)
    ]


def _configs(frame: pd.DataFrame, config: ReportConfig) -> list[str]:
    """Return where the configuration of each run lies, from the page; empty where it does not."""
    root = Path(located(config.source))
    if not root.is_dir():
        return [""] * len(frame)
    column = "folder" if "folder" in frame else "trial"
    if column not in frame:
        return [""] * len(frame)
    names = [root / str(each) for each in frame[column]]
    files = [(root if each.name == root.name else each) / CONFIG_FILE for each in names]
    page = Path(config.output).absolute()
    return [
        quote(os.path.relpath(file.absolute(), page)) if file.is_file() else "" for file in files
    ]
