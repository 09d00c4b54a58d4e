"""The training loop, epoch by epoch."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from greensweep.config.schema import OptimizerConfig, SchedulerConfig, TrainingConfig
from greensweep.data import Batch, Split, TensorSplit, noun
from greensweep.errors import ConfigError
from greensweep.tasks import Task
from greensweep.training.batches import batches_of_epochs, cut_batches
from greensweep.training.capture import Capture, Recorder, Step, capture_step
from greensweep.training.cuda_graph import cuda_graph
from greensweep.training.faults import computing
from greensweep.training.freezing import begin_training
from greensweep.training.images import Normalise, check_for_images
from greensweep.training.optimizers import build_optimizer, build_schedule
from greensweep.training.running_loss import RunningLoss
from greensweep.training.step import TrainingStep, is_left_over
from greensweep.training.undo import buffers_kept

# A diverged loss is noticed within so many steps; on a GPU, within twice as many.
_LOSS_CHECK_STEPS = 50


@dataclass(frozen=True)
class Epoch:
    """One pass over the training split.

    Attributes:
        number: 1 for the first.
        loss: mean training loss over the pass, nats of a classification.
        learning_rate: rate of the last step.
    """

    number: int
    loss: float
    learning_rate: float


def train(
    model: nn.Module,
    split: Split,
    normalise: Normalise,
    task: Task,
    *,
    training: TrainingConfig,
    optimizer: OptimizerConfig,
    scheduler: SchedulerConfig,
    seed: int,
    graph: Recorder | None = None,
) -> "Training":
    """Prepare to train `model` in place: the epochs are trained as they are asked for.

    What can be made before the first step is made in the call, so that the windows around the
    epochs hold training only.

    Args:
        split: where `normalise` puts its batches.
        seed: seeds the order of the images, which is the same on every device.
        graph: captures a step; None is by CUDA graphs, where there is a GPU.

    Raises:
        ConfigError: a batch larger than the split, or an option of images for other inputs.
        ModelError: nothing to train in the model.
    """
    check_for_images(training, split.input_shape)
    if training.batch_size > len(split):
        raise ConfigError(
            f"training.batch_size must be at most the {len(split)} training "
            f"{noun(split.input_shape)}s, got "
            f"{training.batch_size}: set training.batch_size={min(64, len(split))}"
        )
    steps = training.epochs * len(cut_batches(torch.arange(len(split)), training.batch_size))
    update = build_optimizer(optimizer, model.parameters())
    schedule = build_schedule(scheduler, update, steps)
    step = TrainingStep(model, normalise, task, training, update)
    if graph is None and step.device.type == "cuda":
        graph = cuda_graph
    return Training(step, split, schedule, training, seed, steps, graph)


class Training:
    """Trains a model; each item is an epoch, and not asking for the next stops. Iterate once.

    Attributes:
        capture: how its steps are taken; `warm_up` chooses.
    """

    def __init__(
        self,
        step: TrainingStep,
        split: Split,
        schedule: LambdaLR | None,
        training: TrainingConfig,
        seed: int,
        steps: int,
        graph: Recorder | None,
    ) -> None:
        self.capture = Capture("none", "no warm-up")
        self._plain = step
        self._split = split
        self._schedule = schedule
        self._config = training
        self._seed = seed
        self._steps = steps
        self._graph = graph
        self._gather = split.gather if isinstance(split, TensorSplit) else _as_read
        self._take = self._on_batches(step)

    def __iter__(self) -> Iterator[Epoch]:
        """Train, and yield after each epoch.

        Raises:
            DataError: no image could be read.
            TrainingError: the loss is no longer finite, memory ran out, or the model failed.
        """
        training, update = self._config, self._plain.update
        orders = batches_of_epochs(
            len(self._split),
            training.batch_size,
            torch.Generator().manual_seed(self._seed),
            reshuffle=training.reshuffle,
        )
        for number, order in zip(range(1, training.epochs + 1), orders, strict=False):
            begin_training(self._plain.model)
            total = RunningLoss(number, self._plain.device)
            rate = update.param_groups[0]["lr"]
            with computing(
                f"training failed in epoch {number}",
                training.batch_size,
                smaller="training.batch_size lower",
            ):
                for index, batch in enumerate(self._batches(order)):
                    if is_left_over(batch[-1], training):
                        continue
                    total.add(self._take(*batch), len(batch[-1]))
                    if self._schedule is not None:
                        (rate,) = self._schedule.get_last_lr()
                        self._schedule.step()
                    if index % _LOSS_CHECK_STEPS == 0:
                        total.look()
                loss = total.mean()
            yield Epoch(number, loss, float(rate))

    def warm_up(self) -> None:
        """Run one batch forward and backward, choose how steps are taken, and undo all of it.

        The first pass of a shape prepares kernels and memory; without this, the first window
        would be charged for it, and for capturing a step.

        Raises:
            TrainingError: memory ran out, or the model failed.
        """
        step, training = self._plain, self._config
        begin_training(step.model)
        with computing(
            "training failed in its first step",
            training.batch_size,
            smaller="training.batch_size lower",
        ):
            first = torch.arange(training.batch_size)
            batch: tuple[Tensor, ...] = next(self._batches([first]), ())
            if not batch or is_left_over(batch[-1], training):
                self.capture = Capture("none", "the first images cannot be read")
                return
            with buffers_kept(step.model, step.device):
                step.backward(*self._gather(*batch))
            step.update.zero_grad(set_to_none=True)
            self._take, self.capture = capture_step(
                training.capture,
                step,
                self._on_batches,
                tuple(each.to(step.device) for each in batch),
                graph=self._graph,
                batch_size=training.batch_size,
                steps=self._steps,
            )

    def _batches(self, order: Sequence[Tensor]) -> Iterator[tuple[Tensor, ...]]:
        """Yield indices where the step is to gather by them, else images and labels."""
        if isinstance(self._split, TensorSplit):
            return ((indices,) for indices in self._split.indices(order))
        return self._split.batches(order)

    def _on_batches(self, step: TrainingStep) -> Step:
        """Return the step on what `_batches` yields."""
        gather = self._gather  # not `self`: a cycle would keep a GPU's memory for later
        return lambda *batch: step(*gather(*batch))


def _as_read(images: Tensor, labels: Tensor) -> Batch:
    return images, labels
