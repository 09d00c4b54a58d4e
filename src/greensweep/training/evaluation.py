"""Accuracy and loss of a network over a split, in evaluation mode."""

from dataclasses import dataclass

import torch
from torch import nn

from greensweep.data import Split
from greensweep.training.device import autocast
from greensweep.training.images import Normalise


@dataclass(frozen=True)
class Evaluation:
    """Result over one split.

    Attributes:
        accuracy: share of images whose largest output is their class, 0 to 1.
        loss: mean cross-entropy without label smoothing, nats.
        images: how many images were seen.
    """

    accuracy: float
    loss: float
    images: int


@torch.inference_mode()
def evaluate(
    model: nn.Module,
    split: Split,
    normalise: Normalise,
    *,
    batch_size: int,
    dtype: torch.dtype | None = None,
) -> Evaluation:
    """Evaluate `model` on `split` in its stored order; `dtype` casts as in training."""
    model.eval()
    device = normalise.device
    correct = torch.zeros((), dtype=torch.int64, device=device)
    loss = torch.zeros((), dtype=torch.float64, device=device)
    seen = 0
    for images, labels in split.batches(torch.arange(len(split)).split(batch_size)):
        labels = labels.to(device)
        with autocast(dtype, device):
            outputs = model(normalise(images)).float()
        correct += (outputs.argmax(dim=1) == labels).sum()
        loss += nn.functional.cross_entropy(outputs, labels, reduction="sum")
        seen += len(labels)
    return Evaluation(correct.item() / seen, loss.item() / seen, seen)
