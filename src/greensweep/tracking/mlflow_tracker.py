"""A run's tracker in MLflow: few transactions, no waiting for a lost server."""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache, lru_cache
from pathlib import Path

from greensweep.config.schema_tracking import MlflowConfig, TrackingConfig
from greensweep.errors import first_sentence
from greensweep.tracking.mlflow_places import artifact_root, tracking_uri
from greensweep.tracking.mlflow_store import MlflowStore, now, tell_away, unreachable
from greensweep.tracking.tracker import MemoryTracker, Metrics, RunStatus, SweepRun, Tracker

_FLUSH_SECONDS = 10.0
_PROBED_SECONDS = 60.0


def mlflow_tracker(config: TrackingConfig, directory: Path, sweep: SweepRun | None) -> Tracker:
    """Return the tracker of `tracking=mlflow`; of a store that cannot be reached one in memory."""
    store = open_store(config)
    return MemoryTracker() if store is None else MlflowTracker(store, sweep)


def open_store(config: TrackingConfig) -> MlflowStore | None:
    """Open the configured MLflow store, once per process.

    Returns None where runs are not tracked in MLflow, and for a store that cannot be reached,
    which costs one warning; it is asked again after a minute.
    """
    if not isinstance(config, MlflowConfig):
        return None
    where = tracking_uri(config.uri), config.experiment, artifact_root(config.artifacts)
    return _reachable_store(*where, int(time.monotonic() // _PROBED_SECONDS))


@lru_cache(maxsize=8)  # a store that is away is not asked by each trial of a process
def _reachable_store(uri: str, experiment: str, artifacts: str, _: int) -> MlflowStore | None:
    fault = unreachable(uri)
    if fault is None:
        try:
            return _opened(uri, experiment, artifacts)
        except Exception as error:
            fault = first_sentence(error)
    tell_away(uri, fault)
    return None


@cache  # as long as the process lives
def _opened(uri: str, experiment: str, artifacts: str) -> MlflowStore:
    return MlflowStore(uri, experiment, artifacts)


class MlflowTracker:
    """Records one run in an MLflow store.

    After a call that the store refuses the run goes on without tracking. What it did not take is
    sent once more at the end, if the store is back by then; else `python -m greensweep upload`
    sends it later.

    Args:
        store: where to.
        sweep: that the run belongs to, if it does.
        parent: the run that it stands below otherwise.
    """

    def __init__(
        self, store: MlflowStore, sweep: SweepRun | None = None, parent: str | None = None
    ) -> None:
        self.run_id: str | None = None
        self._store = store
        self._sweep = sweep
        self._parent = parent
        self._params: Mapping[str, str] = {}  # with the points: what the store does not have yet
        self._points: list[tuple[int, int, Metrics]] = []
        self._time = 0  # of the last point, milliseconds since 1970
        self._step = 0
        self._shown: Metrics = {}
        self._flushed = time.monotonic()
        self._lost = False

    @property
    def incomplete(self) -> bool:
        return self._lost and self.run_id is not None

    def child(self) -> Tracker:
        # Below a run that the store refused, nothing would be found.
        return MemoryTracker() if self._lost else MlflowTracker(self._store, parent=self.run_id)

    def start(self, name: str, params: Mapping[str, str], tags: Mapping[str, str]) -> None:
        def create() -> None:
            if self.run_id is not None and self._store.has(self.run_id):
                self._store.client.update_run(self.run_id, status="RUNNING")
                self._params = {}
                return
            parent = self._parent
            if self._sweep is not None:
                sweep = self._sweep
                own = {**tags, "strategy": sweep.strategy}
                parent = self._store.shared_parent(sweep.directory, sweep.name, own)
            self.run_id = self._store.create_run(name, tags, parent)

        self._params = params
        self._attempt(create)
        self._flush({})

    def log_step(self, metrics: Metrics, step: int) -> None:
        self._step, self._shown = step, metrics
        self._add(step, metrics)
        if time.monotonic() - self._flushed > _FLUSH_SECONDS:
            self._flush({})

    def finish(
        self, status: RunStatus, metrics: Metrics, tags: Mapping[str, str], files: Sequence[Path]
    ) -> None:
        # A figure that the last step has already shown needs no second point in its history.
        changed = {name: value for name, value in metrics.items() if self._shown.get(name) != value}
        self._lost = self._lost and unreachable(self._store.uri) is not None
        self._add(self._step, changed)
        self._flush(tags)
        if (run_id := self.run_id) is not None:
            self.attach(files)
            self._attempt(lambda: self._store.close(run_id, status))

    def attach(self, files: Sequence[Path]) -> None:
        if (run_id := self.run_id) is not None:
            self._attempt(lambda: self._store.log_files(run_id, files))

    def _add(self, step: int, metrics: Metrics) -> None:
        # Of two points of one step MLflow shows the later, also where the clock was set back.
        self._time = max(now(), self._time + 1)
        self._points.append((self._time, step, metrics))

    def _flush(self, tags: Mapping[str, str]) -> None:
        self._flushed = time.monotonic()
        if (run_id := self.run_id) is None:
            return

        def send() -> None:
            self._store.log_params(run_id, self._params)
            self._store.log(run_id, self._points, tags)
            self._params, self._points = {}, []

        self._attempt(send)

    def _attempt(self, call: Callable[[], None]) -> None:
        if not self._lost:
            self._lost = not self._store.attempt(call)
