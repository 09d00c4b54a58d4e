"""What a sweep would run, for those who look at it before: `python -m greensweep doctor`."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_type_hints

from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import read_write
from omegaconf.errors import OmegaConfBaseException

from greensweep.config import TrainConfig, parse, without_hydra
from greensweep.config.schema import DatasetConfig
from greensweep.errors import ConfigError
from greensweep.messages import sentence
from greensweep.study.params import ARCHITECTURE, cell_names

CONF = Path(__file__).resolve().parents[3] / "conf"


@dataclass(frozen=True)
class ComposedSweep:
    """A sweep that was not run.

    Attributes:
        config: what its runs have in common.
        storage: URL of Optuna's store.
        n_trials: how many runs there would be.
    """

    config: TrainConfig
    storage: str
    n_trials: int


def compose_sweep(overrides: list[str], sweeper: str = "optuna") -> ComposedSweep:
    """Compose what `src/train.py -m hydra/sweeper=optuna` would run, without running it.

    Args:
        sweeper: `optuna` or `greensweep`.

    Raises:
        GreensweepError: the configuration is wrong.
    """
    try:
        with initialize_config_dir(str(CONF)):
            composed = compose(
                "train",
                overrides=[f"hydra/sweeper={sweeper}", *overrides],
                return_hydra_config=True,
            )
        with read_write(composed.hydra):
            composed.hydra.mode = RunMode.MULTIRUN
        HydraConfig.instance().set_config(composed)
        found = composed.hydra.sweeper
        parsed: TrainConfig = parse(without_hydra(composed))
        return ComposedSweep(parsed, str(found.storage), int(found.n_trials))
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(sentence(error).removeprefix("Error: ")) from error


def check_study(params: Mapping[str, Any]) -> int:
    """Compose every data set, model, space and strategy of a study once; return its trials.

    Raises:
        GreensweepError: one of them does not exist, or a number is out of its range.
    """
    shared = [f"{name}={params.get(name)}" for name in ("size", "variant", "seed", "energy")]
    shared += [f"repeats={params.get('repeats')}", f"training.epochs={params.get('epochs')}"]
    cell_names(params)  # refuses a list that is missing
    if len(params["strategies"]) < 2:
        raise ConfigError(
            "params.yaml: strategies must be at least 2 to be compared, got "
            f"{', '.join(params['strategies']) or 'none'}: add random: 6, say"
        )
    for name in ARCHITECTURE:
        if len(set(params["architectures"][name])) < 2:
            raise ConfigError(
                f"params.yaml: architectures.{name} must have at least 2 values to be compared, "
                f"got {params['architectures'][name]}: add another"
            )
    for name, count in params["strategies"].items():
        _check_trials(f"strategies.{name}", count, 1)
    # Two runs of each architecture, so that there is a rest beside what the layers explain.
    _check_trials("architectures.trials", params["architectures"].get("trials"), 2)
    axes = [params[name] for name in ("datasets", "models", "spaces")]
    trials = params["strategies"]
    for cell in range(max(map(len, (*axes, trials)))):
        dataset, model, space = (axis[cell % len(axis)] for axis in axes)
        strategy = list(trials)[cell % len(trials)]
        chosen = [f"dataset={dataset}", f"model={model}", f"space={space}"]
        chosen.append(f"hydra/sweeper/sampler={strategy}")
        chosen.append(f"hydra.sweeper.n_trials={trials[strategy]}")
        found = compose_sweep(["experiment=rq1_strategies", *shared, *chosen], "greensweep")
        _check_name(dataset, found.config.dataset)
    count = params["architectures"]["trials"]
    compose_sweep(
        ["experiment=rq2_layers", *shared, f"hydra.sweeper.n_trials={count}"], "greensweep"
    )
    searches = math.prod(map(len, axes)) * sum(map(int, trials.values()))
    networks = params["architectures"]
    return searches + int(count) * math.prod(len(networks[name]) for name in ARCHITECTURE)


def _check_name(dataset: str, config: DatasetConfig) -> None:
    if config.name != dataset and get_type_hints(type(config))["name"] is str:
        raise ConfigError(
            f"conf/dataset/{dataset}.yaml names its runs {config.name}, like others of its kind: "
            f"set name: {dataset} in it"
        )


def _check_trials(name: str, count: Any, least: int) -> None:
    if not isinstance(count, int) or count < least:
        raise ConfigError(
            f"params.yaml: {name} must be at least {least}, got {count}: set it to 6, say"
        )
