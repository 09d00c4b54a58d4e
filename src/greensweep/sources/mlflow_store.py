"""Read an MLflow store: a database by itself, read-only, and a server through MLflow."""

import math
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import Any
from urllib.parse import quote

import pandas as pd

from greensweep.config.folders import sqlite_file
from greensweep.errors import AnalysisError, first_sentence, unknown
from greensweep.secrets.data import mask_text

_PAGE = 1000
_DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
_RUNS = ["run_id", "name", "status", "start_time", "end_time", "experiment_id"]
_TABLES = {
    "metrics": ("latest_metrics", "t.key, t.value, t.is_nan"),
    "params": ("params", "t.key, t.value"),
    "tags": ("tags", "t.key, t.value"),
}

Columns = dict[str, list[Any]]  # values of all runs, by key
Keys = Mapping[str, Sequence[str] | None]  # by kind: what the keys begin with; None: all


def read_store(
    uri: str, experiment: str, keys: Keys, only: str = ""
) -> tuple[pd.DataFrame, dict[str, Columns]]:
    """Return the runs of an experiment, and a column for each key of their metrics, params, tags.

    Args:
        keys: those that are read of a database; others may come too.
        only: which runs a server is asked for, in MLflow's words; others may come too.

    Returns:
        Rows (run_id, name, status, start_time, end_time, experiment_id), times in ms, and columns
        in their order.

    Raises:
        AnalysisError: the store cannot be read, or has no such experiment.
    """
    try:
        if uri.partition("://")[0].partition("+")[0] in _DATABASES:
            return read_database(uri, experiment, keys)
        return read_server(uri, experiment, only)
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


def read_database(uri: str, experiment: str, keys: Keys) -> tuple[pd.DataFrame, dict[str, Columns]]:
    """Read a database, without MLflow."""
    with _database(uri) as connection:
        statement = "SELECT name, experiment_id FROM experiments WHERE lifecycle_stage = 'active'"
        ids = dict(_select(connection, statement))
        if experiment not in ids:
            raise _no_experiment(experiment, ids)
        ours = f"r.experiment_id = {ids[experiment]:d} AND r.lifecycle_stage = 'active'"
        rows = _select(
            connection,
            "SELECT r.run_uuid, r.name, r.status, r.start_time, r.end_time, r.experiment_id "
            f"FROM runs r WHERE {ours}",
        )
        runs = pd.DataFrame(rows, columns=_RUNS)
        wide = {
            kind: columns_of(_rows(connection, ours, kind, beginnings), runs["run_id"])
            for kind, beginnings in keys.items()
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


def columns_of(rows: Iterable[tuple[str, str, Any]], run_ids: Iterable[str]) -> Columns:
    """Return a list for each key, sorted, with a value for each run; None where it has none.

    Values are put in their place as they come: to make a table of the rows first, and pivot it,
    takes three times as long.
    """
    places = {run_id: place for place, run_id in enumerate(run_ids)}
    columns: Columns = {}
    for run_id, key, value in rows:
        if run_id not in places:
            continue  # it has begun since the runs were read
        if key not in columns:
            columns[key] = [None] * len(places)
        columns[key][places[run_id]] = value
    return dict(sorted(columns.items()))


def read_server(
    uri: str, experiment: str, only: str = ""
) -> tuple[pd.DataFrame, dict[str, Columns]]:
    """Ask a server, through MLflow, for the runs of an experiment."""
    from mlflow import MlflowClient

    from greensweep.tracking.mlflow_store import quiet_mlflow

    quiet_mlflow()
    client = MlflowClient(uri)
    found = client.get_experiment_by_name(experiment)
    if found is None or found.lifecycle_stage != "active":
        names = [each.name for each in client.search_experiments()]
        raise _no_experiment(experiment, names)
    runs: list[tuple[Any, ...]] = []
    long: dict[str, list[tuple[str, str, Any]]] = {kind: [] for kind in _TABLES}
    for run in _pages(client, found.experiment_id, only):
        run_id, info = run.info.run_id, run.info
        times = info.start_time, info.end_time
        runs.append((run_id, info.run_name, info.status, *times, info.experiment_id))
        for kind, rows in long.items():
            rows += [(run_id, key, value) for key, value in getattr(run.data, kind).items()]
    run_ids = [run_id for run_id, *_ in runs]
    wide = {kind: columns_of(rows, run_ids) for kind, rows in long.items()}
    return pd.DataFrame(runs, columns=_RUNS), wide


def _pages(client: Any, experiment_id: str, only: str) -> Iterator[Any]:
    token = None
    while True:
        page = client.search_runs([experiment_id], only, max_results=_PAGE, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _no_experiment(name: str, names: Iterable[Any]) -> AnalysisError:
    return AnalysisError("mlflow_experiment: " + unknown("experiment", name, map(str, names)))
