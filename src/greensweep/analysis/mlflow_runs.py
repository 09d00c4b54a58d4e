"""Read the runs of an MLflow experiment as one table."""

import re
import sqlite3
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import numpy as np
import pandas as pd

from greensweep.errors import AnalysisError, first_line, unknown
from greensweep.tracking.secrets import mask_text

# Metrics and tags of MLflow under the names that a table of runs has for them.
_METRICS = {
    "validation/accuracy": "accuracy",
    "energy/total_joules": "energy_joules",
    "energy/spent_joules": "energy_spent_joules",
}
_TAGS = {
    "status": "status",
    "energy.quality": "energy_quality",
    "energy.contended": "energy_contended",
    "dataset": "dataset",
    "model": "model",
}
_JOULES = ("energy/total_joules", "energy/spent_joules")
_LAYERS = "layers/"
_PARENT, _STRATEGY = "mlflow.parentRunId", "strategy"
MACHINE_TAGS = ("hardware.cpu", "hardware.gpu", "hardware.cores")
_STATUS = {"FINISHED": "finished", "FAILED": "failed", "KILLED": "stopped"}
_PAGE = 1000
_DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
KEPT_TAGS = ("energy.quality.", "version.")  # that keep their names, as metrics do
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
    "metrics": ("latest_metrics", "key", "value", "is_nan"),
    "params": ("params", "key", "value"),
    "tags": ("tags", "key", "value"),
}
# What the keys that are read of a table begin with: MLflow and others keep more there. None: all.
_READ = {
    "metrics": (*KEPT_METRICS, *_METRICS),
    "params": None,
    "tags": (*KEPT_TAGS, *_TAGS, *MACHINE_TAGS, _PARENT, _STRATEGY),
}
_SWEEPS = ("sweep/", "search/")


def read_mlflow(uri: str, experiment: str) -> pd.DataFrame:
    """Return one row per run that ended: figures, tags, params and layer counts as columns.

    A database is read by itself, and not written to; a server is asked through MLflow. Runs of
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
        return read(uri, experiment).pivot(index="run_id", columns="key", values="value")


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
            f"MLflow at {mask_text(uri)} cannot be read ({type(error).__name__}: "
            f"{mask_text(first_line(error))}): see mlflow_uri, or MLFLOW_TRACKING_URI"
        ) from error


@contextmanager
def _database(uri: str) -> Iterator[Any]:
    """Open MLflow's database to read, as a connection of Python's database API.

    Rows that come straight from the driver take half the time of those out of SQLAlchemy.
    """
    if uri.startswith("sqlite"):
        path = Path(unquote(uri.partition(":///")[2].partition("?")[0]))
        if not path.is_file():
            raise AnalysisError(f"no MLflow store at {path}: train something first")
        address = f"file:{quote(str(path.absolute()))}?mode=ro"
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


def _select(connection: Any, statement: str) -> list[tuple[Any, ...]]:
    with closing(connection.cursor()) as cursor:
        cursor.execute(statement)
        return list(cursor.fetchall())


def _experiment_id(connection: Any, experiment: str) -> int:
    statement = "SELECT name, experiment_id FROM experiments WHERE lifecycle_stage = 'active'"
    ids = dict(_select(connection, statement))
    if experiment not in ids:
        raise AnalysisError(_no_experiment(experiment, ids))
    return int(ids[experiment])


def _from_database(uri: str, experiment: str) -> tuple[pd.DataFrame, dict[str, pd.DataFrame]]:
    with _database(uri) as connection:
        ours = _OURS.format(experiment=_experiment_id(connection, experiment))
        runs = _select(
            connection,
            "SELECT r.run_uuid, r.name, r.status, r.start_time, r.experiment_id FROM runs r "
            f"WHERE {ours}",
        )
        long = {kind: _long(connection, ours, kind, _READ[kind]) for kind in _TABLES}
    long["metrics"] = _as_logged(long["metrics"])
    return pd.DataFrame(runs, columns=_RUNS), long


def _long(connection: Any, ours: str, kind: str, beginnings: Sequence[str] | None) -> pd.DataFrame:
    """Return the rows of one of MLflow's tables whose keys begin so."""
    table, *names = _TABLES[kind]
    which = " OR ".join(f"t.key LIKE '{each}%'" for each in beginnings or ())
    rows = _select(
        connection,
        f"SELECT t.run_uuid, t.{', t.'.join(names)} FROM {table} t "
        f"JOIN runs r ON r.run_uuid = t.run_uuid WHERE {ours}{which and f' AND ({which})'}",
    )
    # To infer types before the table is wide takes longer than to read it.
    return pd.DataFrame(rows, columns=["run_id", *names], dtype=object)


