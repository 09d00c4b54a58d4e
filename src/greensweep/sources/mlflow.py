"""Read the runs of an MLflow experiment as one table."""

import math
import re
import sqlite3
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd

from greensweep.config import sqlite_file
from greensweep.errors import AnalysisError, first_sentence, unknown
from greensweep.secrets import mask_text

# Metrics and tags of MLflow under the names that a table of runs has for them.
_METRICS = {
    "validation/accuracy": "accuracy",
    "energy/total_joules": "energy_joules",
    "energy/spent_joules": "energy_spent_joules",
    "energy/uncertainty_joules": "energy_uncertainty_joules",
}
ORIGIN_TAGS = {"mlflow.source.git.commit": "commit", "dvc.data": "data"}
_TAGS = {
    **ORIGIN_TAGS,
    "status": "status",
    "energy.quality": "energy_quality",
    "energy.contended": "energy_contended",
    "energy.comparable": "energy_comparable",
    "selected_on_test": "selected_on_test",
    "infeasible": "infeasible",
    "dataset": "dataset",
    "model": "model",
}
_TEST = "test/accuracy"  # which is the accuracy of runs that were selected on test
_JOULES = ("energy/total_joules", "energy/spent_joules")
_LAYERS = "layers/"
_PARENT, _STRATEGY = "mlflow.parentRunId", "strategy"
MACHINE_TAGS = ("hardware.cpu", "hardware.gpu", "hardware.cores")
_STATUS = {"FINISHED": "finished", "FAILED": "failed", "KILLED": "stopped"}
_PAGE = 1000
_DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
# Tags and metrics that keep their names.
KEPT_TAGS = ("energy.quality.", "phases.quality.", "version.")
KEPT_METRICS = (
    _LAYERS,
    "model/",
    "layer_energy/",
    "energy/",
    "phases/",
)

_RUNS = ["run_id", "name", "status", "start_time", "experiment_id"]
_OURS = "r.experiment_id = {experiment} AND r.lifecycle_stage = 'active'"
_TABLES = {
    "metrics": ("latest_metrics", "t.key, t.value, t.is_nan"),
    "params": ("params", "t.key, t.value"),
    "tags": ("tags", "t.key, t.value"),
}
# What the keys that are read of a table begin with: MLflow and others keep more there. None: all.
_READ = {
    "metrics": (*KEPT_METRICS, *_METRICS, _TEST),
    "params": None,
    "tags": (*KEPT_TAGS, *_TAGS, *MACHINE_TAGS, _PARENT, _STRATEGY),
}
_SWEEPS = ("sweep/", "search/")

_Columns = dict[str, list[Any]]  # values of all runs, by key


def read_mlflow(uri: str, experiment: str) -> pd.DataFrame:
    """Return one row per run that ended: figures, tags, params and layer counts as columns.

    A database is read by itself, and not written to; a server is asked through MLflow. `accuracy`
    is that on the validation split, of runs with `selected_on_test` on the test split. Runs of
    sweeps carry the strategy and the id of their sweep; the parents of sweeps, and the repeats
    below a run, are no rows. A layer type that a run does not have counts 0.

    Raises:
        AnalysisError: the store cannot be read, or has no such experiment.
    """
    with _one_sentence(uri):
        read = _from_database if _is_database(uri) else _from_api
        return _table(*read(uri, experiment))


def read_sweeps(uri: str, experiment: str) -> pd.DataFrame:
    """Return one row per sweep that ended: its figures `sweep/…` and `search/…` as columns.

    Raises:
        AnalysisError: as `read_mlflow`.
    """
    with _one_sentence(uri):
        read = _sweeps_from_database if _is_database(uri) else _sweeps_from_api
        return _figures(*read(uri, experiment))


def _is_database(uri: str) -> bool:
    return uri.partition("://")[0].partition("+")[0] in _DATABASES


@contextmanager
def _one_sentence(uri: str) -> Iterator[None]:
    try:
        yield
    except AnalysisError:
        raise
    except Exception as error:
        raise AnalysisError(
            f"MLflow at {mask_text(uri)} cannot be read ({mask_text(first_sentence(error))}): "
            "see mlflow_uri, or MLFLOW_TRACKING_URI"
        ) from error


@contextmanager
def _database(uri: str) -> Iterator[Any]:
    """Open MLflow's database to read, as a connection of Python's database API."""
    path = sqlite_file(uri)
    if path is not None:
        if not path.is_file():
            raise AnalysisError(f"no MLflow store at {path}: train something first")
        address = f"file:{quote(str(path))}?mode=ro"
        with closing(sqlite3.connect(address, uri=True)) as connection:
            yield connection
        return
    # Imported when used: it takes a quarter of a second, and SQLite has no need of it.
    from sqlalchemy import create_engine

    engine = create_engine(uri)
    try:
        with closing(engine.raw_connection()) as connection:
            yield connection
    finally:
        engine.dispose()


