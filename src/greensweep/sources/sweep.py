"""Read the runs of one sweep from its folder as a table."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from greensweep.record.result import RunResult
from greensweep.record.tracked_names import tracked_metrics, tracked_tags
from greensweep.sources.mlflow import KEPT_METRICS, KEPT_TAGS, MACHINE_TAGS, ORIGIN_TAGS
from greensweep.sources.table import read_file
from greensweep.study.summary import TRIALS_FILE
from greensweep.study.trials import Trial


def read_sweep(directory: Path, trials: Iterable[Trial]) -> pd.DataFrame:
    """Return these trials of a sweep as `trials.csv` has them, with what else MLflow would have.

    That is, as columns, the metric that the trials were selected by, the energy by phase and
    component with its quality, the layers, the machine, the versions and the origin, under the
    names that `read_mlflow` gives them.

    Args:
        trials: of those that `read_trials` reads there.

    Raises:
        AnalysisError: there is no such table.
    """
    table = read_file(directory / TRIALS_FILE).rename(columns={"mlflow_run_id": "run_id"})
    further = {trial.number: _further(trial.result) for trial in trials}
    rows = table[table["trial"].isin(further)]
    return rows.join(pd.DataFrame.from_dict(further, orient="index"), on="trial")


def _further(result: RunResult) -> dict[str, Any]:
    metrics, tags = tracked_metrics(result), {**result.provenance, **tracked_tags(result)}
    kept: dict[str, Any] = {
        **{name: value for name, value in metrics.items() if name.startswith(KEPT_METRICS)},
        **{name: value for name, value in tags.items() if name.startswith(KEPT_TAGS)},
    }
    machine = " ".join(tags[name] for name in MACHINE_TAGS if name in tags)
    origin = {column: tags[name] for name, column in ORIGIN_TAGS.items() if name in tags}
    return {**kept, **origin, **_selected_by(result), "machine": machine or None}


def _selected_by(result: RunResult) -> dict[str, Any]:
    """Return the metric that a run was selected by, and its accuracy where it has one."""
    accuracy = {"accuracy": result.accuracy}
    if result.objective_metric == "accuracy":
        return accuracy
    own = {result.objective_metric: result.objective_value}
    return own if result.accuracy is None else own | accuracy
