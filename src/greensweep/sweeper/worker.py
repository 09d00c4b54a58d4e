"""A process's part of a sweep: it reserves trials, and runs them through Hydra's launcher."""

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Any

import optuna
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.core.singleton import Singleton
from hydra.errors import CompactHydraException, HydraException
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException
from optuna.trial import FrozenTrial

from greensweep.config.folders import use_sweep_folder
from greensweep.config.grammar import kept_as_override
from greensweep.config.hydra_internals import fault_of, sweep_context
from greensweep.config.schema import TrainConfig
from greensweep.config.schema_energy import EnergyConfig
from greensweep.config.store import without_hydra
from greensweep.energy import build_meter, declared_grid, warn_once_per_sweep
from greensweep.errors import GreensweepError, StudyError
from greensweep.messages import message_of
from greensweep.record.result import RunResult, write_result
from greensweep.search.folders import check_present, keep_owner
from greensweep.search.loop import (
    Elsewhere,
    SearchMeter,
    keep_search_energy,
    run_trials,
    run_trials_elsewhere,
)
from greensweep.search.placement import take_gpus
from greensweep.search.planned_run import PlannedRun
from greensweep.search.records import fidelity_of
from greensweep.search.spec import SearchSpec
from greensweep.search.storage import storage_faults
from greensweep.search.trial_queue import ReservedTrial, TrialQueue
from greensweep.sweeper.hydra_lines import quiet_hydra
from greensweep.sweeper.spec import trial_overrides
from greensweep.sweeper.trial_task import TrialTask, mask_program_output, open_once

_BASIC_LAUNCHER = "BasicLauncher"
_NOT_COMPOSED = (HydraException, OmegaConfBaseException)

Plan = Callable[[DictConfig], PlannedRun | None]


