"""Trials as tasks of a Ray cluster: of one that is there, or of one that is started here."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import cloudpickle

from greensweep.config.sweeper import RayConfig
from greensweep.errors import ProcessLost, StudyError, first_line, not_installed
from greensweep.executors.worker import Worker
from greensweep.resources import usable_cores
from greensweep.search.trial_queue import ReservedTrial


@contextmanager
def ray_tasks(worker: Worker, options: RayConfig, gpus: int | None) -> Iterator["RayTasks"]:
    """Connect to a cluster, and disconnect in the end, which ends what still runs.

    Args:
        gpus: of each trial.

    Raises:
        StudyError: Ray is not installed, or there is no such cluster.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ModuleNotFoundError as error:
        raise StudyError(not_installed("ray") or str(error)) from error
    try:
        ray.init(
            address=options.address or "local",
            num_cpus=None if options.address else usable_cores(),
            include_dashboard=None if options.address else False,
            logging_level=logging.WARNING,
            runtime_env=options.runtime_env or None,
        )
    except (ConnectionError, ValueError) as error:
        raise StudyError(
            f"no Ray cluster at hydra.sweeper.ray.address={options.address} ({first_line(error)}): "
            "start it with ray start --head, or leave the address out to start one here"
        ) from error
    try:
        yield RayTasks(worker, options, gpus)
    finally:
        ray.shutdown()


class RayTasks:
    """Trials that run as tasks, each with the CPUs and GPUs that it was promised."""

    def __init__(self, worker: Worker, options: RayConfig, gpus: int | None) -> None:
        import ray

        self._ray, self._running = ray, dict[Any, ReservedTrial]()
        self._worker = ray.put(cloudpickle.dumps(worker))
        # A lost task is repeated by the search, which knows what it left, and not by Ray.
        self._task = ray.remote(
            num_cpus=options.num_cpus,
            num_gpus=gpus or 0,
            resources=dict(options.resources),
            max_retries=0,
        )(_run)

    def start(self, trial: ReservedTrial) -> None:
        """Submit a trial; it runs where and when the cluster has room."""
        self._running[self._task.remote(self._worker, trial)] = trial

    def ended(self, seconds: float) -> list[tuple[ReservedTrial, BaseException | None]]:
        """Wait until tasks end, for so long at most."""
        done, _ = self._ray.wait([*self._running], timeout=seconds)
        return [(self._running.pop(task), self._fault(task)) for task in done]

    def interrupt(self) -> None:
        """Send each task a SIGINT, which it takes as a request to end after its epoch."""
        for task in self._running:
            self._ray.cancel(task, force=False)

    def _fault(self, task: Any) -> BaseException | None:
        try:
            fault: BaseException | None = self._ray.get(task)
        except self._ray.exceptions.RayTaskError as error:
            return error.cause if isinstance(error.cause, Exception) else error
        except self._ray.exceptions.RayError as error:
            return ProcessLost(f"its Ray task was lost ({first_line(error)})")
        return fault


def _run(payload: bytes, trial: ReservedTrial) -> BaseException | None:
    return _worker(payload).run_one(trial)


@lru_cache(1)
def _worker(payload: bytes) -> Worker:
    worker: Worker = cloudpickle.loads(payload)
    return worker
