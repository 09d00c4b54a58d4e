"""Training loops as people write them by hand: what Greensweep's is measured against."""

from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, Dataset


@dataclass(frozen=True)
class RawData:
    """Images whole in memory.

    Attributes:
        images: uint8, shape (N, C, H, W).
        labels: int64, shape (N,).
        mean, deviation: per channel, shape (C, 1, 1), in raw units.
    """

    images: Tensor
    labels: Tensor
    mean: Tensor
    deviation: Tensor


def fused_adam(model: nn.Module, learning_rate: float = 1e-3) -> torch.optim.Optimizer:
    """Return the optimizer of all loops here, Greensweep's default."""
    return torch.optim.Adam(model.parameters(), lr=learning_rate, fused=True)


def bare_epoch(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    data: RawData,
    batch_size: int,
    *,
    order_on: str = "cpu",
    dtype: torch.dtype | None = None,
) -> float:
    """Train one epoch over tensors, with nothing that could be left out; return the last loss.

    Args:
        order_on: the device that draws the order.
        dtype: what autocast casts to; None for float32.
    """
    model.train()
    device = data.images.device.type
    for indices in torch.randperm(len(data.labels), device=order_on).split(batch_size):
        inputs = (data.images[indices].float() - data.mean) / data.deviation
        with nullcontext() if dtype is None else torch.autocast(device, dtype=dtype):
            loss = cross_entropy(model(inputs), data.labels[indices])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return loss.item()


@torch.inference_mode()
def bare_accuracy(model: nn.Module, data: RawData, batch_size: int) -> float:
    """Return the share of images that `model` classes right."""
    model.eval()
    correct = 0
    for indices in torch.arange(len(data.labels)).split(batch_size):
        inputs = (data.images[indices].float() - data.mean) / data.deviation
        correct += int((model(inputs).argmax(dim=1) == data.labels[indices]).sum())
    return correct / len(data.labels)


class PerImageTransforms(Dataset[tuple[Tensor, int]]):
    """The usual data set: each image becomes floats of 0 to 1 and is normalised when asked for."""

    def __init__(self, data: RawData):
        self.data = data
        self.mean, self.deviation = data.mean / 255, data.deviation / 255

    def __len__(self) -> int:
        return len(self.data.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image = self.data.images[index].float().div(255)
        return (image - self.mean) / self.deviation, int(self.data.labels[index])


def loader_epoch(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    loader: DataLoader[Any],
) -> float:
    """Train one epoch over a DataLoader; return the last loss."""
    model.train()
    for inputs, labels in loader:
        loss = cross_entropy(model(inputs), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return loss.item()
