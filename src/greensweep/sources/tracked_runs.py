"""What runs and sweeps recorded, under the names that MLflow shows: from folders or a store."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from greensweep.config.store import read_plain_config
from greensweep.errors import AnalysisError
from greensweep.record.recorded_run import STATUS_OF_TRACKED
from greensweep.record.result import CONFIG_FILE, RESULT_FILE, RunResult, find_result
from greensweep.record.tracked_names import tracked_metrics, tracked_tags
from greensweep.search.cost import read_search_cost
from greensweep.search.folders import runs_and_sweeps
from greensweep.sources.mlflow import SWEEP_METRICS, logged_figures, sweep_ids
from greensweep.sources.mlflow_store import Columns, Keys, read_store
from greensweep.study.summary import StudySummary, read_summary, summarise
from greensweep.study.trials import read_trials

ENDED = "ended"  # how, its table does not say
_PARENT = "mlflow.parentRunId"
_METER, _REPEATS = "energy.name", "repeats"
_KEYS: Keys = {
    "metrics": (
        *("energy/", "emissions/", "phases/", "training/", "validation/", "test/", "model/"),
        *SWEEP_METRICS,
    ),
    "params": (_METER, _REPEATS),
    "tags": (
        *("status", "model", "dataset", "device", "energy.", "emissions.", "objective."),
        *("selected_on_test", "infeasible", "hardware.", "version.", "strategy", _PARENT),
    ),
}


@dataclass(frozen=True)
class TrackedRun:
    """A run under the names that MLflow shows.

    Attributes:
        name: what it is called: `trial 3`, its folder, or its name in MLflow.
        key: by which it can be asked for: its folder below the source, or its id in MLflow.
        metrics, tags: as `tracked_metrics` and `tracked_tags` name them, with its provenance.
        sweep: key of the sweep that it is a trial of.
        seconds: of all its phases, of MLflow's from its start to its end; None where not known.
        meter: name of the meter, where its options have it.
    """

    name: str
    key: str
    status: str
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    sweep: str | None = None
    is_feasible: bool = True
    repeats: int = 1
    seconds: float | None = None
    meter: str | None = None


@dataclass(frozen=True)
class TrackedSweep:
    """A sweep, and its figures `sweep/…` and `search/…`."""

    name: str
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class TrackedRuns:
    """The runs and the sweeps of a source.

    Attributes:
        sweeps: by key.
        running: how many runs have not ended, and are not among `runs`.
        told_by: tool or table whose figures these are; None of what Greensweep recorded.
        notes: what such a table leaves out, and what is doubtful about it.
    """

    source: str
    runs: tuple[TrackedRun, ...]
    sweeps: Mapping[str, TrackedSweep]
    running: int = 0
    told_by: str | None = None
    notes: tuple[str, ...] = ()


def read_folder(folder: Path, source: str) -> TrackedRuns:
    """Read a run, a sweep, or all that is below a folder: runs, and the sweeps of a study.

    Args:
        source: what the user calls it.

    Raises:
        AnalysisError: it is no folder, or holds no run.
    """
    if not folder.is_dir():
        raise AnalysisError(
            f"source={source} is no folder and no file: give the folder of a run, a sweep or a "
            "study, a table of runs, or mlflow"
        )
    runs: list[TrackedRun] = []
    sweeps: dict[str, TrackedSweep] = {}
    for path in runs_and_sweeps(folder):
        key = path.relative_to(folder).as_posix()
        if (path / RESULT_FILE).is_file():
            if (result := find_result(path)) is not None:
                runs.append(_run_of(result, path, path.resolve().name if key == "." else key, key))
            continue
        trials = read_trials(path)
        summary = read_summary(path) or _unfinished(path)
        sweeps[key] = TrackedSweep(path.resolve().name, summary.metrics())
        for trial in trials:
            own = trial.directory.relative_to(folder).as_posix()
            run = _run_of(trial.result, trial.directory, f"trial {trial.number}", own)
            runs.append(replace(run, sweep=key, is_feasible=not trial.broken))
    if not runs and not any(sweep.metrics.get("search/spent_joules") for sweep in sweeps.values()):
        raise AnalysisError(
            f"source={source} holds no run that has ended: give the folder of a run (that of its "
            f"{RESULT_FILE}), a sweep or a study, a table of runs, or mlflow"
        )
    return TrackedRuns(source, tuple(runs), sweeps)


def _unfinished(sweep: Path) -> StudySummary:
    cost = read_search_cost(sweep)
    return summarise(read_trials(sweep), interrupted=True, search_cost=cost)


def _run_of(result: RunResult, directory: Path, name: str, key: str) -> TrackedRun:
    phases = [phase.seconds for phase in result.energy_phases.values()]
    return TrackedRun(
        name,
        key,
        result.status,
        tracked_metrics(result),
        {**result.provenance, **tracked_tags(result)},
        repeats=result.repeats,
        seconds=sum(phases) if phases else None,
        meter=_meter_of(directory),
    )


def _meter_of(directory: Path) -> str | None:
    energy = read_plain_config(directory / CONFIG_FILE).get("energy")
    name = energy.get("name") if isinstance(energy, Mapping) else None
    return name if isinstance(name, str) else None


def read_experiment(uri: str, experiment: str) -> TrackedRuns:
    """Read the runs of an MLflow experiment that ended, and its sweeps; repeats are in their run.

    Raises:
        AnalysisError: the store cannot be read, has no such experiment, or no run in it ended.
    """
    runs, wide = read_store(uri, experiment, _KEYS)
    runs = runs.set_index("run_id")
    metrics = logged_figures(wide["metrics"], runs.index.tolist())
    tags = pd.DataFrame(wide["tags"], index=runs.index)
    parent = tags.get(_PARENT, pd.Series(index=runs.index, dtype=object))
    sweeps = set(sweep_ids(parent, metrics, tags))
    figures = {
        str(run_id): {str(name): value for name, value in row.items() if np.isfinite(value)}
        for run_id, row in metrics.to_dict("index").items()
    }
    texts, params = _by_run(wide["tags"], runs.index), _by_run(wide["params"], runs.index)
    ended, running = [], 0
    for run_id, row in runs.sort_values("start_time").iterrows():
        key, above = str(run_id), texts[run_id].get(_PARENT)
        if key in sweeps or (above in runs.index and above not in sweeps):
            continue
        status = STATUS_OF_TRACKED.get(row["status"])
        if status is None:
            running += 1
            continue
        own, repeats = texts[run_id], params[run_id].get(_REPEATS, "1")
        ended.append(
            TrackedRun(
                str(row["name"]),
                key,
                own.get("status", status),
                figures[key],
                own,
                sweep=above if above in sweeps else None,
                is_feasible=not own.get("infeasible"),
                seconds=_seconds(row["start_time"], row["end_time"]),
                repeats=int(repeats) if repeats.isdecimal() else 1,
                meter=params[run_id].get(_METER),
            )
        )
    if not ended:
        raise AnalysisError(
            f"no run of the experiment {experiment} has ended: train something, or set "
            "mlflow_experiment to another"
        )
    named = {key: TrackedSweep(str(runs.loc[key, "name"]), figures[key]) for key in sweeps}
    return TrackedRuns(f"MLflow experiment {experiment}", tuple(ended), named, running)


def _seconds(began: float | None, ended: float | None) -> float | None:
    """Return how long a run was, of times in milliseconds."""
    return None if pd.isna(began) or pd.isna(ended) else (ended - began) / 1000.0


def _by_run(columns: Columns, run_ids: Iterable[Any]) -> dict[Any, dict[str, str]]:
    """Return what is known of each run, of columns in their order."""
    return {
        run_id: {key: str(each[place]) for key, each in columns.items() if each[place] is not None}
        for place, run_id in enumerate(run_ids)
    }
