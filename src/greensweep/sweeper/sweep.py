"""Run a search of a Hydra program: in this process, in workers, or through a launcher."""

import logging
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from hydra.errors import CompactHydraException
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from greensweep.config.schema_tracking import TrackingConfig
from greensweep.config.sweeper import SweeperConfig
from greensweep.energy.node import node_metered
from greensweep.errors import GreensweepError, StudyError
from greensweep.executors.local import run_workers
from greensweep.executors.probe import Needs, needs_of
from greensweep.executors.ray import ray_tasks
from greensweep.executors.slurm import SlurmJobs
from greensweep.messages import error_line, spell_output
from greensweep.record.result import read_results
from greensweep.search.callbacks import call_before_first_trial
from greensweep.search.folders import check_present, trial_directories
from greensweep.search.interrupt import graceful, interrupted
from greensweep.search.placement import gpus_of_worker, workers_of
from greensweep.search.planned_run import PlannedRun
from greensweep.search.progress import ProgressDisplay, progress_shown
from greensweep.search.storage import storage_faults
from greensweep.search.trial_queue import TrialQueue
from greensweep.sweeper.command import shared_config, sweep_of
from greensweep.sweeper.forecast import preview, refuse_long
from greensweep.sweeper.hydra_lines import quiet_hydra
from greensweep.sweeper.options import search_meter, sweeper_options, use_study_folder
from greensweep.sweeper.results import require_finished, write_results_of
from greensweep.sweeper.spec import build_spec
from greensweep.sweeper.start import find_start, make_folder
from greensweep.sweeper.trial_task import mask_program_output
from greensweep.sweeper.worker import Plan, Worker
from greensweep.tracking.choice import chosen_tracking
from greensweep.tracking.mlflow_store import MlflowStore
from greensweep.tracking.mlflow_tracker import open_store

INTERRUPTED = 130

log = logging.getLogger(__name__)