@dataclass
class Worker:
    """What a process needs to run trials; pickled to others.

    Attributes:
        gpus: how many a process of its own takes; None where it may use any.
        is_own: the program is none of ours, so that its trials are recorded here.
        tells: the study how trials end; else their folders alone say so.
    """

    config: DictConfig
    context: HydraContext
    task: TaskFunction
    plan: Plan
    spec: SearchSpec
    shared: tuple[str, ...]
    energy: EnergyConfig
    meters_trials: bool
    gpus: int | None = None
    is_own: bool = False
    tells: bool = True
    singletons: Any = None  # of Hydra, where it was pickled

    def __post_init__(self) -> None:
        """Raise StudyError, before anything trains, for an option that there is not."""
        self.context = sweep_context(self.context)
        if self.is_own:  # ours are checked by their schemas
            self._check_searched()
        for fidelity, cheaper in enumerate(self.spec.fidelities, 1):
            try:
                self._composed({}, fidelity)
            except CompactHydraException as error:
                raise StudyError(
                    f"hydra.sweeper.fidelities: {', '.join(cheaper)}: {message_of(error)}"
                ) from error

    def _check_searched(self) -> None:
        """Refuse what no trial can be composed with: a searched option that there is not, say.

        What one choice of a group lacks is there with another, or its trials fail alone.

        Raises:
            StudyError: an option of the program's own, or a choice of a group, is not there.
        """
        space, loader = self.spec.space, self.context.config_loader
        groups = [
            {name: value}
            for name in space.names
            if loader.get_group_options(name.lstrip("+").partition("@")[0])
            for value in space.levels.get(name, ())
        ]
        chosen = {name for each in groups for name in each}
        options = [{name: space.some_value(name)} for name in space.names if name not in chosen]
        for each in [*groups, *options]:
            fault = self._fault(each)
            if fault and all(self._fault({**other, **each}) for other in groups):
                raise StudyError(message_of(fault)) from fault

    def _fault(self, params: Mapping[str, Any]) -> Exception | None:
        """Return what keeps a trial from being composed."""
        try:
            self._composed(params)
        except _NOT_COMPOSED as error:
            return error
        return None

    @property
    def launches_here(self) -> bool:
        """Hydra's launcher runs trials in this process, one at a time."""
        return str(self.config.hydra.launcher._target_).endswith(_BASIC_LAUNCHER)

    def __call__(self, seconds: float = math.inf) -> None:
        """Work in a process of its own that has so much time.

        Raises:
            GreensweepError: the search cannot go on.
        """
        self._begin_process()
        with storage_faults(self.spec.storage):
            self.work(1, seconds=seconds)

    def run_one(self, trial: ReservedTrial) -> BaseException | None:
        """Run a trial that another process reserved; return what broke it outside of its task.

        Raises:
            StudyError: the search's storage failed.
        """
        launcher = self._only_launcher
        mask_program_output(self.config)  # an engine may have put another stream in its place
        with storage_faults(self.spec.storage), warn_once_per_sweep(self.spec.directory):
            (fault,) = self._launch(launcher, [trial])
        return fault

    @cached_property
    def _only_launcher(self) -> Any:
        """Runs the trials that other processes reserved; one meter measures them all."""
        self._begin_process()
        return self._launcher(None)

    def config_folders(self) -> list[str]:
        """Return the folders of the program's configuration files."""
        elements = self.context.config_loader.get_search_path().get_path()
        return [*filter(None, (_folder_of(each.path) for each in elements))]

    def move(self, sweep: Path, here: Callable[[str], str]) -> None:
        """Work on a machine that does not have the sweep's folder, nor the program's.

        Trials leave their folders below `sweep`, from where somebody takes them home.

        Args:
            here: returns where a folder of the program's stands.
        """
        Singleton.set_state(self.singletons)  # which kinds of configuration there are
        use_sweep_folder(self.config, str(sweep))
        self.spec = replace(self.spec, directory=sweep)
        loader = self.context.config_loader
        path = copy.deepcopy(loader.get_search_path())
        for element in path.get_path():
            if folder := _folder_of(element.path):
                element.path = here(folder)
        moved: Any = type(loader)
        self.context = replace(self.context, config_loader=moved(path))
        self.tells = False

    def __getstate__(self) -> dict[str, Any]:
        """Take along what Hydra knows in this process."""
        return {**vars(self), "singletons": Singleton.get_state()}

    def _begin_process(self) -> None:
        take_gpus(self.gpus)
        Singleton.set_state(self.singletons)
        HydraConfig.instance().set_config(self.config)
        mask_program_output(self.config)
        quiet_hydra(self.config.hydra.verbose)

    def work(
        self, batch: int, on_end: Callable[[], None] = lambda: None, seconds: float = math.inf
    ) -> None:
        """Run trials until there are no more; as for `greensweep.search.loop.run_trials`."""
        study = open_once(self.spec)
        with warn_once_per_sweep(self.spec.directory):
            # Drawing trials computes on no GPU, and what waits meanwhile is every worker's alike.
            meter = SearchMeter(build_meter(self.energy, self.spec.directory, device="cpu"))
            launcher = self._launcher(meter if self.launches_here else None)

            def run(trials: list[ReservedTrial]) -> list[BaseException | None]:
                if not self.launches_here:
                    keep_search_energy(study, meter)  # a budget must know of it while trials run
                return self._launch(launcher, trials)

            run_trials(self.queue(study), run, meter, batch, on_end, seconds)

    def work_elsewhere(
        self, queue: TrialQueue, elsewhere: Elsewhere, on_end: Callable[[], None]
    ) -> None:
        """Let an engine run trials until there are no more."""
        with warn_once_per_sweep(self.spec.directory):
            meter = SearchMeter(build_meter(self.energy, self.spec.directory, device="cpu"))
            run_trials_elsewhere(queue, elsewhere, meter, on_end)

    def _launcher(self, search: SearchMeter | None) -> Any:
        task = TrialTask(
            self.task,
            self.spec,
            self.energy if self.meters_trials else None,
            self.gpus,
            search,
            self.is_own,
            declared_grid(self.energy),
            self.tells,
        )
        return Plugins.instance().instantiate_launcher(
            config=self.config, hydra_context=self.context, task_function=task
        )

    def open_search(self) -> tuple[optuna.Study, TrialQueue]:
        """Open the search's study anew, and make it ready to go on.

        Raises:
            StudyError: the study is another's, or searches something else; or its storage failed.
        """
        with storage_faults(self.spec.storage):
            study = open_once(self.spec, anew=True)
            keep_owner(self.spec, study)
            queue = self.queue(study)
            queue.prepare()
        return study, queue

    def queue(self, study: optuna.Study) -> TrialQueue:
        """Return the trials to take."""
        return TrialQueue(self.spec, study, self.folder, self.values, self.flops)

    def values(self, result: RunResult) -> Sequence[float]:
        """Return the objectives of a run by its result alone.

        Raises:
            GreensweepError: the result does not state them, or lacks a figure.
        """
        run = self.planned({})
        if run is None:
            raise StudyError("its result does not state what the program returns")
        return run.values(result)

    def folder(self, trial: FrozenTrial) -> Path:
        """Return the folder of a trial: `hydra.sweep.subdir`, with the trial's number as job's.

        One that cannot be composed has its number as its folder.
        """
        try:
            composed = self._composed(trial.params, fidelity_of(trial))
        except _NOT_COMPOSED:
            return self.spec.directory / str(trial.number)
        with open_dict(composed):
            composed.hydra.job.id = str(trial.number)
            composed.hydra.job.num = trial.number
        return self.spec.directory / str(composed.hydra.sweep.subdir)

    def planned(self, params: Mapping[str, Any], fidelity: int = 0) -> PlannedRun | None:
        """Return the run of a trial as it is planned; None where that is not known.

        Raises:
            ConfigError: its configuration is wrong.
        """
        return self.plan(self._composed(params, fidelity))

    def flops(self, trial: ReservedTrial) -> float | None:
        """Return how much a trial will compute; None where only running it shows that."""
        try:
            run = self.planned(trial.params, trial.fidelity)
        except (GreensweepError, *_NOT_COMPOSED):
            return None  # the trial itself will say what is wrong
        return None if run is None else run.flops()

    def _composed(self, params: Mapping[str, Any], fidelity: int = 0) -> DictConfig:
        overrides = self._overrides(params, fidelity)
        return self.context.config_loader.load_sweep_config(self.config, overrides)

    def _overrides(self, params: Mapping[str, Any], fidelity: int) -> list[str]:
        cheaper = self.spec.fidelities[fidelity - 1] if fidelity else ()
        return [*trial_overrides(self.spec.space.in_steps(params), self.shared), *cheaper]

    def _launch(self, launcher: Any, trials: list[ReservedTrial]) -> list[BaseException | None]:
        """Run trials through Hydra's launcher; a job's number is its trial's."""
        check_present(self.spec.directory)
        faults: dict[int, BaseException | None] = {}
        for trial in trials if len(trials) > 1 else ():
            try:
                self._composed(trial.params, trial.fidelity)
            except _NOT_COMPOSED as error:  # which would end the whole batch
                faults[trial.number] = error
        for run in _consecutive([trial for trial in trials if trial.number not in faults]):
            overrides = [self._overrides(trial.params, trial.fidelity) for trial in run]
            try:
                returned = launcher.launch(overrides, initial_job_idx=run[0].number)
            except Exception as error:
                faults |= {trial.number: error for trial in run}
            else:
                found = map(fault_of, returned)
                faults |= {trial.number: each for trial, each in zip(run, found, strict=True)}
        for trial in trials:
            if isinstance(fault := faults[trial.number], _NOT_COMPOSED):
                self._leave_result(trial, fault)
        return [faults[trial.number] for trial in trials]

    def _leave_result(self, trial: ReservedTrial, fault: BaseException) -> None:
        """Leave the result of a trial that could not be composed, and thus not leave its own."""
        folder = self.spec.directory / str(trial.number)
        config: Any = without_hydra(self.config)
        if folder.exists():
            return
        folder.mkdir(parents=True)
        chosen = {name: kept_as_override(value) for name, value in trial.params.items()}
        model, dataset, seed = str(self.config.hydra.job.name), "unknown", 0
        if OmegaConf.get_type(config) is TrainConfig:
            model, dataset, seed = config.model.name, config.dataset.name, config.seed
        asked = self._overrides(trial.params, trial.fidelity)
        refused = RunResult(
            status="failed",
            error=message_of(fault),
            model=chosen.get("model", model),
            dataset=chosen.get("dataset", dataset),
            seed=seed,
            trial=trial.number,
            overrides=tuple(asked),
        )
        write_result(refused, folder)


def _folder_of(source: str) -> str | None:
    """Return the folder that an entry of Hydra's search path is; None of a package, say."""
    scheme, _, path = source.rpartition("://")
    return path if scheme in ("", "file") else None


def _consecutive(trials: list[ReservedTrial]) -> list[list[ReservedTrial]]:
    """Split trials into runs of numbers that follow each other, as launchers number jobs."""
    runs = groupby(enumerate(trials), lambda placed: placed[1].number - placed[0])
    return [[trial for _, trial in run] for _, run in runs]
