"""The protocol of a task."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar

import torch
from torch import Tensor

from greensweep.config.metrics import Targets
from greensweep.errors import ConfigError

Loss = Callable[[Tensor, Tensor], Tensor]
"""From a batch's outputs and targets to their mean loss."""


class Task(ABC):
    """What is learnt from targets.

    Args:
        training_targets: of the training split, on the device that computes: class numbers, int64
            (N,); 0 or 1 for each label, float32 (N, K); numbers, float32 (N,) or (N, K).
        size: how many classes, labels or numbers there are.
        loss: a loss instead of the task's own.

    Attributes:
        targets: the kind that it reads.
    """

    targets: ClassVar[Targets]

    def __init__(self, training_targets: Tensor, size: int, *, loss: Loss | None = None) -> None:
        self.size = size
        self.own_loss = loss

    @property
    def outputs(self) -> int:
        """How many outputs the model has for each input."""
        return self.size

    @abstractmethod
    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss of a batch, which training lowers.

        Args:
            outputs: of the model, shape (B, `outputs`).
            targets: as in the training split, B of them.
        """

    @abstractmethod
    def predict(self, outputs: Tensor) -> Tensor:
        """Return what outputs (B, `outputs`) say: probabilities (B, K), or numbers like targets."""

    def total_loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the sum of a batch's losses, by which a split is evaluated."""
        return self.loss(outputs, targets) * len(targets)

    def weight(self, targets: Tensor) -> Tensor:
        """Return what the mean of a batch's losses is over: how many targets, or their weights."""
        return torch.tensor(float(len(targets)), device=targets.device)

    def correct(self, outputs: Tensor, targets: Tensor) -> Tensor | None:
        """Return how many of a batch are predicted right, int64; None of what are no classes."""
        if self.targets != "classes":
            return None
        return (self.predict(outputs).argmax(dim=1) == targets).sum()


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
