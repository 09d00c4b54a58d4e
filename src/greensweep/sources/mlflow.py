"""The runs of an MLflow experiment as one table."""

import re
import sys
from collections.abc import Container, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from greensweep.record.recorded_run import STATUS_OF_TRACKED
from greensweep.record.tracked_names import present_name
from greensweep.sources import run_columns as col
from greensweep.sources.mlflow_store import Columns, Keys, read_store
from greensweep.tracking.provenance import MACHINE_TAGS, machine_text

# Metrics and tags of MLflow under the names that a table of runs has for them.
_METRICS = {
    "energy/training_joules": "energy_joules",
    "energy/spent_joules": "energy_spent_joules",
    "energy/uncertainty_joules": "energy_uncertainty_joules",
    "objective/low": "objective_low",
    "objective/high": "objective_high",
    "emissions/kg": "emissions_kg",
    "emissions/spent_kg": "emissions_spent_kg",
}
_PARENT, _STRATEGY, _SPACE = "mlflow.parentRunId", "strategy", "space"
_QUALITY = "energy.quality"
# What others call by names of their own, or have not.
_FLAGS = ("energy_contended", "selected_on_test", "starting_point", "energy_comparable")
_COMPARED = ("energy_joules", "accuracy", "dataset", "model")
ORIGIN_TAGS = {"mlflow.source.git.commit": "commit", "dvc.data": "data"}
_TAGS = {
    **ORIGIN_TAGS,
    "status": "status",
    _QUALITY: "energy_quality",
    "energy.contended": "energy_contended",
    "energy.comparable": "energy_comparable",
    "selected_on_test": "selected_on_test",
    "infeasible": "infeasible",
    "starting_point": "starting_point",
    "dataset": "dataset",
    "model": "model",
    "objective.metric": col.OBJECTIVE_METRIC,
    "objective.direction": col.OBJECTIVE_DIRECTION,
}
_VALIDATION, _TEST = "validation/", "test/"
# Of a split, but no metric that runs are compared by, unless they say so: the loss, and spreads
# over repeats.
_NO_METRIC = re.compile(r"loss|.*_(std|low|high)")
_JOULES = ("energy/training_joules", "energy/spent_joules")
_LAYERS = "layers/"
# Tags and metrics that keep their names.
KEPT_TAGS = ("energy.quality.", "phases.quality.", "version.")
KEPT_METRICS = (_LAYERS, "model/", "layer_energy/", "energy/", "phases/")

# What the keys that are read of a table begin with: MLflow and others keep more there. None: all.
READ_KEYS: Keys = {
    "metrics": None,
    "params": None,
    "tags": (*KEPT_TAGS, *_TAGS, *MACHINE_TAGS, _PARENT, _STRATEGY, _SPACE),
}
SWEEP_METRICS, ONLY_SWEEPS = ("sweep/", "search/"), "metrics.`sweep/trials` > 0"


def read_mlflow(uri: str, experiment: str) -> pd.DataFrame:
    """Return one row per run that ended: figures, tags, params and layer counts as columns.

    A database is read by itself, and not written to; a server is asked through MLflow. `accuracy`
    and other metrics are those on the validation split, of runs with `selected_on_test` on the test
    split. Runs of
    sweeps carry the strategy and the id of their sweep; the parents of sweeps, and the repeats
    below a run, are no rows. A layer type that a run does not have counts 0.

    Raises:
        AnalysisError: the store cannot be read, or has no such experiment.
    """
    return table_of(*read_store(uri, experiment, READ_KEYS))


def read_sweeps(uri: str, experiment: str) -> pd.DataFrame:
    """Return one row per sweep that ended: its figures `sweep/…` and `search/…` as columns.

    Raises:
        AnalysisError: as `read_mlflow`.
    """
    return sweeps_of(*read_store(uri, experiment, {"metrics": SWEEP_METRICS}, ONLY_SWEEPS))


def sweeps_of(runs: pd.DataFrame, wide: dict[str, Columns]) -> pd.DataFrame:
    """Return the sweeps among the runs of a store, as `read_store` returns them, as one table."""
    metrics = {key: each for key, each in wide["metrics"].items() if key.startswith(SWEEP_METRICS)}
    return logged_figures(metrics, runs["run_id"].tolist()).dropna(how="all")


def logged_figures(columns: Columns, run_ids: Sequence[str]) -> pd.DataFrame:
    """Return metrics as they were logged: MLflow's stores keep infinity as the largest number."""
    index = pd.Index(run_ids, name="run_id")
    frame = pd.DataFrame(columns, index=index, dtype=float)
    for name in [each for each in columns if present_name(each) != each]:
        now, former = present_name(name), frame.pop(name)
        frame[now] = frame[now].fillna(former) if now in frame else former
    return frame.replace({sys.float_info.max: np.inf, -sys.float_info.max: -np.inf})


