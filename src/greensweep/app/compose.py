"""What a sweep would run, for those who look at it before: `python -m greensweep doctor`."""

from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import read_write
from omegaconf.errors import OmegaConfBaseException

from greensweep.config import TrainConfig, parse, without_hydra
from greensweep.errors import ConfigError
from greensweep.messages import sentence

CONF = Path(__file__).resolve().parents[3] / "conf"


def compose_sweep(overrides: list[str]) -> tuple[TrainConfig, str]:
    """Compose what `src/train.py -m hydra/sweeper=optuna` would run, without running it.

    Returns the config and the URL of Optuna's store.

    Raises:
        GreensweepError: the configuration is wrong.
    """
    try:
        with initialize_config_dir(str(CONF)):
            composed = compose(
                "train", overrides=["hydra/sweeper=optuna", *overrides], return_hydra_config=True
            )
        with read_write(composed.hydra):
            composed.hydra.mode = RunMode.MULTIRUN
        HydraConfig.instance().set_config(composed)
        storage = str(composed.hydra.sweeper.storage)
        parsed: TrainConfig = parse(without_hydra(composed))
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(sentence(error)) from error
    return parsed, storage
