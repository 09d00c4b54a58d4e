"""One training step: forward, loss, backward, update."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from copy import copy

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from greensweep.config.schema import TrainingConfig
from greensweep.tasks import Task
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
        task: whose loss is lowered.
        update: over the model's parameters.
    """

    def __init__(
        self,
        model: nn.Module,
        normalise: Normalise,
        task: Task,
        training: TrainingConfig,
        update: Optimizer,
    ) -> None:
        self.model = model
        self.device = normalise.device
        self.update = update
        self._normalise = normalise
        self._augment = Augmentation.of(training)
        self._task = task
        dtype = autocast_dtype(training.precision, self.device)
        self._casting = autocast(dtype, self.device)
        half = dtype is torch.float16
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=half)

    def __call__(
        self,
        images: Tensor,
        labels: Tensor,
        watching: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> Tensor:
        """Take one step and return its mean loss, nats, on the device, which is not waited for.

        Args:
            watching: what to do the model's forward pass in.
        """
        loss = self.backward(images, labels, watching)
        self.scaler.step(self.update)
        self.scaler.update()
        return loss

    def backward(
        self,
        images: Tensor,
        labels: Tensor,
        watching: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> Tensor:
        """Take a step up to its gradients, which are scaled in float16, and return its loss."""
        with self._casting:
            loss = self._loss(images, labels, watching)
        self.update.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()
        return loss.detach()

    def compiled(self) -> "TrainingStep":
        """Return the same step with its forward pass, and so its backward pass, compiled."""
        other = copy(self)
        # PyTorch's own random numbers, as in the step that is not compiled.
        compiled = torch.compile(self._loss, dynamic=False, options={"fallback_random": True})
        other._loss = compiled  # type: ignore[method-assign]
        return other

    def _loss(
        self,
        images: Tensor,
        labels: Tensor,
        watching: Callable[[], AbstractContextManager[None]],
    ) -> Tensor:
        inputs = self._augment(self._normalise(images))
        with watching():
            outputs = self.model(inputs)
        labels = labels.to(self.device, non_blocking=True)
        return self._task.loss(outputs, labels)
