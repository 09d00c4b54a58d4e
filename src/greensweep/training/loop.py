"""The training loop, epoch by epoch."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import ReduceLROnPlateau
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from greensweep.config import schema
from greensweep.data import Split, TensorSplit, noun
from greensweep.data.split import cut_batches, shuffled_batches
from greensweep.errors import ConfigError, ModelError, describe
from greensweep.tasks import Task
from greensweep.training.capture import Capture, Recorder, Step, capture_step
from greensweep.training.cuda_graph import cuda_graph
from greensweep.training.device import computing
from greensweep.training.freezing import begin_training
from greensweep.training.images import Normalise, check_for_images
from greensweep.training.optimizers import build_optimizer, build_schedule, step_schedule
from greensweep.training.running_loss import RunningLoss
from greensweep.training.state import buffers_kept, load_optimizer, random_state, set_random_state
from greensweep.training.step import TrainingStep, is_left_over

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


class Training:
    """Trains a model in place: each item is an epoch, and not asking for the next stops.

    What can be made before the first step is made at once, so that the windows around the epochs
    hold training only. Iterate once.

    Args:
        split: where `normalise` puts its batches.
        seed: seeds the order of the images, which is the same on every device.
        graph: captures a step; None is by CUDA graphs, where there is a GPU.

    Attributes:
        capture: how its steps are taken; `warm_up` chooses.
        model: what is evaluated and kept: the network, or the average of its weights.
        network: what is trained.
        evaluation_loss: after the last epoch, by which a schedule may go; set by who evaluates.

    Raises:
        ConfigError: a batch larger than the split, an option of images for other inputs, or no
            such optimizer or schedule.
        ModelError: nothing to train in the model, or it cannot be copied for an average.
    """

    def __init__(
        self,
        model: nn.Module,
        split: Split,
        normalise: Normalise,
        task: Task,
        *,
        training: schema.TrainingConfig,
        optimizer: schema.OptimizerConfig,
        scheduler: schema.SchedulerConfig,
        seed: int,
        graph: Recorder | None = None,
    ) -> None:
        check_for_images(training, split.input_shape)
        if training.batch_size > len(split):
            raise ConfigError(
                f"training.batch_size must be at most the {len(split)} training "
                f"{noun(split.input_shape)}s, got "
                f"{training.batch_size}: set training.batch_size={min(64, len(split))}"
            )
        self._split, self._config, self._seed = split, training, seed
        self._step_size = min(training.batch_size * training.accumulate, len(split))
        self._steps = training.epochs * len(cut_batches(torch.arange(len(split)), self._step_size))
        update = build_optimizer(optimizer, model.parameters())
        self._schedule = build_schedule(scheduler, update, self._steps)
        own = scheduler if isinstance(scheduler, schema.CustomSchedulerConfig) else None
        self._by_epoch = own is not None and own.interval == "epoch"
        gather = split.gather if isinstance(split, TensorSplit) else None
        self._plain = TrainingStep(model, normalise, task, training, update, gather)
        self._take: Step = self._plain
        self._graph: Recorder | str = graph or "CUDA graphs need a GPU"
        if graph is None and normalise.device.type == "cuda":
            self._graph = cuda_graph
        if own is not None or isinstance(optimizer, schema.CustomOptimizerConfig):
            # What others change from step to step, a graph may hold as it was.
            self._graph = "CUDA graphs are of Greensweep's own optimizers and schedules"
        self.capture = Capture("none", "no warm-up")
        self.evaluation_loss: float | None = None
        self._average = None if training.ema is None else _average(model, training.ema)
        self.network = model
        self.model = model if self._average is None else self._average.module
        self._done, self._loss = 0, 0.0  # the last epoch

    def __iter__(self) -> Iterator[Epoch]:
        """Train, and yield after each epoch.

        Raises:
            DataError: no image could be read.
            TrainingError: the loss is no longer finite, memory ran out, or the model failed.
        """
        training, update = self._config, self._plain.update
        generator = torch.Generator().manual_seed(self._seed)
        order: list[Tensor] = []
        if self._done:
            self._end_epoch()
        for number in range(1, training.epochs + 1):
            if training.reshuffle or not order:
                order = shuffled_batches(len(self._split), self._step_size, generator)
            if number <= self._done:
                continue  # its order is drawn, by which that of the next follows
            begin_training(self._plain.model)
            total = RunningLoss(number, self._plain.device)
            rate = update.param_groups[0]["lr"]
            with computing(f"training failed in epoch {number}", training.batch_size):
                for index, batch in enumerate(self._batches(order)):
                    loss, samples = self._step(batch)
                    if loss is None:
                        continue
                    total.add(loss, samples)
                    if self._average is not None:
                        self._average.update_parameters(self._plain.model)
                    if self._schedule is not None and not self._by_epoch:
                        (rate,) = self._schedule.get_last_lr()
                        step_schedule(self._schedule)
                    if index % _LOSS_CHECK_STEPS == 0:
                        total.look()
                self._done, self._loss = number, total.mean()
            yield Epoch(number, self._loss, float(rate))
            self._end_epoch()

    def _end_epoch(self) -> None:
        """Step a schedule that goes by epochs, once the epoch is evaluated."""
        if isinstance(self._schedule, ReduceLROnPlateau):
            known = self.evaluation_loss
            step_schedule(self._schedule, self._loss if known is None else known)
        elif self._schedule is not None and self._by_epoch:
            step_schedule(self._schedule)

    def state(self) -> dict[str, Any]:
        """Return what beside the network's own state decides how the next epochs go."""
        parts = {"average": self._average, "schedule": self._schedule}
        return {
            "epoch": self._done,
            "loss": self._loss,
            "evaluation_loss": self.evaluation_loss,
            "optimizer": self._plain.update.state_dict(),
            "scale": self._plain.scaler.state_dict(),
            **{name: None if part is None else part.state_dict() for name, part in parts.items()},
            "random": random_state(),
        }

    def resume(self, state: Mapping[str, Any]) -> None:
        """Go on after the epoch of a kept state; the network has its own back, and is warmed up."""
        self._done, self._loss = state["epoch"], state["loss"]
        self.evaluation_loss = state["evaluation_loss"]
        load_optimizer(self._plain.update, state["optimizer"])
        if state["scale"]:
            self._plain.scaler.load_state_dict(state["scale"])
        if self._average is not None:
            self._average.load_state_dict(state["average"])
        if self._schedule is not None:
            self._schedule.load_state_dict(state["schedule"])
        set_random_state(state["random"])

    def warm_up(self) -> None:
        """Run one batch forward and backward, choose how steps are taken, and undo all of it.

        The first pass of a shape prepares kernels and memory; without this, the first window
        would be charged for it, and for capturing a step.

        Raises:
            TrainingError: memory ran out, or the model failed.
        """
        step, training = self._plain, self._config
        begin_training(step.model)
        with computing("training failed in its first step", training.batch_size):
            first = torch.arange(self._step_size)
            batch: tuple[Tensor, ...] = next(self._batches([first]), ())
            if not batch or is_left_over(batch[-1], training):
                self.capture = Capture("none", "the first images cannot be read")
                return
            with buffers_kept(step.model, step.device):
                step.backward(*batch)
            step.update.zero_grad(set_to_none=True)
            self._take, self.capture = capture_step(
                training.capture,
                step,
                tuple(each.to(step.device) for each in batch),
                graph=self._graph,
                batch_size=self._step_size,
                steps=self._steps,
            )

    def close(self) -> None:
        """End what beside this process trains: nothing."""

    def _step(self, batch: Any) -> tuple[Tensor | None, int]:
        """Take a step; return its mean loss, None of one that is left out, and its samples."""
        samples = len(batch[-1])
        return None if is_left_over(batch[-1], self._config) else self._take(*batch), samples

    def _batches(self, order: Sequence[Tensor]) -> Iterator[Any]:
        """Yield indices where the step is to gather by them, else images and labels."""
        if isinstance(self._split, TensorSplit):
            return ((indices,) for indices in self._split.indices(order))
        return self._split.batches(order)


def _average(model: nn.Module, decay: float) -> AveragedModel:
    """Return the exponential moving average of a model's weights, with the model's buffers."""
    try:
        return AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay))
    except Exception as error:
        raise ModelError(
            f"training.ema averages a copy of the model, which cannot be copied "
            f"({describe(error)}): set training.ema=null"
        ) from error
