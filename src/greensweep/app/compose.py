"""What Hydra composed, checked; and what a sweep would run, for those who look at it before."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from hydra import compose
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, read_write
from omegaconf.errors import OmegaConfBaseException

from greensweep.config.folders import CONF, storage_url
from greensweep.config.hydra_versions import composing
from greensweep.config.schema import TrainConfig
from greensweep.config.store import parse, raise_faults, without_hydra
from greensweep.config.unknown import unknown_options
from greensweep.errors import ConfigError
from greensweep.messages import message_of

Schema = TypeVar("Schema")


def checked(composed: DictConfig, schema: type[Schema]) -> Schema:
    """Return a script's composed configuration as its schema's dataclass.

    Raises:
        ConfigError: as `parse`; or it is another script's, or sets an option that Hydra lacks.
    """
    found: Any = OmegaConf.get_type(composed)
    if found is not schema:
        raise ConfigError(
            f"this script takes the options of {schema.__name__}, got {found.__name__}: leave "
            "out --config-name, or begin the defaults of that file with the script's own"
        )
    if HydraConfig.initialized():  # not where a program composes by itself
        hydra: Any = HydraConfig.get()
        raise_faults(unknown_options(hydra, "hydra."))
    config: Schema = parse(composed)
    return config


@contextmanager
def written_to(output: str) -> Iterator[None]:
    """Name the option `output` where what it names cannot be written.

    Raises:
        ConfigError: it cannot.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise ConfigError(f"output={output} cannot be written ({reason}): name another") from error


@dataclass(frozen=True)
class ComposedSweep:
    """A sweep that was not run.

    Attributes:
        config: what its runs have in common.
        storage: of Optuna's study.
        n_trials: how many runs there would be.
        confirm_hours: a longer sweep has to be confirmed; None for any length.
    """

    config: TrainConfig
    storage: str
    n_trials: int
    confirm_hours: float | None = None


def compose_sweep(overrides: list[str]) -> ComposedSweep:
    """Compose what `greensweep sweep` would run, without running it.

    Raises:
        GreensweepError: the configuration is wrong.
    """
    try:
        with composing(str(CONF)):
            composed = compose(
                "train",
                overrides=["hydra/sweeper=greensweep", *overrides],
                return_hydra_config=True,
            )
        with read_write(composed.hydra):
            composed.hydra.mode = RunMode.MULTIRUN
        HydraConfig.instance().set_config(composed)
        found = composed.hydra.sweeper
        parsed: TrainConfig = parse(without_hydra(composed))
        hours = found.get("confirm_hours")
        storage = storage_url(
            found.storage,
            Path(composed.hydra.sweep.dir),
            several_machines=found.executor == "slurm",
        )
        return ComposedSweep(parsed, storage, int(found.n_trials), hours)
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(message_of(error)) from error
