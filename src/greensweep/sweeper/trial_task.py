"""The program's function as a trial of the search, in whichever process it runs."""

from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import optuna
from filelock import FileLock
from hydra.core.hydra_config import HydraConfig
from hydra.types import TaskFunction
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from greensweep.config.hydra_internals import mask_kept_configurations
from greensweep.config.schema_energy import EnergyConfig
from greensweep.energy import Grid, Meter, build_meter, warn_once_per_sweep
from greensweep.record.result import RunResult
from greensweep.search.interrupt import graceful, is_graceful
from greensweep.search.loop import SearchMeter
from greensweep.search.own_trial import OwnTrial
from greensweep.search.placement import take_gpus
from greensweep.search.spec import SearchSpec
from greensweep.search.storage import open_storage, open_study
from greensweep.search.trial import run_trial
from greensweep.secrets.data import learn, learn_overrides, mask_override
from greensweep.secrets.output import mask_output
from greensweep.sweeper.command import sweep_of, task_overrides
from greensweep.tracking.choice import chosen_tracking
from greensweep.tracking.tracker import build_tracker

mask_kept_configurations()  # also in a process of a launcher's, which unpickles a task first


@dataclass
class TrialTask:
    """The program's function, as a trial of the search; Hydra's launchers take it for it.

    Attributes:
        energy: configures the meter of trials; None where the program measures itself.
        search: measures what lies between trials; None where they run in other processes.
        is_own: the program is none of ours, so that its trials are recorded here.
        grid: that feeds the machine, where one was declared.
        tells: the study how trials end.
    """

    task: TaskFunction
    spec: SearchSpec
    energy: EnergyConfig | None
    gpus: int | None
    search: SearchMeter | None
    is_own: bool
    grid: Grid | None
    tells: bool = True

    @cached_property
    def meter(self) -> Meter | None:
        """Measures this process's trials."""
        return None if self.energy is None else build_meter(self.energy, self.spec.directory)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the meter, whose files are this process's."""
        return {name: value for name, value in vars(self).items() if name != "meter"}

    def __call__(self, config: DictConfig) -> Any:
        job = HydraConfig.get()
        if not is_graceful():  # a process of a launcher's
            take_gpus(self.gpus)
            mask_program_output(config)
        joules = self.search.take() if self.search is not None else None
        # A process of a launcher's: Ctrl-C reaches it as well.
        to_the_end = nullcontext() if is_graceful() else graceful(quiet=True)
        own = self._own(config, job) if self.is_own else None
        with warn_once_per_sweep(self.spec.directory), to_the_end:
            return run_trial(
                self.spec,
                open_once(self.spec),
                job.job.num,
                partial(self.task, config),
                Path(job.runtime.output_dir),
                meter=self.meter,
                search_joules=joules,
                own=own,
                tells=self.tells,
            )

    def _own(self, config: DictConfig, hydra: Any) -> OwnTrial:
        """Return what records a trial of a program of one's own, whose options are left at once.

        Raises:
            OSError: they cannot be written.
        """
        directory, options = Path(hydra.runtime.output_dir), plain_options(config)
        seed = options.get("seed")
        initial = RunResult(
            status="failed",
            error=None,
            model=str(hydra.job.name),
            dataset="unknown",
            seed=seed if isinstance(seed, int) else 0,
            objective_direction=self.spec.directions[0],
            trial=hydra.job.num,
            overrides=tuple(map(mask_override, task_overrides(hydra))),
        )
        # A preview's runs are no part of the sweep.
        is_shown = self.spec.only_epochs is None
        tracking = chosen_tracking(None if is_shown else False)
        tracker = build_tracker(tracking, directory, sweep_of(hydra))
        own = OwnTrial(initial, options, directory, tracker, self.grid)
        own.begin()
        return own


def plain_options(config: DictConfig) -> dict[str, Any]:
    """Return a program's options as plain data, with references that lead nowhere as they are."""
    try:
        plain = OmegaConf.to_container(config, resolve=True)
    except OmegaConfBaseException:
        plain = OmegaConf.to_container(config, resolve=False)
    assert isinstance(plain, dict)
    return {str(name): value for name, value in plain.items()}


def mask_program_output(config: DictConfig) -> None:
    """Mask what this process logs and prints, by the secrets of the program's configuration."""
    mask_output()
    plain = OmegaConf.to_container(config, resolve=False)
    learn(plain)
    assert isinstance(plain, dict)
    overrides = plain.get("hydra", {}).get("overrides", {})
    learn_overrides([*overrides.get("task", ()), *overrides.get("hydra", ())])


_studies: dict[tuple[str, str], optuna.Study] = {}


def open_once(spec: SearchSpec, *, anew: bool = False) -> optuna.Study:
    """Open a search's study, once in each process."""
    name = (spec.storage, spec.study_name)
    if anew or name not in _studies:
        # Processes that open a new file at once race in making its tables.
        with FileLock(spec.lock_file("study")):
            # One who runs trials waits for a server that the command has seen already.
            _studies[name] = open_study(spec, open_storage(spec.storage, waits=not anew))
    return _studies[name]
