"""One training step: forward, loss, backward, update."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from copy import copy

import torch
from torch import Tensor, nn
from torch.distributions import Beta
from torch.nn.utils import clip_grad_norm_
from torch.optim import Optimizer

from greensweep.config.schema import TrainingConfig
from greensweep.data.split import Batch, cut_batches
from greensweep.errors import ConfigError
from greensweep.tasks import Task
from greensweep.training.device import autocast, autocast_dtype
from greensweep.training.images import Augmentation, Normalise


def is_left_over(labels: Tensor, training: TrainingConfig) -> bool:
    """Tell whether a batch has one readable image left, on which batch norm cannot train."""
    return len(labels) == 1 < training.batch_size


class TrainingStep:
    """Trains a model, in place, on batch after batch, which `normalise` puts where the model is.

    A step takes `training.accumulate` batches at once, and computes on one after the other.

    Args:
        gather: makes images and labels of what a batch holds; None where it holds these.

    Attributes:
        watching: what to do the model's forward pass in.
    """

    def __init__(
        self,
        model: nn.Module,
        normalise: Normalise,
        task: Task,
        training: TrainingConfig,
        update: Optimizer,
        gather: Callable[..., Batch] | None = None,
    ) -> None:
        self.model = model
        self.forward: Callable[..., Tensor] = model
        self.device = normalise.device
        self.update = update
        self.watching: Callable[[], AbstractContextManager[None]] = nullcontext
        self._normalise, self._gather = normalise, gather
        self._augment = Augmentation(training)
        self._task = task
        self._accumulate, self._batch_size = training.accumulate, training.batch_size
        self._clip_norm = training.clip_norm
        self._mixing: Beta | None = None
        if training.mixup > 0:
            alpha = torch.tensor(training.mixup, device=self.device)
            self._mixing = Beta(alpha, alpha, validate_args=False)  # which a GPU is waited for
        dtype = autocast_dtype(training.precision, self.device)
        self._casting = autocast(dtype, self.device)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=dtype is torch.float16)

    def __call__(self, *batch: Tensor) -> Tensor:
        """Take one step and return its mean loss, nats, on the device, which is not waited for."""
        loss = self.backward(*batch)
        self.change_weights()
        return loss

    def change_weights(self) -> None:
        """Change the weights by their gradients."""
        if self._clip_norm is not None:
            self.scaler.unscale_(self.update)
            clip_grad_norm_(self.model.parameters(), self._clip_norm)
        self.scaler.step(self.update)
        self.scaler.update()

    def backward(self, *batch: Tensor) -> Tensor:
        """Take a step up to its gradients, which are scaled in float16, and return its loss."""
        images, labels = batch if self._gather is None else self._gather(*batch)
        if self._accumulate == 1:
            with self._casting:
                loss = self._loss(images, labels)
            self.update.zero_grad(set_to_none=True)
            self.scaler.scale(loss).backward()
            return loss.detach()
        sizes = [len(part) for part in cut_batches(torch.arange(len(labels)), self._batch_size)]
        total = torch.zeros((), device=self.device)
        self.update.zero_grad(set_to_none=True)
        for part in zip(images.split(sizes), labels.split(sizes), strict=True):
            with self._casting:
                loss = self._loss(*part) * (len(part[1]) / len(labels))
            self.scaler.scale(loss).backward()
            total += loss.detach()
        return total

    def compiled(self) -> "TrainingStep":
        """Return the same step with its forward pass, and so its backward pass, compiled."""
        other = copy(self)
        # PyTorch's own random numbers, as in the step that is not compiled.
        compiled = torch.compile(self._loss, dynamic=False, options={"fallback_random": True})
        other._loss = compiled  # type: ignore[method-assign]
        return other

    def _loss(self, images: Tensor, labels: Tensor) -> Tensor:
        inputs = self._augment(self._normalise(images))
        if self._mixing is not None:
            if not inputs.is_floating_point():
                raise ConfigError("training.mixup mixes numbers, not ids: set training.mixup=0")
            share = self._mixing.sample()
            inputs = torch.lerp(inputs.flip(0), inputs, share)
        with self.watching():
            outputs = self.forward(inputs)
        labels = labels.to(self.device, non_blocking=True)
        loss = self._task.loss(outputs, labels)
        if self._mixing is None:
            return loss
        return torch.lerp(self._task.loss(outputs, labels.flip(0)), loss, share)
