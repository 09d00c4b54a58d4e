"""The study that `params.yaml` describes: its cells, and the sizes that it comes in."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

from greensweep.errors import ConfigError, first_line
from greensweep.files import write_whole

PARAMS_FILE = Path("params.yaml")


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
SEARCH = ("datasets", "models", "spaces", "strategies", "searches")
_STRATEGY = SEARCH.index("strategies")
MODELS = ("simple_cnn", "dense_poly", "dense_linear")
ARCHITECTURES = {"conv_layers": (1, 4), "linear_layers": (3, 7), "relu": (False, True)}
BAYESIAN = {"corrected": "auto", "faithful": "paper_gp"}


def check_pipeline() -> None:
    """Refuse a folder in which DVC cannot work.

    Raises:
        ConfigError: it is no git repository, or DVC was not set up in it.
    """
    if not Path(".dvc").is_dir():
        raise ConfigError(
            "there is no .dvc folder here: change to the project's folder, or call dvc init"
        )
    if not any((each / ".git").exists() for each in (Path.cwd(), *Path.cwd().parents)):
        raise ConfigError(
            "this folder is no git repository, which DVC expects: call git init, or else "
            "dvc config core.no_scm true"
        )


def read_param(key: str) -> Any:
    """Return a value of `params.yaml`, in the folder that the command runs in, by its path.

    Raises:
        ConfigError: there is no such file or value.
    """
    value: Any = read_params()
    for name in key.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    if value is None:
        raise ConfigError(f"{PARAMS_FILE} has no {key}: add it")
    return value


def read_params() -> dict[str, Any]:
    """Return `params.yaml`, in the folder that the command runs in, as plain data.

    Raises:
        ConfigError: there is no such file, or it is no YAML.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    from greensweep.config import command_folder

    try:
        values = YAML(typ="safe").load(command_folder() / PARAMS_FILE)
    except (OSError, YAMLError) as error:
        raise ConfigError(f"{PARAMS_FILE} cannot be read: {first_line(error)}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{PARAMS_FILE} holds no names with values: see docs/pipeline.md")
    return values


def study_cells(params: Mapping[str, Any]) -> dict[str, int]:
    """Return the folders of the study's sweeps, as `dvc.yaml` names them, and the trials of each.

    Raises:
        ConfigError: a list that makes the cells is missing.
    """
    try:
        searches = product(*(params[name] for name in SEARCH))
        networks, strategies = params["architectures"], params["strategies"]
        layers = product(*(networks[name] for name in ARCHITECTURES))
        return {
            **{"-".join(map(str, cell)): strategies[cell[_STRATEGY]] for cell in searches},
            **{
                "-".join(["layers", *(str(each).lower() for each in cell)]): networks["trials"]
                for cell in layers
            },
        }
    except (KeyError, TypeError) as error:
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
