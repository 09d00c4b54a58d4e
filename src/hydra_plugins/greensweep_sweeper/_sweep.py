"""Run a search of a Hydra program: in this process, in workers, or through a launcher."""

import logging
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import optuna
from filelock import FileLock
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import CompactHydraException
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict
from optuna.trial import FrozenTrial

from greensweep.config.schema import CodeCarbonConfig, EnergyConfig
from greensweep.energy import Meter, build_meter, declared_grid
from greensweep.errors import GreensweepError, StudyError
from greensweep.search.bill import Bill, bill, write_bill
from greensweep.search.claim import Claim, Claims, Exhausted
from greensweep.search.interrupt import graceful, interrupted
from greensweep.search.live import shown
from greensweep.search.objective import values_of_run
from greensweep.search.pool import run_workers
from greensweep.search.spec import JOULES_PER_KWH, SearchSpec
from greensweep.search.storage import open_storage, open_study, storage_faults
from greensweep.search.text import print_search
from greensweep.search.trial import run_trial
from greensweep.search.work import SearchMeter, work
from hydra_plugins.greensweep_sweeper._spec import (
    build_spec,
    sweeper_options,
    trial_overrides,
    use_study_folder,
)

log = logging.getLogger(__name__)

_BASIC_LAUNCHER = "BasicLauncher"
_LOCK = ".study.lock"
INTERRUPTED = 130


class Sweep:
    """A sweep of a Hydra program.

    Args:
        config: as Hydra composed it, with `hydra`.
        task: the program's function.
    """

    def __init__(self, config: DictConfig, context: HydraContext, task: TaskFunction) -> None:
        use_study_folder(config)
        self._config, self._context, self._task = config, context, task

    def run(self, arguments: Sequence[str]) -> None:
        """Search, and leave `study.json` and `optimization_results.yaml` in the sweep's folder.

        Raises:
            CompactHydraException: the search cannot be run, or go on.
            SystemExit: it was interrupted, with status 130.
        """
        try:
            self._run(arguments)
        except GreensweepError as error:
            raise CompactHydraException(f"Error: {error}") from error
        except KeyboardInterrupt as error:
            raise SystemExit(INTERRUPTED) from error
        if interrupted():
            raise SystemExit(INTERRUPTED)

    def _run(self, arguments: Sequence[str]) -> None:
        options = sweeper_options(self._config)
        energy = _energy(options.energy)
        grid = declared_grid(energy)
        per_kwh = None if grid is None else grid.emissions_kg(1.0)
        launcher = str(self._config.hydra.launcher._target_)
        is_basic = launcher.endswith(_BASIC_LAUNCHER)
        spec, shared = build_spec(
            self._config,
            options,
            arguments,
            parallel=options.n_workers > 1,
            kg_per_joule=None if per_kwh is None else per_kwh / JOULES_PER_KWH,
        )
        if options.fresh:
            _put_aside(spec)
        spec.directory.mkdir(parents=True, exist_ok=True)
        worker = Worker(
            self._config,
            self._context,
            self._task,
            spec,
            tuple(shared),
            energy=energy,
            meters_trials=options.meter_trials,
        )
        with storage_faults(spec.storage):
            study = _open(spec, anew=True)
            claims = worker.claims(study)
            claims.prepare()
            total = claims.total()
            try:
                with shown(spec, study, total):
                    if options.n_workers > 1 and is_basic:
                        run_workers(worker, options.n_workers, claims.settle_dead)
                    else:
                        with graceful():
                            worker.work(1 if is_basic else options.n_workers)
            finally:
                ended = "interrupted" if interrupted() else claims.ended()
                found = bill(spec, study, total, ended)
                write_bill(found, spec.directory)
                _write_best(study, found, spec.directory)
            if options.meter_trials:
                print_search(study.get_trials(deepcopy=False), found)


