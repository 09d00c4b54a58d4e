"""The runs of a sweep's folder as one table, and those of a study, which is a folder of sweeps."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd

from greensweep.config.store import read_plain_config
from greensweep.csv_files.cells import write_frame
from greensweep.errors import AnalysisError
from greensweep.files import write_json, write_whole
from greensweep.record.result import CONFIG_FILE, RunResult
from greensweep.record.tracked_names import tracked_metrics, tracked_tags
from greensweep.search.folders import trial_directories
from greensweep.sources.mlflow import KEPT_METRICS, KEPT_TAGS, ORIGIN_TAGS
from greensweep.sources.table import OPTION_GROUPS, read_file
from greensweep.study.summary import TRIALS_FILE, read_summary, summarise
from greensweep.study.trials import Trial, first_trials, front_numbers, read_trials
from greensweep.tracking.mlflow_places import known_experiment
from greensweep.tracking.provenance import machine_text

# Config groups whose choice distinguishes the cells of a study, by their column.
_CHOICES = {
    "dataset": "dataset",
    "model": "model",
    "experiment": "experiment",
    "size": "size",
    "variant": "variant",
    "space": "space",
    "hydra/sweeper/sampler": "strategy",
}


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
    further = {trial.number: further_columns(trial.result) for trial in trials}
    rows = table[table["trial"].isin(further)]
    return rows.join(pd.DataFrame.from_dict(further, orient="index"), on="trial")


def further_columns(result: RunResult) -> dict[str, Any]:
    """Return what `read_mlflow` has of a run beside `trials.csv`, under the names of that."""
    metrics, tags = tracked_metrics(result), {**result.provenance, **tracked_tags(result)}
    kept: dict[str, Any] = {
        **{name: value for name, value in metrics.items() if name.startswith(KEPT_METRICS)},
        **{name: value for name, value in tags.items() if name.startswith(KEPT_TAGS)},
    }
    origin = {column: tags[name] for name, column in ORIGIN_TAGS.items() if name in tags}
    own = {"machine": machine_text(tags), "error": result.error}
    return {**kept, **origin, **_selected_by(result), **own}


def _selected_by(result: RunResult) -> dict[str, Any]:
    """Return the metric that a run was selected by, and its accuracy where it has one."""
    accuracy = {"accuracy": result.accuracy}
    if result.objective_metric == "accuracy":
        return accuracy
    own = {result.objective_metric: result.objective_value}
    return own if result.accuracy is None else own | accuracy


def read_study(
    folder: Path, cells: Mapping[str, int]
) -> tuple[pd.DataFrame, dict[str, dict[str, Any]]]:
    """Return the runs of these cells as one table, and the figures of each cell.

    The runs are those of `read_sweep`, with options, `cell` and its choices. `strategy_in_space`
    names two of these, as `random@paper_log`: for comparisons across spaces.

    Args:
        folder: holds a sweep's folder of each cell's name.
        cells: the trials that are asked of each; a sweep that has more counts by its first.

    Returns:
        Figures are the metrics of the best run, the joules of training that run, and those of the
        whole search.

    Raises:
        AnalysisError: there are no cells, or one has not ended.
        StudyError: a result file is broken.
    """
    tables, figures = [], {}
    for cell, asked in cells.items():
        sweep = folder / cell
        if not _has_ended(sweep, asked):
            raise _unfinished(sweep)
        labels = {"cell": cell, "experiment_id": known_experiment(sweep), **choices_of(sweep)}
        labels["strategy_in_space"] = f"{labels['strategy']}@{labels['space']}"
        trials = first_trials(read_trials(sweep), asked)
        runs = read_sweep(sweep, trials)
        if len(runs) < len(trials):
            raise _unfinished(sweep)
        labels["pareto_optimal"] = runs["trial"].isin(front_numbers(trials))
        tables.append(_with_options(runs, trials).assign(**labels))
        figures[cell] = _figures(trials)
    if not tables:
        raise AnalysisError(f"no cell of a study in {folder} is asked for: see params.yaml")
    return pd.concat(tables, ignore_index=True), figures


def _has_ended(sweep: Path, asked: int) -> bool:
    """Tell whether a sweep was not interrupted, and ended after so many trials were asked of it."""
    summary = read_summary(sweep)
    if summary is None or summary.status != "finished":
        return False
    return bool((summary.search or {}).get("trials_total", summary.trials) >= asked)


def _unfinished(sweep: Path) -> AnalysisError:
    return AnalysisError(
        f"{sweep} holds no finished sweep: run dvc repro, which goes on where it stopped"
    )


def _with_options(runs: pd.DataFrame, trials: Iterable[Trial]) -> pd.DataFrame:
    """Add the options of each run that its sweep did not search, which distinguish cells."""
    options = {trial.number: _options(trial.directory) for trial in trials}
    added = pd.DataFrame.from_dict(options, orient="index")
    return runs.join(added[added.columns.difference(runs.columns, sort=False)], on="trial")


def _options(directory: Path) -> dict[str, Any]:
    """Return a run's options of the groups that distinguish runs, by their names."""
    config = read_plain_config(directory / CONFIG_FILE)
    return {
        f"{group}{name}": value
        for group in OPTION_GROUPS
        for name, value in config.get(group.rstrip("."), {}).items()
        if isinstance(value, str | int | float)
    }


def write_study(runs: pd.DataFrame, figures: Mapping[str, Mapping[str, Any]], output: Path) -> None:
    """Write `runs.csv` and `runs.parquet` of a study, numbers unrounded, and what DVC shows of it.

    Args:
        runs, figures: as `read_study` returns them; figures become DVC's metrics, two columns of
            the runs its plot.

    Raises:
        OSError: the folder cannot be written. No file is half written.
    """
    (output / "metrics").mkdir(parents=True, exist_ok=True)
    write_frame(runs, output / "runs.csv")
    write_whole(output / "runs.parquet", runs.to_parquet)
    plotted = runs.columns.intersection(["energy_joules", "accuracy"])
    write_frame(runs[plotted], output / "plot.csv")
    for cell, own in figures.items():
        write_json(output / "metrics" / f"{cell}.json", own)


def _figures(trials: Iterable[Trial]) -> dict[str, Any]:
    summary = summarise(list(trials))
    best, metric = summary.best_figures, summary.objective_metric
    return {
        **{name: best[name] for name in (f"validation_{metric}", f"test_{metric}")},
        "energy_joules": best["energy_joules"],
        "search_energy_joules": summary.energy_spent_joules,
        "energy_quality": summary.energy_quality,
    }


def choices_of(sweep: Path) -> dict[str, Any]:
    """Return what the first run of a sweep chose in the groups that distinguish cells."""
    for run in trial_directories(sweep):
        composed = read_plain_config(run / ".hydra" / "hydra.yaml")
        with suppress(KeyError, TypeError):  # none, or half a file: another run chose the same
            chosen = composed["hydra"]["runtime"]["choices"]
            return {column: chosen.get(group) for group, column in _CHOICES.items()}
    return dict.fromkeys(_CHOICES.values())
