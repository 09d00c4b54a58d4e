"""A split: images and labels, held in memory or read batch by batch."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate

from greensweep.errors import DataError
from greensweep.resources import usable_cores

Batch = tuple[Tensor, Tensor]
StreamedItem = tuple[Tensor | None, int]


def loader_workers() -> int:
    """Processes that read images for a streamed split: one per usable core but one, 8 at most."""
    return min(8, usable_cores() - 1)


class Split(Protocol):
    """Labelled images of one size."""

    @property
    def labels(self) -> Tensor:
        """Class indices, int64, shape (N,)."""

    def __len__(self) -> int: ...

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height and width."""

    def select(self, indices: Tensor) -> "Split":
        """Return the split of the images at `indices`, int64, shape (M,)."""

    def to(self, device: torch.device) -> "Split":
        """Return the split as `device` reads it fastest."""

    def batches(self, order: Sequence[Tensor]) -> Iterator[Batch]:
        """Yield images (B, C, H, W), not normalised, and labels (B,) for each index tensor."""


@dataclass(frozen=True)
class TensorSplit:
    """A split whole in memory: uint8 (or float32) images of shape (N, C, H, W)."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        channels, height, width = self.images.shape[1:]
        return channels, height, width

    def select(self, indices: Tensor) -> "TensorSplit":
        return TensorSplit(self.images[indices], self.labels[indices])

    def to(self, device: torch.device) -> "TensorSplit":
        return TensorSplit(self.images.to(device), self.labels.to(device))

    def gather(self, indices: Tensor) -> Batch:
        """Return the batch at `indices`, which lie where the images do."""
        return self.images.index_select(0, indices), self.labels.index_select(0, indices)

    def indices(self, order: Sequence[Tensor]) -> Sequence[Tensor]:
        """Return `order` where the images lie: by one copy, since a GPU is waited for at each."""
        device = self.images.device
        if device.type == "cpu":
            return order
        placed = torch.cat(list(order)).to(device)
        return list(torch.split(placed, [len(each) for each in order]))

    def batches(self, order: Sequence[Tensor]) -> Iterator[Batch]:
        return map(self.gather, self.indices(order))


@dataclass(frozen=True)
class StreamedSplit:
    """A split too large for memory: a map-style data set of (image tensor or None, label).

    An item whose image is None is left out of its batch.
    """

    dataset: Dataset[StreamedItem]
    labels: Tensor
    image_shape: tuple[int, int, int]
    workers: int = 0

    def __len__(self) -> int:
        return len(self.labels)

    def select(self, indices: Tensor) -> "StreamedSplit":
        subset = torch.utils.data.Subset(self.dataset, indices.tolist())
        return StreamedSplit(subset, self.labels[indices], self.image_shape, self.workers)

    def to(self, device: torch.device) -> "StreamedSplit":
        return self

    def batches(self, order: Sequence[Tensor]) -> Iterator[Batch]:
        loader = DataLoader(
            _ErrorsAsItems(self.dataset),
            batch_sampler=[indices.tolist() for indices in order],
            num_workers=self.workers,
            collate_fn=_collate_readable,
            pin_memory=torch.cuda.is_available(),
        )
        for batch in loader:
            if isinstance(batch, DataError):
                raise batch
            if batch is not None:
                yield batch


class _ErrorsAsItems(Dataset[StreamedItem | DataError]):
    """Hands an item's DataError on, for a worker would wrap it into the text of its traceback."""

    def __init__(self, dataset: Dataset[StreamedItem]):
        self.dataset = dataset

    def __getitem__(self, index: int) -> StreamedItem | DataError:
        try:
            return self.dataset[index]
        except DataError as error:
            return error


def _collate_readable(items: list[StreamedItem | DataError]) -> Batch | DataError | None:
    readable = []
    for item in items:
        if isinstance(item, DataError):
            return item
        if item[0] is not None:
            readable.append(item)
    if not readable:
        return None
    images, labels = default_collate(readable)
    return images, labels
