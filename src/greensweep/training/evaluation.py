"""Loss and metrics of a network over a split."""

import math
import time
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from greensweep.data import Split
from greensweep.data.split import shuffled_batches
from greensweep.energy import synchronize
from greensweep.errors import DataError, TrainingError
from greensweep.tasks import Scores, Task
from greensweep.training.device import autocast, computing
from greensweep.training.images import Normalise
from greensweep.training.state import buffers_kept

_ORDER_SEED = 0  # of the mixed batches: two evaluations of one network give the same


@dataclass(frozen=True)
class Evaluation:
    """Result over one split.

    Attributes:
        accuracy: share of images whose largest output is their class, 0 to 1; None of a task
            without classes.
        loss: mean of the task's; of a classification the cross-entropy without label smoothing and
            class weights, nats.
        images: how many images were seen.
        metrics: by name; None where one is undefined.
    """

    accuracy: float | None
    loss: float
    images: int
    metrics: Mapping[str, float | None] = field(default_factory=dict)


@torch.inference_mode()
def evaluate(
    model: nn.Module,
    split: Split,
    normalise: Normalise,
    task: Task,
    *,
    batch_size: int,
    scores: Scores | None = None,
    name: str = "validation",
    dtype: torch.dtype | None = None,
    evaluation_mode: bool = True,
) -> Evaluation:
    """Evaluate `model` on `split`; `dtype` casts as in training.

    Args:
        scores: computes metrics; predictions are collected where these need them.
        name: of the split, for messages.
        evaluation_mode: False evaluates as in training, so that batch norm takes the statistics
            of each batch and the figures depend on `batch_size`. The batches are those of one
            random order, always the same. Buffers and PyTorch's random state are afterwards as
            they were.

    Raises:
        DataError: none of the images could be read.
        TrainingError: the outputs are not finite, memory ran out, or the model failed.
    """
    device = normalise.device
    if evaluation_mode:
        batches = list(torch.arange(len(split)).split(batch_size))
    else:
        # A folder of images has one class after the other. Normalised by the statistics of its own
        # class, an image no longer tells which it is of.
        order = torch.Generator().manual_seed(_ORDER_SEED)
        batches = shuffled_batches(len(split), batch_size, order)
    correct: Tensor | None = None
    collected: list[tuple[Tensor, Tensor]] = []
    collects = scores is not None and scores.need_predictions
    total = torch.zeros((), dtype=torch.float64, device=device)
    seen = 0
    with (
        computing("evaluation failed", batch_size, option="training.evaluation_batch_size"),
        # A network that is never put in evaluation mode reads no running statistics. What training
        # mode does to them is undone all the same: `model.pt` holds what training did.
        nullcontext() if evaluation_mode else buffers_kept(model, device),
    ):
        model.train(not evaluation_mode)
        for images, targets in split.batches(batches):
            targets = targets.to(device, non_blocking=True)
            with autocast(dtype, device):
                outputs = model(normalise(images)).float()
            right = task.correct(outputs, targets)
            correct = right if correct is None or right is None else correct + right
            total += task.total_loss(outputs, targets)
            if collects:
                collected.append((targets, task.predict(outputs)))
            seen += len(targets)
        if seen == 0:
            raise DataError("no image of the split could be read: check the data set's files")
        loss = total.item() / seen
    # The last step of training may have broken the weights after its loss was looked at.
    if not math.isfinite(loss):
        raise TrainingError(
            f"the evaluation loss became {loss:g}, the network's outputs are not numbers: "
            "set a smaller optimizer.learning_rate"
        )
    accuracy = None if correct is None else correct.item() / seen
    metrics: Mapping[str, float | None] = {}
    if scores is not None:
        whole = [torch.cat(parts).cpu().numpy() for parts in zip(*collected, strict=True)]
        metrics = scores.compute(*(whole or (None, None)), accuracy=accuracy, split=name)
    return Evaluation(accuracy, loss, seen, metrics)


@torch.inference_mode()
def infer(
    model: nn.Module,
    split: Split,
    normalise: Normalise,
    *,
    batch_size: int,
    dtype: torch.dtype | None = None,
    seconds: float = 0.0,
) -> int:
    """Run `model` on `split`, again until `seconds` have passed, and return the images seen.

    Raises:
        DataError: none of the images could be read.
        TrainingError: memory ran out, or the model failed.
    """
    model.eval()
    device = normalise.device
    seen = 0
    began = time.monotonic()
    with computing("inference failed", batch_size, option="inference.batch_size"):
        while seen == 0 or time.monotonic() - began < seconds:
            for images, _ in split.batches(torch.arange(len(split)).split(batch_size)):
                with autocast(dtype, device):
                    model(normalise(images))
                seen += len(images)
            synchronize()
            if seen == 0:
                raise DataError("no image of the split could be read: check the data set's files")
    return seen


@torch.inference_mode()
def predict(
    model: nn.Module,
    inputs: Tensor,
    normalise: Normalise,
    task: Task,
    *,
    batch_size: int,
    dtype: torch.dtype | None = None,
) -> np.ndarray:
    """Return what `task` predicts of inputs (N, …): probabilities (N, K), or values.

    Raises:
        TrainingError: memory ran out, or the model failed.
    """
    model.eval()
    found = []
    with computing("prediction failed", batch_size, option="batch_size"):
        for batch in inputs.split(batch_size):
            with autocast(dtype, normalise.device):
                outputs = model(normalise(batch)).float()
            found.append(task.predict(outputs).cpu().numpy())
    return np.concatenate(found)
