"""Begin a training from weights of one's own."""

import logging
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from greensweep.errors import ConfigError, listed
from greensweep.runs.checkpoint import read_checkpoint

log = logging.getLogger(__name__)

_OPTION = "training.from_checkpoint"


def load_initial_weights(path: Path, model: nn.Module) -> tuple[str, ...]:
    """Give a network those tensors of a checkpoint that fit it; return the names of the others.

    A head of another number of classes keeps the weights that it was initialised with, and the log
    names it. No code in the file is run.

    Args:
        path: a state_dict, such as the model.pt of a run, or a mapping that holds one under
            `state_dict` or `model`, as many programs write it.

    Raises:
        ConfigError: as `read_checkpoint`; or not a tensor in it fits.
    """
    weights = _state_in(read_checkpoint(path, f"{_OPTION}="))
    own = model.state_dict()
    fitting = {
        name: value
        for name, value in weights.items()
        if isinstance(own.get(name), Tensor) and own[name].shape == value.shape
    }
    if not any(own[name].is_floating_point() for name in fitting):
        raise ConfigError(
            f"{_OPTION}={path} holds no weights that fit this network: it has "
            f"{listed(sorted(weights)) or 'no tensors'}, and the network {listed(sorted(own))}"
        )
    model.load_state_dict(fitting, strict=False)
    others = tuple(name for name in own if name not in fitting)
    if others:
        log.warning(
            "%s does not hold %d of %d tensors of this network in their shape, which keep their "
            "initial values: %s.",
            path,
            len(others),
            len(own),
            listed(others),
        )
    return others


def _state_in(kept: Any) -> dict[str, Tensor]:
    """Return the tensors of a state_dict, also of one that lies in another mapping."""
    if not isinstance(kept, dict):
        return {}
    inner = (kept.get("state_dict"), kept.get("model"), kept)
    kept = next(each for each in inner if isinstance(each, dict))
    return {str(name): value for name, value in kept.items() if isinstance(value, Tensor)}
