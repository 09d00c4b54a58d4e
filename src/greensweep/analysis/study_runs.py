"""The runs of a whole study, which is a folder of sweeps, as one table."""

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from greensweep.analysis.sweep_runs import read_sweep
from greensweep.analysis.table import OPTION_GROUPS
from greensweep.config import read_plain_config
from greensweep.errors import AnalysisError
from greensweep.result import CONFIG_FILE, run_directories
from greensweep.search.trial import write_json
from greensweep.study.summary import TRIALS_FILE, read_summary
from greensweep.study.trials import Trial, read_trials
from greensweep.tracking.mlflow import known_experiment

# Config groups whose choice tells the cells of a study apart, by their column.
_CHOICES = {
    "dataset": "dataset",
    "experiment": "experiment",
    "size": "size",
    "variant": "variant",
    "space": "space",
    "hydra/sweeper/sampler": "strategy",
}


def read_study(folder: Path, cells: Iterable[str]) -> pd.DataFrame:
    """Return the runs of these cells: those of `read_sweep`, with options, `cell` and its choices.

    `strategy_in_space` names both, as `random@paper_log`: for comparisons across spaces.

    Args:
        folder: holds a sweep's folder of each cell's name.

    Raises:
        AnalysisError: there are no cells, or one has not ended.
        StudyError: a result file is broken.
    """
    tables = []
    for cell in cells:
        sweep = folder / cell
        if not (sweep / TRIALS_FILE).is_file():
            raise AnalysisError(
                f"{sweep} holds no finished sweep: run dvc repro, which goes on where it stopped"
            )
        told = {"cell": cell, "experiment_id": known_experiment(sweep), **_choices(sweep)}
        told["strategy_in_space"] = f"{told['strategy']}@{told['space']}"
        trials = read_trials(sweep)
        tables.append(_with_options(read_sweep(sweep, trials), trials).assign(**told))
    if not tables:
        raise AnalysisError(f"no cell of a study in {folder} is asked for: see params.yaml")
    return pd.concat(tables, ignore_index=True)


def _with_options(runs: pd.DataFrame, trials: Iterable[Trial]) -> pd.DataFrame:
    """Add the options of each run that its sweep did not search, which tell cells apart."""
    options = {trial.number: _options(trial.directory) for trial in trials}
    added = pd.DataFrame.from_dict(options, orient="index")
    return runs.join(added[added.columns.difference(runs.columns, sort=False)], on="trial")


def _options(directory: Path) -> dict[str, Any]:
    """Return a run's options of the groups that tell runs apart, by their names."""
    config = read_plain_config(directory / CONFIG_FILE)
    return {
        f"{group}{name}": value
        for group in OPTION_GROUPS
        for name, value in config.get(group.rstrip("."), {}).items()
        if isinstance(value, str | int | float)
    }


def write_study(runs: pd.DataFrame, study: Path, output: Path) -> None:
    """Write `runs.csv` and `runs.parquet` of a study, numbers unrounded, and metrics of each cell.

    Those are accuracies of the best run of its sweep, 0 to 1, the joules of training that run, and
    those of the whole search.

    Raises:
        OSError: the folder cannot be written. No file is half written.
    """
    (output / "metrics").mkdir(parents=True, exist_ok=True)
    _replace(output / "runs.csv", partial(runs.to_csv, index=False))
    _replace(output / "runs.parquet", runs.to_parquet)
    for cell in runs["cell"].unique():
        write_json(output / "metrics" / f"{cell}.json", _metrics(study / cell))


def _replace(path: Path, write: Callable[[Path], Any]) -> None:
    part = path.with_name(f".{path.name}.part")
    try:
        write(part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _metrics(sweep: Path) -> dict[str, Any]:
    summary = read_summary(sweep)
    if summary is None:
        return {}
    return {
        "validation_accuracy": summary.best_validation_accuracy,
        "test_accuracy": summary.best_test_accuracy,
        "energy_joules": summary.best_energy_joules,
        "search_energy_joules": summary.energy_spent_joules,
        "energy_quality": summary.energy_quality,
    }


def _choices(sweep: Path) -> dict[str, Any]:
    """Return what the first run of a sweep chose in the groups that tell cells apart."""
    for run in run_directories(sweep):
        composed = run / ".hydra" / "hydra.yaml"
        if composed.is_file():
            chosen = read_plain_config(composed)["hydra"]["runtime"]["choices"]
            return {column: chosen.get(group) for group, column in _CHOICES.items()}
    return dict.fromkeys(_CHOICES.values())
