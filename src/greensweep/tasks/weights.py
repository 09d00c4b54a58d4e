"""Weights of classes that the user lists."""

from collections.abc import Sequence

import torch
from torch import Tensor

from greensweep.errors import ConfigError


def listed_weights(weights: str | Sequence[float], targets: Tensor, size: int, what: str) -> Tensor:
    """Return `task.class_weights` where the targets are, float32, shape (`size`,).

    Raises:
        ConfigError: there are more or fewer than classes.
    """
    if len(weights) != size:
        raise ConfigError(
            f"task.class_weights has {len(weights)} weights, and the data set {size} {what}: give "
            "one for each, in their order, or set task.class_weights=balanced"
        )
    return torch.tensor(weights, dtype=torch.float32, device=targets.device)
