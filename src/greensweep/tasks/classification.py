"""One class of several for each input."""

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from greensweep.tasks.task import Loss, Task, listed_weights

# A share that is this many times an equal one, and at least half of all.
_TIMES = 1.5


class Classification(Task):
    """Cross-entropy of the outputs' softmax, nats.

    Args:
        class_weights: of each class in the training loss, whose mean is over weights; `balanced`
            weighs all samples of a class as much as all of any other (King and Zeng 2001): the
            samples over the classes and the samples of the class.
        label_smoothing: of the training loss. A split is evaluated without either.
    """

    targets = "classes"

    def __init__(
        self,
        training_targets: Tensor,
        size: int,
        *,
        loss: Loss | None = None,
        class_weights: str | Sequence[float] | None = None,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(training_targets, size, loss=loss)
        weights = None
        if class_weights == "balanced":
            counts = torch.bincount(training_targets, minlength=size).clamp_min(1)
            weights = len(training_targets) / (size * counts)
        elif class_weights is not None:
            weights = listed_weights(class_weights, training_targets, size, "classes")
        self._weights = weights if loss is None else None
        self._training_loss = loss or partial(
            cross_entropy, weight=weights, label_smoothing=label_smoothing
        )

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return self._training_loss(outputs, targets)

    def weight(self, targets: Tensor) -> Tensor:
        return super().weight(targets) if self._weights is None else self._weights[targets].sum()

    def predict(self, outputs: Tensor) -> Tensor:
        return outputs.softmax(dim=1)

    def total_loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        if self.own_loss is not None:
            return super().total_loss(outputs, targets)
        return cross_entropy(outputs, targets, reduction="sum")

    def correct(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return (outputs.argmax(dim=1) == targets).sum()


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
