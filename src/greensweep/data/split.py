"""A split: inputs and labels, held in memory or read batch by batch."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate

from greensweep.config.metrics import Targets as Targets
from greensweep.errors import DataError
from greensweep.resources import usable_cores

Batch = tuple[Tensor, Tensor]
_FEW_SAMPLES = 8

StreamedItem = tuple[Tensor | None, int | Tensor]


def is_image(input_shape: Sequence[int]) -> bool:
    """Tell whether a sample of this shape is an image: channels, height and width."""
    return len(input_shape) == 3


def noun(input_shape: Sequence[int]) -> str:
    """Return what a sample of this shape is called."""
    return "image" if is_image(input_shape) else "sample"


def loader_workers() -> int:
    """Processes that read images for a streamed split: one per usable core but one, 8 at most."""
    return min(8, usable_cores() - 1)


@dataclass(frozen=True)
class TensorSplit:
    """A split whole in memory.

    Attributes:
        inputs: images (N, C, H, W) of uint8 or float32; signals (N, C, L) and rows (N, F) of
            float32; token ids (N, T) of any type of whole numbers.
        labels: class indices, int64 (N,); labels of 0 or 1, float32 (N, K); values, float32 (N,)
            or (N, K).
    """

    inputs: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one input, without the batch."""
        return tuple(self.inputs.shape[1:])

    @property
    def input_dtype(self) -> torch.dtype:
        return self.inputs.dtype

    def select(self, indices: Tensor) -> "TensorSplit":
        """Return the split of the samples at `indices`, int64, shape (M,)."""
        return TensorSplit(self.inputs[indices], self.labels[indices])

    def to(self, device: torch.device) -> "TensorSplit":
        return TensorSplit(self.inputs.to(device), self.labels.to(device))

    def gather(self, indices: Tensor) -> Batch:
        """Return the batch at `indices`, which lie where the inputs do."""
        return self.inputs.index_select(0, indices), self.labels.index_select(0, indices)

    def indices(self, order: Sequence[Tensor]) -> Sequence[Tensor]:
        """Return `order` where the inputs lie: by one copy, since a GPU is waited for at each."""
        device = self.inputs.device
        if device.type == "cpu":
            return order
        placed = torch.cat(list(order)).to(device)
        return list(torch.split(placed, [len(each) for each in order]))

    def batches(self, order: Sequence[Tensor]) -> Iterator[Batch]:
        """Yield inputs (B, …), not normalised, and labels (B, …) for each index tensor."""
        return map(self.gather, self.indices(order))

    def batches_or_none(self, order: Sequence[Tensor]) -> Iterator[Batch | None]:
        """Yield what `batches` does, one for each index tensor."""
        return self.batches(order)


@dataclass(frozen=True)
class StreamedSplit:
    """A split too large for memory: a map-style data set of (input tensor or None, label).

    An item whose input is None, an unreadable image, is left out of its batch.
    """

    dataset: Dataset[StreamedItem]
    labels: Tensor
    input_shape: tuple[int, ...]
    workers: int = 0
    input_dtype: torch.dtype = torch.uint8

    def __len__(self) -> int:
        return len(self.labels)

    def select(self, indices: Tensor) -> "StreamedSplit":
        subset = torch.utils.data.Subset(self.dataset, indices.tolist())
        return replace(self, dataset=subset, labels=self.labels[indices])

    def to(self, device: torch.device) -> "StreamedSplit":
        return self

    def batches(self, order: Sequence[Tensor]) -> Iterator[Batch]:
        return (batch for batch in self.batches_or_none(order) if batch is not None)

    def batches_or_none(self, order: Sequence[Tensor]) -> Iterator[Batch | None]:
        """Yield what `batches` does, and None for a batch of which nothing could be read."""
        loader = DataLoader(
            _ErrorsAsBatches(self.dataset),
            batch_sampler=[indices.tolist() for indices in order],
            num_workers=self.workers,
            collate_fn=_collate_readable,
            pin_memory=torch.cuda.is_available(),
        )
        for batch in loader:
            if isinstance(batch, DataError):
                raise batch
            yield batch


class _ErrorsAsBatches(Dataset[StreamedItem]):
    """Hands an item's DataError on, for a worker would wrap it into the text of its traceback."""

    def __init__(self, dataset: Dataset[StreamedItem]):
        self.dataset = dataset

    def __getitems__(self, indices: list[int]) -> list[StreamedItem] | DataError:
        try:
            return [self.dataset[index] for index in indices]
        except DataError as error:
            return error


def _collate_readable(items: list[StreamedItem] | DataError) -> Batch | DataError | None:
    if isinstance(items, DataError):
        return items
    readable = [item for item in items if item[0] is not None]
    return tuple(default_collate(readable)) if readable else None


Split = TensorSplit | StreamedSplit


def cut_batches(order: Tensor, batch_size: int) -> list[Tensor]:
    """Cut indices into batches, in their order.

    A single image left over joins the batch before it: batch norm has no statistics of one value.
    """
    batches = list(order.split(batch_size))
    if len(batches) > 1 and len(batches[-1]) == 1 < batch_size:
        last = batches.pop()
        batches[-1] = torch.cat([batches[-1], last])
    return batches


def shuffled_batches(count: int, batch_size: int, generator: torch.Generator) -> list[Tensor]:
    """Cut a fresh permutation of `count` indices into batches."""
    return cut_batches(torch.randperm(count, generator=generator), batch_size)


def learns_classes(split: Split) -> bool:
    """Tell whether the labels of a split are classes, and no numbers."""
    return not split.labels.is_floating_point()


def some_inputs(split: Split) -> Tensor:
    """Return all inputs of a split in memory, a few of one that is read when asked for."""
    if isinstance(split, TensorSplit):
        return split.inputs
    few = torch.linspace(0, len(split) - 1, min(_FEW_SAMPLES, len(split))).long()
    here = replace(split, workers=0)
    batches = [inputs for inputs, _ in here.batches([few])]
    return torch.cat(batches) if batches else torch.zeros(1, dtype=torch.uint8)
