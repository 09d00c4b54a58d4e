"""The training loop, as a generator of epochs."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from greensweep.config.schema import OptimizerConfig, SchedulerConfig, TrainingConfig
from greensweep.data import Split
from greensweep.errors import ConfigError, DataError, TrainingError
from greensweep.training.batches import batches_of_epochs, cut_batches
from greensweep.training.device import autocast, autocast_dtype
from greensweep.training.faults import computing
from greensweep.training.images import Normalise
from greensweep.training.optimizers import build_optimizer, build_schedule
from greensweep.training.step import TrainingStep, is_left_over
from greensweep.training.undo import buffers_kept

# Looking at the loss waits for a GPU, so a diverged loss is noticed within so many steps.
_LOSS_CHECK_STEPS = 50


@dataclass(frozen=True)
class Epoch:
    """One pass over the training split.

    Attributes:
        number: 1 for the first.
        loss: mean training loss over the pass, nats.
        learning_rate: rate of the last step.
    """

    number: int
    loss: float
    learning_rate: float


def train(
    model: nn.Module,
    split: Split,
    normalise: Normalise,
    *,
    training: TrainingConfig,
    optimizer: OptimizerConfig,
    scheduler: SchedulerConfig,
    seed: int,
) -> Iterator[Epoch]:
    """Train `model` in place and yield after each epoch; stop early by not asking for the next.

    What can be made before the first step is made in the call, so that the windows around the
    epochs hold training only.

    Args:
        split: where `normalise` puts its batches.
        seed: seeds the order of the images.

    Raises:
        ConfigError: a batch larger than the split.
        DataError: no image could be read.
        ModelError: nothing to train in the model.
        TrainingError: the loss is no longer finite, memory ran out, or the model failed.
    """
    if training.batch_size > len(split):
        raise ConfigError(
            f"training.batch_size must be at most the {len(split)} training images, got "
            f"{training.batch_size}: set training.batch_size={min(64, len(split))}"
        )
    steps = len(cut_batches(torch.arange(len(split)), training.batch_size))
    update = build_optimizer(optimizer, model.parameters())
    schedule = build_schedule(scheduler, update, steps * training.epochs)
    return _epochs(model, split, normalise, training, update, schedule, seed)


def _epochs(
    model: nn.Module,
    split: Split,
    normalise: Normalise,
    training: TrainingConfig,
    update: Optimizer,
    schedule: LRScheduler | None,
    seed: int,
) -> Iterator[Epoch]:
    orders = batches_of_epochs(
        len(split),
        training.batch_size,
        torch.Generator().manual_seed(seed),
        reshuffle=training.reshuffle,
    )
    step = TrainingStep(model, normalise, training, update)

    for number, batches in zip(range(1, training.epochs + 1), orders, strict=False):
        model.train()
        total, seen = torch.zeros((), dtype=torch.float64, device=normalise.device), 0
        rate = update.param_groups[0]["lr"]
        with computing(
            f"training failed in epoch {number}",
            training.batch_size,
            smaller="training.batch_size lower",
        ):
            for index, (images, labels) in enumerate(split.batches(batches)):
                if is_left_over(labels, training):
                    continue
                loss = step(images, labels)
                rate = update.param_groups[0]["lr"]
                if schedule is not None:
                    schedule.step()
                total += loss * len(labels)
                seen += len(labels)
                if index % _LOSS_CHECK_STEPS == 0:
                    _check_finite(total, number)
            if seen == 0:
                raise DataError("no training image could be read: check the data set's files")
            _check_finite(total, number)
        yield Epoch(number, total.item() / seen, rate)


def _check_finite(total_loss: Tensor, epoch: int) -> None:
    if not math.isfinite(total_loss.item()):
        raise TrainingError(
            f"the training loss became {total_loss.item():g} in epoch {epoch}: "
            "set a smaller optimizer.learning_rate"
        )


def warm_up(
    model: nn.Module, split: Split, normalise: Normalise, *, training: TrainingConfig
) -> None:
    """Run one batch forward and backward and undo what it did to the model.

    The first pass of a shape prepares kernels and memory; without this, the first window would
    be charged for it.

    Raises:
        TrainingError: memory ran out, or the model failed.
    """
    device = normalise.device
    dtype = autocast_dtype(training.precision, device)
    first = [torch.arange(min(training.batch_size, len(split)))]
    model.train()
    with (
        buffers_kept(model, device),
        computing(
            "training failed in its first step",
            training.batch_size,
            smaller="training.batch_size lower",
        ),
    ):
        for images, labels in split.batches(first):
            if is_left_over(labels, training):
                continue
            with autocast(dtype, device):
                outputs = model(normalise(images))
                loss = nn.functional.cross_entropy(outputs, labels.to(device))
            loss.backward()
    model.zero_grad(set_to_none=True)
