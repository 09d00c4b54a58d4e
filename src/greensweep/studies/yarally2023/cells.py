"""The cells of the study: the sweeps that `dvc.yaml` runs."""

from collections.abc import Mapping
from itertools import product
from typing import Any

from greensweep.errors import ConfigError
from greensweep.studies.yarally2023.sizes import ARCHITECTURES
from greensweep.study.params import PARAMS_FILE

SEARCH = ("datasets", "models", "spaces", "strategies", "searches")
_STRATEGY = SEARCH.index("strategies")


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