def table_of(runs: pd.DataFrame, wide: dict[str, Columns]) -> pd.DataFrame:
    """Return the runs of a store, as `read_store` returns them, as one table."""
    runs = runs.set_index("run_id")
    metrics = logged_figures(wide["metrics"], runs.index.tolist())
    tags = pd.DataFrame(wide["tags"], index=runs.index)
    parent = tags.get(_PARENT, pd.Series(index=runs.index, dtype=object))
    sweeps = sweep_ids(parent, metrics, tags)
    is_repeat = parent.isin(runs.index) & ~parent.isin(sweeps)
    theirs = _others(metrics, {n: _as_numbers(each) for n, each in wide["params"].items()})
    frame = pd.DataFrame(index=runs.index)
    for part, beginnings in ((metrics, KEPT_METRICS), (tags, KEPT_TAGS)):
        for name in [each for each in part if str(each).startswith(beginnings)]:
            frame[name] = part[name]
    counts = metrics.filter(regex=f"^{_LAYERS}")
    frame[counts.columns] = counts.dropna(how="all").fillna(0.0).reindex(counts.index)
    for names, part in ((_METRICS, metrics), (_TAGS, tags)):
        for name, ours in names.items():
            frame[ours] = part.get(name)
    frame["status"] = frame["status"].fillna(runs["status"].map(STATUS_OF_TRACKED))
    for name in _FLAGS[:3]:
        frame[name] = frame[name].eq("true")
    frame["energy_comparable"] = frame["energy_comparable"].ne("false")
    selected_by = {*frame[col.OBJECTIVE_METRIC]}
    frame = frame.assign(**_selecting(metrics, frame["selected_on_test"], selected_by))
    hardware = [name for name in MACHINE_TAGS if name in tags]
    frame["machine"] = _machines(tags[hardware]) if hardware else None
    frame["search"] = parent
    frame["sweep"] = parent.map(runs["name"])
    frame["strategy"] = parent.map(tags[_STRATEGY]) if _STRATEGY in tags else None
    if _SPACE in tags:
        frame[_SPACE] = parent.map(tags[_SPACE])
    numbers = runs["name"].astype(str).str.extract(r"\Atrial (\d+)\Z", expand=False)
    frame["trial"] = numbers.astype(float)
    frame["run_name"] = runs["name"]
    frame["started"] = runs["start_time"]
    frame["run_id"] = runs.index
    frame["experiment_id"] = runs["experiment_id"].astype(str)
    gone = set(theirs)
    if _QUALITY not in tags:  # runs that others logged, with params and metrics of such names
        no_flags = [ours for tag, ours in _TAGS.items() if ours in _FLAGS and tag not in tags]
        frame = frame.drop(columns=no_flags)
        gone |= {*_COMPARED}
    known = frame.drop(columns=[name for name in gone & {*frame} if frame[name].isna().all()])
    frame = pd.concat([theirs.drop(columns=known.columns, errors="ignore"), known], axis=1)
    ended = runs["status"].isin(list(STATUS_OF_TRACKED)).to_numpy()
    kept = frame[~runs.index.isin(sweeps) & ~is_repeat.to_numpy() & ended]
    return kept.sort_values("started", ignore_index=True)


def _others(metrics: pd.DataFrame, params: Mapping[str, Any]) -> pd.DataFrame:
    """Return params, and metrics beside those of sweeps, by their names.

    A metric with a param's name is `metrics.NAME`, as MLflow's own tables call it.
    """
    own = [str(name) for name in metrics if not str(name).startswith(SWEEP_METRICS)]
    names = {name: f"metrics.{name}" if name in params else name for name in own}
    return pd.DataFrame(dict(params), index=metrics.index).join(metrics[own].rename(columns=names))


def _selecting(
    metrics: pd.DataFrame, on_test: "pd.Series[bool]", selected_by: Container[str]
) -> dict[str, Any]:
    """Return the metrics on the split that each run was selected on.

    Args:
        selected_by: metrics that runs say they were selected by, which may be a loss.
    """
    found: dict[str, Any] = {}
    for name in [each for each in metrics if str(each).startswith(_VALIDATION)]:
        figure = str(name).removeprefix(_VALIDATION)
        if figure in selected_by or not _NO_METRIC.fullmatch(figure):
            tested = metrics.get(f"{_TEST}{figure}", metrics[name])
            found[figure] = metrics[name].mask(on_test, tested)
    return found or {"accuracy": None}


def sweep_ids(
    parent: "pd.Series[Any]", metrics: pd.DataFrame, tags: pd.DataFrame
) -> "pd.Index[Any]":
    """Return the ids of sweeps: parents that name a strategy, or that spent nothing themselves.

    A run of several repeats is a parent too, with an energy of its own.
    """
    spent = metrics.reindex(columns=list(_JOULES)).notna().any(axis=1)
    named = tags.reindex(columns=[_STRATEGY])[_STRATEGY].notna()
    return parent.index[parent.index.isin(parent.dropna()) & parent.isna() & (named | ~spent)]


def _machines(hardware: pd.DataFrame) -> "pd.Series[Any]":
    """Return what the machine of each run is called; there are few machines and many runs."""
    numbers = hardware.groupby([*hardware], dropna=False, sort=False).ngroup()
    kinds = hardware[~numbers.duplicated().to_numpy()].fillna("").astype(str)
    rows = kinds.itertuples(index=False, name=None)
    texts = [machine_text(dict(zip(map(str, kinds), row, strict=True))) for row in rows]
    return numbers.map(dict(enumerate(texts)))


def _as_numbers(values: Sequence[str | None]) -> Any:
    """Return params as numbers where all of them are: MLflow keeps texts only."""
    codes, kinds = pd.factorize(np.array(values, dtype=object))  # most options have few values
    texts = pd.Series(kinds.tolist())
    numbers = pd.to_numeric(texts, errors="coerce")
    return (texts if numbers.isna().any() else numbers).reindex(codes).array
