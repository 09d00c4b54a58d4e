"""One training step: forward, loss, backward, update."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from greensweep.config.schema import TrainingConfig
from greensweep.training.device import autocast, autocast_dtype
from greensweep.training.images import Augmentation, Normalise


def is_left_over(labels: Tensor, training: TrainingConfig) -> bool:
    """Tell whether a batch has one readable image left, on which batch norm cannot train."""
    return len(labels) == 1 < training.batch_size


class TrainingStep:
    """Trains a model on batch after batch.

    Args:
        model: changed in place.
        normalise: puts images where the model is.
        update: over the model's parameters.
    """

    def __init__(
        self, model: nn.Module, normalise: Normalise, training: TrainingConfig, update: Optimizer
    ) -> None:
        self._model = model
        self._normalise = normalise
        self._augment = Augmentation.of(training)
        self._loss = nn.CrossEntropyLoss(label_smoothing=training.label_smoothing)
        self._update = update
        self._device = normalise.device
        self._dtype = autocast_dtype(training.precision, self._device)
        half = self._dtype is torch.float16
        self._scaler = torch.amp.GradScaler(self._device.type, enabled=half)

    def __call__(
        self,
        images: Tensor,
        labels: Tensor,
        watching: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> Tensor:
        """Take one step and return its mean loss, nats, on the device.

        Args:
            watching: what to do the model's forward pass in.
        """
        inputs = self._augment(self._normalise(images))
        labels = labels.to(self._device, non_blocking=True)
        with autocast(self._dtype, self._device):
            with watching():
                outputs = self._model(inputs)
            loss: Tensor = self._loss(outputs, labels)
        self._update.zero_grad(set_to_none=True)
        self._scaler.scale(loss).backward()
        self._scaler.step(self._update)
        self._scaler.update()
        return loss.detach()
