"""One process's part of a training on several devices (DistributedDataParallel, Li et al. 2020).

Each rank takes its part of each batch, and the gradients of all are summed, so that a step is the
one that a single device would take on the whole batch.
"""

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from greensweep.config.schema import TrainingConfig
from greensweep.data import Split, StreamedSplit
from greensweep.data.split import Batch, cut_batches
from greensweep.tasks import Task
from greensweep.training.device import computing
from greensweep.training.freezing import begin_training
from greensweep.training.images import Normalise
from greensweep.training.loop import Training
from greensweep.training.state import buffers_kept
from greensweep.training.step import TrainingStep


def part_of(batch: Tensor, rank: int, ranks: int) -> Tensor:
    """Return a rank's part of a batch: of a small one some have none, for none has one sample.

    Batch norm has no statistics of one value.
    """
    parts = batch.tensor_split(max(min(ranks, len(batch) // 2), 1))
    return parts[rank] if rank < len(parts) else batch[:0]


class SharedStep(TrainingStep):
    """A step that all ranks take together, each on its part of the batches.

    Args:
        blank: a batch that counts for nothing, of a rank that has no sample.
        counts_read: whether samples that cannot be read are left out of their batches.
    """

    def __init__(
        self,
        model: nn.Module,
        normalise: Normalise,
        task: Task,
        training: TrainingConfig,
        update: Optimizer,
        *,
        blank: Batch,
        counts_read: bool,
    ) -> None:
        super().__init__(model, normalise, task, training, update)
        self._blank, self._counts_read = blank, counts_read

    def prepare(self, batch: Batch | None) -> None:
        """Join the ranks, once a first pass shows which parameters a step uses."""
        with self._casting:
            loss = self._loss(*batch or self._blank)
        self.scaler.scale(loss).backward()
        trained = [each for each in self.model.parameters() if each.requires_grad]
        unused = torch.tensor(float(any(each.grad is None for each in trained)), device=self.device)
        dist.all_reduce(unused)
        self.update.zero_grad(set_to_none=True)
        self.forward = DistributedDataParallel(
            self.model,
            device_ids=[self.device] if self.device.type == "cuda" else None,
            find_unused_parameters=bool(unused),
            gradient_as_bucket_view=True,
        )

    def take(self, parts: Sequence[Batch | None], sizes: Sequence[int]) -> tuple[Tensor, int]:
        """Take a step; return its mean loss and samples, those of all ranks.

        Args:
            parts: of each batch of the step what is this rank's; None is nothing.
            sizes: of the batches.
        """
        loss, samples = self.backward_on(parts, sizes)
        if samples:
            self.change_weights()
        return loss, samples

    def backward_on(
        self, parts: Sequence[Batch | None], sizes: Sequence[int]
    ) -> tuple[Tensor, int]:
        """Take a step up to its gradients, which are all ranks' mean."""
        joined: Any = self.forward
        self.update.zero_grad(set_to_none=True)
        total, samples = torch.zeros(2, dtype=torch.float64, device=self.device)
        for number, (batch, size) in enumerate(zip(parts, sizes, strict=True), 1):
            with nullcontext() if number == len(parts) else joined.no_sync():
                inputs, targets = batch or self._blank
                with self._casting:
                    loss = self._loss(inputs, targets)
                # The batch's sum of losses, what their mean is over, and its samples.
                whole = torch.zeros(3, dtype=torch.float64, device=self.device)
                if batch is not None:
                    weight = self._task.weight(targets.to(self.device))
                    whole[0], whole[1], whole[2] = loss.detach() * weight, weight, len(targets)
                own, ranks = whole[1].clone(), dist.get_world_size()
                dist.all_reduce(whole)
                over, part = whole[1].clamp_min(1e-30), size / sum(sizes)
                # DistributedDataParallel divides the sum of gradients by the ranks.
                self.scaler.scale(loss * (own * ranks / over * part).to(loss.dtype)).backward()
            total += whole[0] / over * part
            samples += whole[2]
        # A GPU is waited for only where files may be unreadable.
        return total, int(samples) if self._counts_read else sum(sizes)


class RankTraining(Training):
    """The training of one of several ranks, all of which iterate side by side.

    Args:
        options: as of `Training`.

    Raises:
        GreensweepError: as of `Training`.
    """

    def __init__(
        self, model: nn.Module, split: Split, normalise: Normalise, task: Task, **options: Any
    ) -> None:
        self._rank, self._ranks = dist.get_rank(), dist.get_world_size()
        if isinstance(split, StreamedSplit):
            split = replace(split, workers=split.workers // self._ranks)
        super().__init__(model, split, normalise, task, **options)
        shape, labels = split.input_shape, split.labels
        self._shared = SharedStep(
            model,
            normalise,
            task,
            self._config,
            self._plain.update,
            blank=(
                torch.zeros((2, *shape), dtype=split.input_dtype),
                labels.new_zeros((2, *labels.shape[1:])),
            ),
            counts_read=isinstance(split, StreamedSplit),
        )
        self._plain = self._shared

    def warm_up(self) -> None:
        """Run one step forward and backward on all ranks, and undo it.

        Raises:
            TrainingError: memory ran out, or the model failed.
        """
        step, model = self._shared, self.network
        begin_training(model)
        with computing("training failed in its first step", self._config.batch_size):
            parts, sizes = next(self._batches([torch.arange(self._step_size)]))
            with buffers_kept(model, step.device):
                step.prepare(parts[0])
                step.backward_on(parts, sizes)
            step.update.zero_grad(set_to_none=True)

    def _step(self, batch: Any) -> tuple[Tensor | None, int]:
        loss, samples = self._shared.take(*batch)
        return loss if samples else None, samples

    def _batches(
        self, order: Sequence[Tensor]
    ) -> Iterator[tuple[Sequence[Batch | None], Sequence[int]]]:
        """Yield, step by step, this rank's part of each batch, and the size of that batch."""
        steps = [cut_batches(each, self._config.batch_size) for each in order]
        own = [[part_of(batch, self._rank, self._ranks) for batch in step] for step in steps]
        read = self._split.batches_or_none([part for step in own for part in step if len(part)])
        for step, parts in zip(steps, own, strict=True):
            batches = [_several(next(read)) if len(part) else None for part in parts]
            yield batches, [len(batch) for batch in step]


def _several(batch: Batch | None) -> Batch | None:
    """Return a batch, or None of one of which a single sample could be read."""
    return None if batch is None or len(batch[1]) < 2 else batch
