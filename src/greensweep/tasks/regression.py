"""Numbers: one for each input, or several."""

import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from greensweep.tasks.task import Loss, Task


class Regression(Task):
    """Mean squared error.

    Args:
        standardise: outputs stand for targets less the training split's mean, over its standard
            deviation, and so does the loss, in units of their variance: a learning rate then suits
            targets of any unit. Predictions are in the targets' own.
    """

    targets = "values"

    def __init__(
        self,
        training_targets: Tensor,
        size: int,
        *,
        loss: Loss | None = None,
        standardise: bool = True,
    ) -> None:
        super().__init__(training_targets, size, loss=loss)
        self._shape = training_targets.shape[1:]
        self._mean = training_targets.new_zeros(self._shape)
        self._deviation = torch.ones_like(self._mean)
        if standardise:
            variance, self._mean = torch.var_mean(training_targets, dim=0, correction=0)
            self._deviation = torch.where(variance > 0, variance.sqrt(), 1.0)
        self._training_loss = loss or mse_loss

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        # Outputs of shape (B, 1) less targets of shape (B,) would be (B, B).
        standardised = (targets - self._mean) / self._deviation
        return self._training_loss(outputs.reshape(targets.shape), standardised)

    def predict(self, outputs: Tensor) -> Tensor:
        return outputs.reshape(len(outputs), *self._shape) * self._deviation + self._mean
