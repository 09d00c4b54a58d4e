"""The cells of the study, which are the sweeps that `dvc.yaml` runs, and the sizes it comes in."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any

from greensweep.errors import ConfigError, first_line
from greensweep.files import write_whole
from greensweep.study.params import PARAMS_FILE


@dataclass(frozen=True)
class Cells:
    """What a size of the paper's study has beside what `conf/size` says.

    Attributes:
        datasets, spaces: that are searched.
        layer_trials: runs of each architecture.
    """

    datasets: tuple[str, ...]
    spaces: tuple[str, ...]
    layer_trials: int


# Yarally et al. 2023 searched 3 and 5 hyperparameters on 2 data sets; `small` asks besides what is
# left of their answer where the learning rate is drawn on a log scale. Their 384 runs of each
# architecture are 48 trials of 8 repeats.
SIZES = {
    "smoke": Cells(("digits",), ("paper_log",), 2),
    "small": Cells(("cifar10",), ("paper", "paper_log"), 8),
    "paper": Cells(("cifar10", "fashion_mnist"), ("paper", "paper_five"), 48),
}
MODELS = ("simple_cnn", "dense_poly", "dense_linear")
ARCHITECTURES = {"conv_layers": (1, 4), "linear_layers": (3, 7), "relu": (False, True)}
BAYESIAN = {"corrected": "auto", "faithful": "paper_gp"}


def study_cells(params: Mapping[str, Any]) -> dict[str, int]:
    """Return the folders of the study's sweeps, as `dvc.yaml` names them, and the trials of each.

    Raises:
        ConfigError: a list that makes the cells is missing.
    """
    try:
        axes = [params[name] for name in ("datasets", "models", "spaces")]
        searches = product(*axes, params["strategies"].items(), params["searches"])
        networks = params["architectures"]
        layers = product(*(networks[name] for name in ARCHITECTURES))
        return {
            **{
                "-".join(map(str, (*cell, strategy, seed))): trials
                for *cell, (strategy, trials), seed in searches
            },
            **{
                "-".join(["layers", *(str(each).lower() for each in cell)]): networks["trials"]
                for cell in layers
            },
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{PARAMS_FILE} does not say the cells of the study: {error}") from error


def set_study(size: str, variant: str, *, epochs: int, repeats: int, trials: int) -> None:
    """Write a size and a variant of the paper's study into `params.yaml`; its comments stay.

    What makes the published study is written, the lists of its cells among it. Seeds, `energy`,
    `confirmed` and the report stay as they are.

    Raises:
        ConfigError: the file is missing or broken.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    if size not in SIZES:
        raise ConfigError(
            f"{PARAMS_FILE} has size={size}, which is none of the paper's study: give --size "
            f"{', '.join(SIZES)}"
        )
    cells, yaml = SIZES[size], YAML()
    try:
        params = yaml.load(PARAMS_FILE)
        params.update(size=size, variant=variant, epochs=epochs, repeats=repeats)
        params["datasets"][:] = cells.datasets
        params["models"][:] = MODELS
        params["spaces"][:] = cells.spaces
        strategies = params["strategies"]
        strategies.clear()
        strategies.update(dict.fromkeys(("random", "grid", BAYESIAN[variant]), trials))
        for name, values in ARCHITECTURES.items():
            params["architectures"][name][:] = values
        params["architectures"]["trials"] = cells.layer_trials
        write_whole(PARAMS_FILE, partial(yaml.dump, params))
    except (OSError, YAMLError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{PARAMS_FILE} cannot be changed: {first_line(error)}") from error
