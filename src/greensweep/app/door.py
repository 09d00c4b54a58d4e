"""The options of a script, checked: what Hydra composed, and where it is to write."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from greensweep.config.store import parse, raise_faults
from greensweep.config.unknown import unknown_options
from greensweep.errors import ConfigError

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
