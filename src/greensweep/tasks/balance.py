"""Whether one class has most of the data."""

import torch
from torch import Tensor

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