class Sweep:
    """A sweep of a Hydra program.

    Args:
        config: as Hydra composed it, with `hydra`.
        task: the program's function.
        plan: returns the run that a composed configuration plans; None of a program of one's own.
        finish: summarises the sweep of such a program, by its folder and its searched options.
    """

    def __init__(
        self,
        config: DictConfig,
        context: HydraContext,
        task: TaskFunction,
        plan: Plan,
        finish: Callable[[Path, Iterable[str], float], None],
    ) -> None:
        use_study_folder(config)
        self._config, self._context, self._task, self._plan = config, context, task, plan
        self._finish = finish

    def run(self, arguments: Sequence[str]) -> None:
        """Search, and leave `study.json` and `optimization_results.yaml` in the sweep's folder.

        Raises:
            CompactHydraException: the search cannot be run, or go on.
            SystemExit: it was interrupted, with status 130.
        """
        mask_program_output(self._config)
        spell_output()
        quiet_hydra(self._config.hydra.verbose)
        try:
            self._run(arguments)
        except GreensweepError as error:
            raise CompactHydraException(f"Error: {error}") from error
        except OSError as error:  # a folder that cannot be written, say
            raise CompactHydraException(error_line(error)) from error
        except KeyboardInterrupt as error:
            raise SystemExit(INTERRUPTED) from error
        if interrupted():
            raise SystemExit(INTERRUPTED)

    def _run(self, arguments: Sequence[str]) -> None:
        if os.environ.get("LOCAL_RANK", "0") != "0":
            raise StudyError(
                "this is a further process of a distributed training, which would search a second "
                "time (LOCAL_RANK is set): let each trial be a command with all its processes, "
                "greensweep exec -m … -- COMMAND"
            )
        run = self._plan(shared_config(self._config))
        options = sweeper_options(self._config, run)
        if options.executor == "ray":  # a cluster tells its own GPUs and places
            gpus, workers, parallel = None, 0, options.n_workers != 1
        else:
            gpus = gpus_of_worker(options, run)
            workers = workers_of(options, gpus)
            parallel = workers > 1
        spec, shared = build_spec(self._config, options, arguments, run=run, parallel=parallel)
        worker = Worker(
            self._config,
            self._context,
            self._task,
            self._plan,
            spec,
            tuple(shared),
            energy=search_meter(options, run),
            meters_trials=options.meter == "trials",
            gpus=gpus,
            is_own=run is None,
        )
        if options.preview:
            preview(worker, options.preview_overrides)
            return
        start = find_start(self._config, options, spec)
        refuse_long(worker, options, start.earlier)
        make_folder(spec, start)
        study, queue = worker.open_search()
        # What is broken of earlier trials is said before anything trains.
        read_results(trial_directories(spec.directory))
        call_before_first_trial()
        fault: StudyError | None = None
        with storage_faults(spec.storage):
            try:
                with progress_shown(spec, study) as display:
                    self._run_trials(worker, queue, workers, options, run, display)
            except StudyError as raised:  # no trial would go better
                fault = raised
            finally:
                check_present(spec.directory)
                ended = "interrupted" if interrupted() else queue.ended()
                write_results_of(spec, study, ended)
            if run is None:  # the scripts of our own runs do it, with what they know of them
                price = options.points_per_halving
                self._finish(spec.directory, spec.distributions, price)
            if fault is not None:
                raise fault
            require_finished(study.get_trials(deepcopy=False))

    def _run_trials(
        self,
        worker: Worker,
        queue: TrialQueue,
        workers: int,
        options: SweeperConfig,
        run: PlannedRun | None,
        display: ProgressDisplay,
    ) -> None:
        """Run all trials: here, through Hydra's launcher, in worker processes, or by an engine."""
        if options.executor != "local" and not worker.launches_here:
            raise StudyError(
                f"hydra.sweeper.executor={options.executor} places trials itself: leave "
                "hydra/launcher out"
            )
        if options.executor == "ray":
            self._run_on_ray(worker, queue, options, run, display)
        elif options.executor == "slurm":
            if options.storage is None:
                log.info(f"The study is in {worker.spec.storage}: nodes must not share SQLite.")
            needs = replace(_needs(worker, run), shares_folder=True)
            # Slurm shows each job its own GPUs.
            jobs = SlurmJobs(replace(worker, gpus=None), queue, options, needs)
            with graceful():
                jobs.run(workers)
        elif not worker.launches_here:
            with graceful():
                worker.work(workers, display.look)
        elif workers > 1 or options.gpus_per_worker is not None:
            with node_metered(worker.energy, worker.spec.directory):
                run_workers(worker, workers, queue.recover_dead, read_output=display.has_terminal)
        else:
            with graceful(), node_metered(worker.energy, worker.spec.directory):
                worker.work(1, display.look)

    def _run_on_ray(
        self,
        worker: Worker,
        queue: TrialQueue,
        options: SweeperConfig,
        run: PlannedRun | None,
        display: ProgressDisplay,
    ) -> None:
        needs = _needs(worker, run)
        any_gpus = 1 if run is None else run.any_gpus
        verbose = bool(self._config.hydra.verbose)
        with (
            graceful(),
            ray_tasks(worker, options, needs, any_gpus=any_gpus, verbose=verbose) as tasks,
        ):
            if (
                options.ray.address is not None
                and (store := open_store(_tracking(run))) is not None
            ):
                store.attempt(partial(self._open_parent, store))
            worker.work_elsewhere(queue, tasks, display.look)

    def _open_parent(self, store: MlflowStore) -> None:
        """Open the sweep's run, which nodes that do not see its folder would each open."""
        sweep = sweep_of(self._config.hydra)
        store.shared_parent(sweep.directory, sweep.name, {"strategy": sweep.strategy})


def _needs(worker: Worker, run: PlannedRun | None) -> Needs:
    return needs_of(worker.spec, _tracking(run), run.inputs if run is not None else ())


def _tracking(run: PlannedRun | None) -> TrackingConfig:
    return chosen_tracking() if run is None else run.tracking
