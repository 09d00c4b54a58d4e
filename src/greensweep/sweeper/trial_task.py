"""The program's function as a trial of the search, in whichever process it runs."""

from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import optuna
from filelock import FileLock
from hydra.core.hydra_config import HydraConfig
from hydra.types import TaskFunction
from omegaconf import DictConfig, OmegaConf

from greensweep.energy import Meter, warn_once_per_sweep
from greensweep.search.interrupt import graceful, is_graceful
from greensweep.search.loop import SearchMeter
from greensweep.search.placement import take_gpus
from greensweep.search.spec import SearchSpec
from greensweep.search.storage import open_storage, open_study
from greensweep.search.trial import run_trial
from greensweep.secrets.data import learn, learn_overrides
from greensweep.secrets.output import mask_output


@dataclass
class TrialTask:
    """The program's function, as a trial of the search; Hydra's launchers take it for it.

    Attributes:
        search: measures what lies between trials; None where they run in other processes.
    """

    task: TaskFunction
    spec: SearchSpec
    meter: Meter | None
    gpus: int | None
    search: SearchMeter | None

    def __call__(self, config: DictConfig) -> Any:
        job = HydraConfig.get()
        if not is_graceful():  # a process of a launcher's
            take_gpus(self.gpus)
            mask_program_output(config)
        joules = self.search.take() if self.search is not None else None
        # A process of a launcher's: Ctrl-C reaches it as well.
        to_the_end = nullcontext() if is_graceful() else graceful(quiet=True)
        with warn_once_per_sweep(self.spec.directory), to_the_end:
            return run_trial(
                self.spec,
                open_once(self.spec),
                job.job.num,
                partial(self.task, config),
                Path(job.runtime.output_dir),
                meter=self.meter,
                search_joules=joules,
            )


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
            _studies[name] = open_study(spec, open_storage(spec.storage))
    return _studies[name]