def _sweeps_from_database(uri: str, experiment: str) -> pd.DataFrame:
    with _database(uri) as connection:
        ours = _OURS.format(experiment=_experiment_id(connection, experiment))
        return _as_logged(_long(connection, ours, "metrics", _SWEEPS))


def _sweeps_from_api(uri: str, experiment: str) -> pd.DataFrame:
    _, long = _from_api(uri, experiment, "metrics.`sweep/trials` > 0")
    metrics = long["metrics"]
    return metrics[metrics["key"].str.startswith(_SWEEPS)]


def _as_logged(metrics: pd.DataFrame) -> pd.DataFrame:
    """Undo how MLflow's stores keep what is not finite: infinity as the largest number.

    The database has 0 for NaN, with a flag `is_nan`; the API gives NaN.
    """
    values = metrics["value"].astype(float)
    if "is_nan" in metrics:
        values = values.mask(metrics["is_nan"].astype(bool))
    ends = {sys.float_info.max: np.inf, -sys.float_info.max: -np.inf}
    return metrics[["run_id", "key"]].assign(value=values.replace(ends))


def _from_api(
    uri: str, experiment: str, only: str = ""
) -> tuple[pd.DataFrame, dict[str, pd.DataFrame]]:
    from mlflow import MlflowClient

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
    names = ["run_id", "key", "value"]
    tables = {kind: pd.DataFrame(rows, columns=names, dtype=object) for kind, rows in long.items()}
    tables["metrics"] = _as_logged(tables["metrics"])
    return pd.DataFrame(runs, columns=_RUNS), tables


def _pages(client: Any, experiment_id: str, only: str) -> Iterator[Any]:
    token = None
    while True:
        page = client.search_runs([experiment_id], only, max_results=_PAGE, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _wide(long: pd.DataFrame, run_ids: "pd.Index[Any]") -> pd.DataFrame:
    """Return a row for each run and a column for each key, sorted; what is missing is NaN.

    The same as `DataFrame.pivot`, in a third of the time.
    """
    rows = run_ids.get_indexer(pd.Index(long["run_id"]))
    long, rows = long[rows >= 0], rows[rows >= 0]  # a run may have begun since they were read
    columns, keys = pd.factorize(long["key"], sort=True)
    values = long["value"].to_numpy()
    cells = np.full((len(run_ids), len(keys)), np.nan, dtype=values.dtype)
    cells[rows, columns] = values
    return pd.DataFrame(cells, index=run_ids, columns=keys)


def _table(runs: pd.DataFrame, long: dict[str, pd.DataFrame]) -> pd.DataFrame:
    run_ids = pd.Index(runs["run_id"])
    wide = {kind: _wide(part, run_ids) for kind, part in long.items()}
    metrics, params, tags = wide["metrics"], wide["params"], wide["tags"]
    runs = runs.set_index("run_id")
    parent = tags.get(_PARENT, pd.Series(index=runs.index, dtype=object))
    sweeps = _sweeps(parent, metrics, tags)
    is_repeat = parent.isin(runs.index) & ~parent.isin(sweeps)
    frame = pd.DataFrame({name: _as_numbers(params[name]) for name in params}, index=runs.index)
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
    frame["energy_contended"] = frame["energy_contended"].eq("true")
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


def _as_numbers(values: "pd.Series[Any]") -> "pd.Series[Any]":
    """Return params as numbers where all of them are: MLflow keeps texts only."""
    codes, kinds = pd.factorize(values)  # most options have few values
    numbers = pd.to_numeric(pd.Series(kinds), errors="coerce")
    found = pd.Series(kinds) if numbers.isna().any() else numbers
    return found.reindex(codes).set_axis(values.index)


def _trial_number(name: Any) -> float:
    found = re.fullmatch(r"trial (\d+)", str(name))
    return float(found.group(1)) if found else float("nan")


def _no_experiment(name: str, names: Any) -> str:
    return "mlflow_experiment: " + unknown("experiment", name, map(str, names))
