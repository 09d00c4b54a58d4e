"""From whatever holds images to a split: in memory where it fits, streamed where it does not."""

import os
from typing import Any

import numpy as np
import psutil
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate
from torch.utils.data import Dataset

from greensweep.data.split import Split, StreamedItem, StreamedSplit, TensorSplit
from greensweep.errors import DataError, first_line

_RESIZE_BATCH = 4096


def fits_in_memory(size_bytes: int, memory_share: float) -> bool:
    """Tell whether `size_bytes` are at most that share of the memory now available."""
    return bool(size_bytes <= memory_share * psutil.virtual_memory().available)


def loader_workers() -> int:
    """Processes that decode images for a streamed split: one per core but one, 8 at most."""
    return min(8, (os.cpu_count() or 1) - 1)


def tensor_split(images: Any, labels: Any, image_size: int | None) -> TensorSplit:
    """Make a split from arrays or tensors.

    Args:
        images: shape (N, H, W), (N, H, W, C) with 1, 3 or 4 channels, or (N, C, H, W); uint8 is
            kept, any other type becomes float32.
        labels: shape (N,), whole numbers from 0.
        image_size: height and width to resize to, pixels; None keeps the size.

    Raises:
        DataError: shapes or types do not fit.
    """
    images, labels = _as_tensor(images, "images"), _as_tensor(labels, "labels")
    if images.ndim == 3:
        images = images.unsqueeze(1)
    if images.ndim != 4 or labels.shape != images.shape[:1]:
        raise DataError(
            "images must have shape (N, H, W), (N, H, W, C) or (N, C, H, W) and labels (N,), got "
            f"{tuple(images.shape)} and {tuple(labels.shape)}: reshape them in make_splits"
        )
    if images.shape[1] not in (1, 3, 4) and images.shape[3] in (1, 3, 4):
        images = images.permute(0, 3, 1, 2)
    if images.dtype != torch.uint8:
        images = images.float()
    if image_size is not None:
        images = resize(images, image_size)
    return TensorSplit(images.contiguous(), _whole(labels))


def _as_tensor(values: Any, what: str) -> Tensor:
    """Return `values` as a tensor on the CPU, copied only where torch cannot share memory."""
    if isinstance(values, Tensor):
        return values.detach().cpu()
    try:
        array = np.asarray(values)
        if not array.flags.writeable or any(stride < 0 for stride in array.strides):
            array = array.copy()
        return torch.as_tensor(array)
    except (TypeError, ValueError, RuntimeError) as error:
        raise DataError(
            f"{what} must be an array or tensor of numbers, got {type(values).__name__} "
            f"({first_line(error)}): convert them in make_splits"
        ) from error


def _whole(labels: Tensor) -> Tensor:
    whole = labels.long()
    if not torch.equal(whole.to(labels.dtype), labels):
        raise DataError(
            f"labels must be whole numbers from 0, got {labels.dtype} with fractions: "
            "number the classes in make_splits"
        )
    return whole


def resize(images: Tensor, image_size: int) -> Tensor:
    """Resize images (N, C, H, W) to `image_size` squared: bilinear, with antialiasing."""
    if images.shape[-2:] == (image_size, image_size):
        return images
    resized = images.new_empty((len(images), images.shape[1], image_size, image_size))
    for start in range(0, len(images), _RESIZE_BATCH):
        part = slice(start, start + _RESIZE_BATCH)
        resized[part] = interpolate(
            images[part], size=(image_size, image_size), mode="bilinear", antialias=True
        )
    return resized


class _ImageTensors(Dataset[StreamedItem]):
    """A user's map-style data set of (image, label), its images as tensors of one shape."""

    def __init__(self, dataset: Any, image_size: int | None):
        self.dataset = dataset
        self.image_size = image_size
        self.first, _ = self._read(0)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image, label = self._read(index)
        if image.shape != self.first.shape:
            raise DataError(
                f"images differ in shape (the first is {tuple(self.first.shape)}, number {index} "
                f"{tuple(image.shape)}): set dataset.image_size=32, say, to resize all"
            )
        return image, label

    def labels(self) -> Tensor:
        """Class indices of all items: the data set's `targets`, as torchvision's sets have them."""
        targets = getattr(self.dataset, "targets", None)
        if targets is None:
            targets = [self._item(index)[1] for index in range(len(self))]
        return _whole(_as_tensor(targets, "labels"))

    def _read(self, index: int) -> tuple[Tensor, int]:
        image, label = self._item(index)
        split = tensor_split(image[None], [label], self.image_size)
        return split.images[0], label

    def _item(self, index: int) -> tuple[Tensor | np.ndarray, int]:
        try:
            image, label = self.dataset[index]
            if isinstance(image, Image.Image):
                image = image.convert("L" if image.mode in ("1", "L") else "RGB")
            return image if isinstance(image, Tensor) else np.array(image), int(label)
        except Exception as error:
            raise DataError(
                f"item {index} of a data set of make_splits is no pair of an image and a class "
                f"number ({type(error).__name__}: {first_line(error)}): mend the data set"
            ) from error


def dataset_split(dataset: Any, image_size: int | None, memory_share: float) -> Split:
    """Make a split from a map-style data set of (image, label), images of one shape.

    Raises:
        DataError: the data set is empty, an item cannot be read, or images differ in shape.
    """
    count = len(dataset)
    if count == 0:
        raise DataError("a data set of make_splits is empty: return at least one image per class")
    items = _ImageTensors(dataset, image_size)
    first = items.first
    if not fits_in_memory(first.numel() * first.element_size() * count, memory_share):
        channels, height, width = first.shape
        labels = items.labels()
        return StreamedSplit(items, labels, (channels, height, width), loader_workers())
    images = first.new_empty((count, *first.shape))
    labels = torch.empty(count, dtype=torch.int64)
    for index in range(count):
        images[index], labels[index] = items[index]
    return TensorSplit(images, labels)