@dataclass
class Worker:
    """What a process needs to run trials; pickled to others."""

    config: DictConfig
    context: HydraContext
    task: TaskFunction
    spec: SearchSpec
    shared: tuple[str, ...]
    energy: EnergyConfig
    meters_trials: bool
    singletons: Any = field(default_factory=Singleton.get_state)

    def __call__(self) -> None:
        """Work in a process of its own."""
        Singleton.set_state(self.singletons)
        HydraConfig.instance().set_config(self.config)
        try:
            with storage_faults(self.spec.storage):
                self.work(1)
        except GreensweepError as error:
            print(f"Error: {error}", file=sys.stderr)
            sys.exit(1)

    def work(self, batch: int) -> Exhausted:
        """Run trials until there are no more."""
        study = _open(self.spec)
        meter = SearchMeter(build_meter(self.energy))
        own_meter = build_meter(self.energy) if self.meters_trials else None
        task = TrialTask(self.task, self.spec, own_meter)
        launcher = Plugins.instance().instantiate_launcher(
            config=self.config, hydra_context=self.context, task_function=task
        )
        run = partial(self._launch, launcher, meter, is_here=batch == 1)
        return work(study, self.claims(study), run, meter, batch)

    def claims(self, study: optuna.Study) -> Claims:
        """Return the trials to take."""
        return Claims(self.spec, study, self.folder, values_of_run)

    def folder(self, trial: FrozenTrial) -> Path:
        """Return the folder of a trial: `hydra.sweep.subdir`, with the trial's number as job's."""
        composed = self._composed(trial.number, trial.params)
        return self.spec.directory / str(composed.hydra.sweep.subdir)

    def _composed(self, number: int, params: Any) -> DictConfig:
        overrides = trial_overrides(params, self.shared)
        composed = self.context.config_loader.load_sweep_config(self.config, overrides)
        with open_dict(composed):
            composed.hydra.job.id = str(number)
            composed.hydra.job.num = number
        return composed

    def _launch(
        self, launcher: Any, meter: SearchMeter, claims: list[Claim], *, is_here: bool
    ) -> list[BaseException | None]:
        """Run trials through Hydra's launcher; a job's number is its trial's."""
        global _search_meter
        _search_meter = meter if is_here else None
        if not is_here:
            meter.pause()
        faults: list[BaseException | None] = []
        for run in _consecutive(claims):
            overrides = [trial_overrides(claim.params, self.shared) for claim in run]
            try:
                returned = launcher.launch(overrides, initial_job_idx=run[0].number)
            except Exception as error:
                faults += [error] * len(run)
            else:
                faults += [_fault_of(each) for each in returned]
        return faults


_search_meter: SearchMeter | None = None


@dataclass
class TrialTask:
    """The program's function, as a trial of the search; Hydra's launchers take it for it."""

    task: TaskFunction
    spec: SearchSpec
    meter: Meter | None

    def __call__(self, config: DictConfig) -> Any:
        job = HydraConfig.get()
        joules = _search_meter.take() if _search_meter is not None else None
        return run_trial(
            self.spec,
            _open(self.spec),
            job.job.num,
            partial(self.task, config),
            Path(job.runtime.output_dir),
            meter=self.meter,
            search_joules=joules,
        )


_studies: dict[tuple[str, str], optuna.Study] = {}


def _open(spec: SearchSpec, *, anew: bool = False) -> optuna.Study:
    """Open a search's study, once in each process."""
    name = (spec.storage, spec.study_name)
    if anew or name not in _studies:
        # Processes that open a new file at once race in making its tables.
        with FileLock(spec.directory / _LOCK):
            _studies[name] = open_study(spec, open_storage(spec.storage))
    return _studies[name]


def _energy(given: Any) -> EnergyConfig:
    """Return the sweeper's meter: an energy group of greensweep's own, or the default."""
    if given is None:
        return CodeCarbonConfig()
    if not isinstance(given, EnergyConfig):
        raise StudyError(
            "hydra.sweeper.energy must be an energy group, as in hydra.sweeper.energy='${energy}', "
            f"got {given}"
        )
    return given


def _write_best(study: optuna.Study, found: Bill, directory: Path) -> None:
    """Leave the best as the stock sweeper does."""
    best = [study.get_trials(deepcopy=False)[number] for number in found.best_trials]
    solutions = [{"params": trial.params, "values": list(trial.values)} for trial in best]
    results: dict[str, Any] = {"name": "greensweep", "solutions": solutions}
    if len(study.directions) == 1 and best:
        results = {
            "name": "greensweep",
            "best_params": best[0].params,
            "best_value": best[0].value,
        }
    OmegaConf.save(OmegaConf.create(results), directory / "optimization_results.yaml")


def _put_aside(spec: SearchSpec) -> None:
    """Move an earlier sweep of this name away: what was measured is never deleted."""
    stamp = time.strftime("%Y-%m-%d_%H-%M-%S")
    if spec.directory.is_dir() and any(spec.directory.iterdir()):
        shutil.move(spec.directory, spec.directory.with_name(f"{spec.directory.name}.{stamp}"))
    if str(spec.directory) in spec.storage:
        return
    storage = open_storage(spec.storage)
    if any(each.study_name == spec.study_name for each in storage.get_all_studies()):
        aside = f"{spec.study_name}.{stamp}"
        optuna.copy_study(
            from_study_name=spec.study_name,
            from_storage=storage,
            to_storage=storage,
            to_study_name=aside,
        )
        optuna.delete_study(study_name=spec.study_name, storage=storage)


def _consecutive(claims: list[Claim]) -> list[list[Claim]]:
    """Split trials into runs of numbers that follow each other, as launchers number jobs."""
    runs: list[list[Claim]] = []
    for claim in claims:
        if runs and claim.number == runs[-1][-1].number + 1:
            runs[-1].append(claim)
        else:
            runs.append([claim])
    return runs


def _fault_of(returned: JobReturn) -> BaseException | None:
    if returned.status == JobStatus.FAILED:
        fault = returned._return_value
        return fault if isinstance(fault, BaseException) else StudyError(str(fault))
    return None
