"""From whatever holds images to a split: in memory where it fits, streamed where it does not."""

import os
from typing import Any

import numpy as np
import psutil
import torch
from torch import Tensor
from torch.nn.functional import interpolate
from torch.utils.data import Dataset

from greensweep.data.split import Split, StreamedSplit, TensorSplit
from greensweep.errors import DataError

_RESIZE_BATCH = 4096


def fits_in_memory(size_bytes: int, memory_share: float) -> bool:
    """Tell whether `size_bytes` are at most that share of the memory now available."""
    return size_bytes <= memory_share * psutil.virtual_memory().available


def loader_workers() -> int:
    """Processes that decode images for a streamed split: one per core but one, 8 at most."""
    return min(8, (os.cpu_count() or 1) - 1)


def tensor_split(images: Any, labels: Any, image_size: int | None) -> TensorSplit:
    """Make a split from arrays or tensors.

    Args:
        images: shape (N, H, W), (N, H, W, C) with 1, 3 or 4 channels, or (N, C, H, W); uint8 is
            kept, any other type becomes float32.
        labels: shape (N,), integers from 0.
        image_size: height and width to resize to, pixels; None keeps the size.

    Raises:
        DataError: shapes do not fit.
    """
    images, labels = torch.as_tensor(images), torch.as_tensor(labels)
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
    return TensorSplit(images.contiguous(), labels.long())


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


class _ResizedImages(Dataset[tuple[Tensor | None, int]]):
    """A user's map-style data set of (image, label), its images as tensors of one size."""

    def __init__(self, dataset: Any, image_size: int | None):
        self.dataset = dataset
        self.image_size = image_size

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image, label = self.dataset[index]
        if not isinstance(image, Tensor):  # a PIL image or an array
            image = torch.as_tensor(np.array(image))
        split = tensor_split(image[None], [label], self.image_size)
        return split.images[0], int(label)


def dataset_split(dataset: Any, image_size: int | None, memory_share: float) -> Split:
    """Make a split from a map-style data set of (image, label), images of one shape."""
    items = _ResizedImages(dataset, image_size)
    if len(items) == 0:
        raise DataError("a data set of make_splits is empty: return at least one image per class")
    first, _ = items[0]
    channels, height, width = first.shape
    if fits_in_memory(first.numel() * first.element_size() * len(items), memory_share):
        loaded = [items[index] for index in range(len(items))]
        labels = torch.tensor([label for _, label in loaded])
        return TensorSplit(torch.stack([image for image, _ in loaded]), labels)
    targets = getattr(dataset, "targets", None)
    if targets is None:
        targets = [dataset[index][1] for index in range(len(dataset))]
    labels = torch.as_tensor(targets)
    return StreamedSplit(items, labels.long(), (channels, height, width), loader_workers())
