"""An MLflow store: few transactions, no global state, no waiting for a lost server."""

import logging
import os
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from filelock import FileLock

from greensweep.config.folders import sqlite_file, sqlite_url
from greensweep.energy.notices import warn_once
from greensweep.errors import first_line
from greensweep.files import write_text, write_whole
from greensweep.secrets.data import mask_text, masked
from greensweep.secrets.output import private
from greensweep.tracking.mlflow_places import PARENT_FILE, known_parent
from greensweep.tracking.tracker import Metrics, RunStatus
from greensweep.tracking.view import EXPERIMENT_TAGS, ui_address

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

log = logging.getLogger(__name__)

_PARENT_TAG = "mlflow.parentRunId"
_PROBE_SECONDS = 5.0
_BATCH = 1000  # MLflow's limit of metrics in one call
_PARAM_BATCH = 100  # and of params
_MOST_RUNS = 50_000  # and of runs
_LOCK_SECONDS = 120.0
_BUSY_SECONDS = 30.0

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
# Two lines for each run that ends on a server; where the runs are, the summary says once.
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
# The defaults, 7 retries of 120 s each, would hold a run for minutes when a server goes away.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")


class MlflowStore:
    """An MLflow store and one experiment in it, made when missing.

    Args:
        uri: tracking URI, as `tracking_uri` gives it.
        experiment: name of the experiment.
        artifacts: artifact root of a new experiment in a local store.
    """

    def __init__(self, uri: str, experiment: str, artifacts: str) -> None:
        self.uri = uri
        self.client, self.experiment_id = _open(uri, experiment, artifacts)

    def create_run(self, name: str, tags: Mapping[str, str], parent: str | None) -> str:
        """Open a run, below `parent` if there is one, and return its id."""
        all_tags = {**masked(tags), "mlflow.source.name": "greensweep"}
        if parent is not None:
            all_tags[_PARENT_TAG] = parent
        run = self.client.create_run(self.experiment_id, run_name=name, tags=all_tags)
        return str(run.info.run_id)

    def log_params(self, run_id: str, params: Mapping[str, str]) -> None:
        """Write parameters in few transactions; those that are there already stay."""
        from mlflow.entities import Param

        logged = [Param(key, value) for key, value in masked(params).items()]
        for start in range(0, len(logged), _PARAM_BATCH):
            self.client.log_batch(run_id, params=logged[start : start + _PARAM_BATCH])

    def params(self, run_id: str) -> Mapping[str, str]:
        """Return the parameters of a run; none where it is not here."""
        run = self._run(run_id)
        return {} if run is None else run.data.params

    def has(self, run_id: str) -> bool:
        return self._run(run_id) is not None

    def _run(self, run_id: str) -> "Run | None":
        from mlflow.exceptions import MlflowException

        try:
            return self.client.get_run(run_id)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return None
            raise

    def log(
        self,
        run_id: str,
        points: Sequence[tuple[int, int, Metrics]],
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Write (milliseconds since 1970, step, metrics) points and tags in few transactions."""
        from mlflow.entities import Metric, RunTag

        metrics = [
            Metric(name, value, milliseconds, step)
            for milliseconds, step, values in points
            for name, value in values.items()
        ]
        run_tags = [RunTag(key, value) for key, value in masked(tags or {}).items()]
        for start in range(0, max(len(metrics), 1), _BATCH):
            self.client.log_batch(run_id, metrics[start : start + _BATCH], tags=run_tags)
            run_tags = []

    def amend(self, run_id: str, metrics: Metrics, tags: Mapping[str, str]) -> None:
        """Write to a run that has ended, unless it was deleted or is another store's."""
        from mlflow.exceptions import MlflowException

        try:
            self.log(run_id, [(now(), 0, metrics)], tags)
        except MlflowException:
            run = self._run(run_id)
            if run is not None and run.info.lifecycle_stage == "active":
                raise

    def log_now(self, run_id: str, metrics: Metrics, step: int = 0) -> None:
        self.log(run_id, [(now(), step, metrics)])

    def log_files(self, run_id: str, files: Sequence[Path], folder: str | None = None) -> None:
        """Log `files` as artifacts, into `folder` if named."""
        for path in files:
            self.client.log_artifact(run_id, str(path), folder)

    def close(self, run_id: str, status: RunStatus) -> None:
        self.client.set_terminated(run_id, status)

    def logged_steps(self, run_id: str, metric: str) -> set[int]:
        """Return the steps at which a run has a metric."""
        return {point.step for point in self.client.get_metric_history(run_id, metric)}

    def running_below(self, parent: str) -> dict[str, str]:
        """Return the runs below a sweep's, and their repeats, that have not ended: id to name."""
        running = self.client.search_runs(
            [self.experiment_id], "attributes.status = 'RUNNING'", max_results=_MOST_RUNS
        )
        above = {run.info.run_id: run.data.tags.get(_PARENT_TAG) for run in running}

        @cache
        def parent_of(run_id: str | None) -> str | None:
            if run_id is None or run_id in above:
                return above.get(run_id)
            run = self._run(run_id)
            return None if run is None else run.data.tags.get(_PARENT_TAG)

        return {
            run.info.run_id: str(run.info.run_name)
            for run in running
            if parent in (above[run.info.run_id], parent_of(above[run.info.run_id]))
        }

    def finished_below(self, parent: str) -> dict[str, str]:
        """Return the runs right below a sweep's that have ended well: id to name."""
        runs = self.client.search_runs(
            [self.experiment_id],
            f"attributes.status = 'FINISHED' and tags.`{_PARENT_TAG}` = '{parent}'",
            max_results=_MOST_RUNS,
        )
        return {run.info.run_id: str(run.info.run_name) for run in runs}

    def attempt(self, call: Callable[[], None]) -> bool:
        """Make a call that nothing may depend on; warn and return False when the store refuses."""
        try:
            call()
        except Exception as error:
            if (fault := unreachable(self.uri)) is not None:
                tell_away(self.uri, fault)
                return False
            log.warning(
                "MLflow at %s refused a call (%s: %s): the results are kept in files; send them "
                "later with `python -m greensweep upload RUN_DIR`.",
                mask_text(self.uri),
                type(error).__name__,
                mask_text(first_line(error)),
            )
            return False
        return True

    def shared_parent(self, directory: Path, name: str, tags: Mapping[str, str]) -> str:
        """Return the parent run of the sweep in `directory`; its first job in this store opens it.

        A folder that was copied from elsewhere names a run of another store.
        """
        kept = directory / PARENT_FILE
        with FileLock(f"{kept}.lock", timeout=_LOCK_SECONDS):
            run_id = known_parent(directory)
            if run_id is None or not self.has(run_id):
                run_id = self.create_run(name, tags, parent=None)
                write_text(kept, f"{run_id} {self.experiment_id} {ui_address(self.uri)}\n")
            return run_id


def unreachable(uri: str) -> str | None:
    """Probe a tracking server, for 5 s at most; return what is wrong, or None.

    Only servers are probed: a local store is made when it is missing.
    """
    if urlsplit(uri).scheme not in ("http", "https"):
        return None
    import requests

    try:
        requests.get(f"{uri.rstrip('/')}/health", timeout=_PROBE_SECONDS).raise_for_status()
    except requests.RequestException as error:
        return type(error).__name__
    return None


def tell_away(uri: str, fault: str) -> None:
    """Warn, once in a sweep, of a store that cannot be reached."""
    warn_once(
        f"MLflow at {mask_text(uri)} cannot be reached ({mask_text(fault)}): results are kept in "
        "files; send them later with `python -m greensweep upload RUN_DIR`."
    )


def _open(uri: str, experiment: str, artifacts: str) -> "tuple[MlflowClient, str]":
    """Open a store, under a file lock where it is a local file.

    Processes that open a new SQLite store at once race in its schema migration.
    """
    database = sqlite_file(uri)
    if database is None:
        is_remote = urlsplit(uri).scheme in ("http", "https", "databricks")
        return _connect(uri, experiment, None if is_remote else artifacts)
    database.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{database}.lock", timeout=_LOCK_SECONDS):
        if not database.exists():
            # Its tables take seconds to make, and a store that was killed in them cannot be
            # mended: they are made elsewhere, and the file appears whole.
            def make(part: Path) -> None:
                private(part)
                _connect(sqlite_url(part), experiment, artifacts)

            write_whole(database, make)
        # MLflow tries a file that it cannot open again and again, for minutes.
        with closing(sqlite3.connect(database, timeout=_BUSY_SECONDS)) as file:
            file.execute("BEGIN IMMEDIATE")
        return _connect(uri, experiment, artifacts)


def quiet_mlflow() -> None:
    """Let MLflow, once imported, log no tracebacks: its errors are raised, and become a sentence.

    The import sets the levels itself.
    """
    for name in ("mlflow", "alembic", "sqlalchemy", "urllib3"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def _connect(uri: str, experiment: str, artifacts: str | None) -> "tuple[MlflowClient, str]":
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    quiet_mlflow()
    client = MlflowClient(tracking_uri=uri)
    known = client.get_experiment_by_name(experiment)
    if known is not None:
        return client, known.experiment_id
    try:
        return client, client.create_experiment(experiment, artifacts, tags=EXPERIMENT_TAGS)
    except MlflowException:
        # On a server, which no file lock guards, another process may just have made it.
        known = client.get_experiment_by_name(experiment)
        if known is None:
            raise
        return client, known.experiment_id


def now() -> int:
    """Return milliseconds since 1970, as MLflow has them."""
    return int(time.time() * 1000)