def _select(connection: Any, statement: str) -> Iterator[Any]:
    with closing(connection.cursor()) as cursor:
        cursor.execute(statement)
        yield from cursor


def _experiment_id(connection: Any, experiment: str) -> int:
    statement = "SELECT name, experiment_id FROM experiments WHERE lifecycle_stage = 'active'"
    ids = dict(_select(connection, statement))
    if experiment not in ids:
        raise AnalysisError(_no_experiment(experiment, ids))
    return int(ids[experiment])


def _from_database(uri: str, experiment: str) -> tuple[pd.DataFrame, dict[str, _Columns]]:
    with _database(uri) as connection:
        ours = _OURS.format(experiment=_experiment_id(connection, experiment))
        rows = _select(
            connection,
            "SELECT r.run_uuid, r.name, r.status, r.start_time, r.experiment_id FROM runs r "
            f"WHERE {ours}",
        )
        runs = pd.DataFrame(rows, columns=_RUNS)
        wide = {
            kind: _columns(_rows(connection, ours, kind, _READ[kind]), runs["run_id"])
            for kind in _TABLES
        }
    return runs, wide


def _rows(
    connection: Any, ours: str, kind: str, beginnings: Sequence[str] | None
) -> Iterator[tuple[str, str, Any]]:
    """Yield (run, key, value) of one of MLflow's tables, of the keys that begin so."""
    which = " OR ".join(f"t.key LIKE '{each}%'" for each in beginnings or ())
    rows = _select(
        connection,
        f"SELECT t.run_uuid, {_TABLES[kind][1]} FROM {_TABLES[kind][0]} t "
        f"JOIN runs r ON r.run_uuid = t.run_uuid WHERE {ours}{which and f' AND ({which})'}",
    )
    if kind != "metrics":
        return rows
    # The database has 0 for NaN, with a flag; MLflow itself gives NaN.
    return ((run_id, key, math.nan if is_nan else value) for run_id, key, value, is_nan in rows)


def _columns(rows: Iterable[tuple[str, str, Any]], run_ids: Iterable[str]) -> _Columns:
    """Return a list for each key, sorted, with a value for each run; None where it has none.

    Values are put in their place as they come: to make a table of the rows first, and pivot it,
    takes three times as long.
    """
    places = {run_id: place for place, run_id in enumerate(run_ids)}
    columns: _Columns = {}
    for run_id, key, value in rows:
        if run_id not in places:
            continue  # it has begun since the runs were read
        if key not in columns:
            columns[key] = [None] * len(places)
        columns[key][places[run_id]] = value
    return dict(sorted(columns.items()))


def _sweeps_from_database(uri: str, experiment: str) -> tuple[_Columns, list[str]]:
    with _database(uri) as connection:
        ours = _OURS.format(experiment=_experiment_id(connection, experiment))
        rows = list(_rows(connection, ours, "metrics", _SWEEPS))
    run_ids = sorted({run_id for run_id, *_ in rows})
    return _columns(rows, run_ids), run_ids


def _sweeps_from_api(uri: str, experiment: str) -> tuple[_Columns, list[str]]:
    runs, wide = _from_api(uri, experiment, "metrics.`sweep/trials` > 0")
    figures = {key: each for key, each in wide["metrics"].items() if key.startswith(_SWEEPS)}
    return figures, runs["run_id"].tolist()


def _figures(columns: _Columns, run_ids: Sequence[str]) -> pd.DataFrame:
    """Return metrics as they were logged: MLflow's stores keep infinity as the largest number."""
    index = pd.Index(run_ids, name="run_id")
    frame = pd.DataFrame(columns, index=index, dtype=float)
    return frame.replace({sys.float_info.max: np.inf, -sys.float_info.max: -np.inf})


def _from_api(
    uri: str, experiment: str, only: str = ""
) -> tuple[pd.DataFrame, dict[str, _Columns]]:
    from mlflow import MlflowClient

    from greensweep.tracking.mlflow import quiet_mlflow

    quiet_mlflow()
    client = MlflowClient(uri)
    found = client.get_experiment_by_name(experiment)
    if found is None or found.lifecycle_stage != "active":
        raise AnalysisError(
            _no_experiment(experiment, [each.name for each in client.search_experiments()])
        )
    runs: list[tuple[str, str, str, int, str]] = []
    long: dict[str, list[tuple[str, str, Any]]] = {kind: [] for kind in _TABLES}
    for run in _pages(client, found.experiment_id, only):
        run_id = run.info.run_id
        info = run.info
        runs.append((run_id, info.run_name, info.status, info.start_time, info.experiment_id))
        for kind, rows in long.items():
            rows += [(run_id, key, value) for key, value in getattr(run.data, kind).items()]
    run_ids = [run_id for run_id, *_ in runs]
    wide = {kind: _columns(rows, run_ids) for kind, rows in long.items()}
    return pd.DataFrame(runs, columns=_RUNS), wide


