"""Classes of unlike size: a warning of one that has most of the data, and the user's weights."""

from collections.abc import Sequence

import torch
from torch import Tensor

from greensweep.errors import ConfigError

# A share that is this many times an equal one, and at least half of all.
_TIMES = 1.5


def imbalance(labels: Tensor, classes: tuple[str, ...]) -> str | None:
    """Say that one class has most of the data, so that naming it always is accurate; None if not.

    Args:
        labels: class numbers, int64, shape (N,).
    """
    counts = torch.bincount(labels, minlength=len(classes))
    largest = int(counts.argmax())
    share = counts[largest].item() / len(labels)
    if share < max(0.5, _TIMES / len(classes)):
        return None
    return (
        f"{share:.0%} of the training data are of class {classes[largest]!r}, so that predicting "
        "it always is as accurate: objective.metric=balanced_accuracy or macro_f1 weighs all "
        "classes alike, and task.class_weights=balanced trains so."
    )


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
