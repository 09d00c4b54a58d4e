"""Any number of labels for each input."""

from collections.abc import Sequence
from functools import partial

from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from greensweep.tasks.task import Loss, Task, listed_weights


class Multilabel(Task):
    """Binary cross-entropy of each output's sigmoid, mean over labels, nats.

    Args:
        class_weights: of each label in the training loss, where it holds; `balanced` weighs its
            samples as much as all others. A split is evaluated without.
    """

    targets = "labels"

    def __init__(
        self,
        training_targets: Tensor,
        size: int,
        *,
        loss: Loss | None = None,
        class_weights: str | Sequence[float] | None = None,
    ) -> None:
        super().__init__(training_targets, size, loss=loss)
        weights = None
        if class_weights == "balanced":
            positives = training_targets.sum(dim=0)
            weights = (len(training_targets) - positives) / positives.clamp_min(1)
        elif class_weights is not None:
            weights = listed_weights(class_weights, training_targets, size, "labels")
        self._training_loss = loss or partial(binary_cross_entropy_with_logits, pos_weight=weights)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return self._training_loss(outputs, targets)

    def predict(self, outputs: Tensor) -> Tensor:
        return outputs.sigmoid()

    def total_loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        if self.own_loss is not None:
            return super().total_loss(outputs, targets)
        return binary_cross_entropy_with_logits(outputs, targets, reduction="sum") / self.size