def _pages(client: Any, experiment_id: str, only: str) -> Iterator[Any]:
    token = None
    while True:
        page = client.search_runs([experiment_id], only, max_results=_PAGE, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _table(runs: pd.DataFrame, wide: dict[str, _Columns]) -> pd.DataFrame:
    runs = runs.set_index("run_id")
    metrics = _figures(wide["metrics"], runs.index.tolist())
    tags = pd.DataFrame(wide["tags"], index=runs.index)
    parent = tags.get(_PARENT, pd.Series(index=runs.index, dtype=object))
    sweeps = _sweeps(parent, metrics, tags)
    is_repeat = parent.isin(runs.index) & ~parent.isin(sweeps)
    params = {name: _as_numbers(values) for name, values in wide["params"].items()}
    frame = pd.DataFrame(params, index=runs.index)
    for name in [each for each in metrics if str(each).startswith(KEPT_METRICS)]:
        frame[name] = metrics[name]
    counts = metrics.filter(regex=f"^{_LAYERS}")
    was_counted = counts.notna().any(axis=1)
    for name in counts:
        frame[name] = counts[name].mask(counts[name].isna() & was_counted, 0.0)
    for name in [each for each in tags if str(each).startswith(KEPT_TAGS)]:
        frame[name] = tags[name]
    for names, part in ((_METRICS, metrics), (_TAGS, tags)):
        for name, ours in names.items():
            frame[ours] = part.get(name)
    frame["status"] = frame["status"].fillna(runs["status"].map(_STATUS))
    for name in ("energy_contended", "selected_on_test"):
        frame[name] = frame[name].eq("true")
    frame["energy_comparable"] = frame["energy_comparable"].ne("false")
    if _TEST in metrics:
        frame["accuracy"] = frame["accuracy"].mask(frame["selected_on_test"], metrics[_TEST])
    hardware = [name for name in MACHINE_TAGS if name in tags]
    frame["machine"] = _machines(tags[hardware]) if hardware else None
    frame["search"] = parent
    frame["strategy"] = parent.map(tags[_STRATEGY]) if _STRATEGY in tags else None
    frame["trial"] = runs["name"].map(_trial_number)
    frame["started"] = runs["start_time"]
    frame["run_id"] = runs.index
    frame["experiment_id"] = runs["experiment_id"].astype(str)
    ended = runs["status"].isin(list(_STATUS)).to_numpy()
    kept = frame[~runs.index.isin(sweeps) & ~is_repeat.to_numpy() & ended]
    return kept.sort_values("started", ignore_index=True)


def _sweeps(parent: "pd.Series[Any]", metrics: pd.DataFrame, tags: pd.DataFrame) -> "pd.Index[Any]":
    """Return the ids of sweeps: parents that name a strategy, or that spent nothing themselves.

    A run of several repeats is a parent too, with an energy of its own.
    """
    spent = metrics.reindex(columns=list(_JOULES)).notna().any(axis=1)
    named = tags.reindex(columns=[_STRATEGY])[_STRATEGY].notna()
    return parent.index[parent.index.isin(parent.dropna()) & parent.isna() & (named | ~spent)]


def _machines(hardware: pd.DataFrame) -> "pd.Series[Any]":
    """Return the parts of each machine as one text; there are few machines and many runs."""
    parts = hardware.fillna("").astype(str)
    texts = parts.iloc[:, 0].str.cat(parts.iloc[:, 1:], sep=" ")
    return texts.map({text: " ".join(text.split()) for text in texts.unique()})


def _as_numbers(values: Sequence[str | None]) -> Any:
    """Return params as numbers where all of them are: MLflow keeps texts only."""
    codes, kinds = pd.factorize(np.array(values, dtype=object))  # most options have few values
    texts = pd.Series(kinds.tolist())
    numbers = pd.to_numeric(texts, errors="coerce")
    return (texts if numbers.isna().any() else numbers).reindex(codes).array


def _trial_number(name: Any) -> float:
    found = re.fullmatch(r"trial (\d+)", str(name))
    return float(found.group(1)) if found else float("nan")


def _no_experiment(name: str, names: Any) -> str:
    return "mlflow_experiment: " + unknown("experiment", name, map(str, names))
