"""Read the runs of one sweep from its folder as a table."""

from pathlib import Path
from typing import Any

import pandas as pd

from greensweep.analysis.mlflow_runs import KEPT_METRICS, KEPT_TAGS, MACHINE_TAGS, ORIGIN_TAGS
from greensweep.analysis.read import read_file
from greensweep.analysis.table import OPTION_GROUPS
from greensweep.config import read_plain_config
from greensweep.result import CONFIG_FILE, RunResult
from greensweep.study.summary import TRIALS_FILE
from greensweep.study.trials import read_trials


def read_sweep(directory: Path) -> pd.DataFrame:
    """Return `trials.csv` of a sweep, with what else MLflow would have of its runs as columns.

    Those are its options, the accuracy that the trials were selected by, the energy by phase and
    component with its quality, the layers, the machine and the versions, under the names that
    `read_mlflow` gives them.

    Raises:
        AnalysisError: there is no such table.
        StudyError: a result file is broken.
    """
    table = read_file(directory / TRIALS_FILE).rename(columns={"mlflow_run_id": "run_id"})
    further = {
        trial.number: {**_options(trial.directory), **_further(trial.result)}
        for trial in read_trials(directory)
    }
    added = pd.DataFrame.from_dict(further, orient="index")
    return table.join(added[added.columns.difference(table.columns, sort=False)], on="trial")


def _options(directory: Path) -> dict[str, Any]:
    """Return a run's options of the groups that tell runs apart, by their names."""
    config = read_plain_config(directory / CONFIG_FILE)
    return {
        f"{group}{name}": value
        for group in OPTION_GROUPS
        for name, value in config.get(group.rstrip("."), {}).items()
        if isinstance(value, str | int | float)
    }


def _further(result: RunResult) -> dict[str, Any]:
    metrics, tags = result.metrics(), {**result.provenance, **result.tags()}
    kept: dict[str, Any] = {
        **{name: value for name, value in metrics.items() if name.startswith(KEPT_METRICS)},
        **{name: value for name, value in tags.items() if name.startswith(KEPT_TAGS)},
    }
    machine = " ".join(tags[name] for name in MACHINE_TAGS if name in tags)
    origin = {column: tags[name] for name, column in ORIGIN_TAGS.items() if name in tags}
    return {**kept, **origin, "accuracy": result.accuracy, "machine": machine or None}
