"""From a map-style data set, PyTorch's own or a user's, to a split."""

from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from greensweep.data.arrays import Layout, as_tensor, channels_last, prepared
from greensweep.data.image_files import of_8_bits
from greensweep.data.split import (
    Split,
    StreamedItem,
    StreamedSplit,
    TensorSplit,
    loader_workers,
)
from greensweep.errors import DataError, GreensweepError, first_line
from greensweep.resources import fits_in_memory

# A transform that changes an image in every tenth read goes unseen in 1 of 600 data sets.
_READ_TWICE = 32


class MapStyle(Dataset[StreamedItem]):
    """A map-style data set of (image, label), its images as tensors of one shape and type.

    Raises:
        DataError: it is empty, or its first item cannot be read.
    """

    def __init__(self, dataset: Any, image_size: int | None, layout: Layout = "auto"):
        if len(dataset) == 0:
            raise DataError(
                "a data set of make_splits is empty: return at least one image per class"
            )
        self.dataset, self.image_size, self._layout = dataset, image_size, layout
        self._labels: Tensor | None = None
        self.first, _ = self._read(0)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image, label = self._read(index)
        _check_alike(image, self.first, index)
        if self._labels is not None and label != self._labels[index]:
            raise DataError(
                f"item {index} of a data set of make_splits has class {label}, where its `targets` "
                f"make it {int(self._labels[index])}: remove that attribute, or keep it in step"
            )
        return image, label

    def is_random(self) -> bool:
        """Tell whether an item is another image when it is read again.

        Reading finds any random transform, wherever in the data set it hides.
        """
        few = torch.linspace(0, len(self) - 1, min(_READ_TWICE, len(self))).long()
        return any(not torch.equal(self[index][0], self[index][0]) for index in few.tolist())

    def split(self, memory_share: float) -> Split:
        """Return the split held in memory where it fits, streamed where it does not.

        Raises:
            DataError: an item cannot be read, or is unlike the first.
        """
        if not fits_in_memory(self.first.nbytes * len(self), memory_share):
            return self.streamed()
        images = self.first.new_empty((len(self), *self.first.shape))
        labels = torch.empty(len(self), dtype=torch.int64)
        for index in range(len(self)):
            images[index], labels[index] = self[index]
        return TensorSplit(images, labels)

    def streamed(self) -> StreamedSplit:
        """Return the split that reads each image whenever it is asked for."""
        channels, height, width = self.first.shape
        labels = self._read_labels()
        return StreamedSplit(self, labels, (channels, height, width), loader_workers())

    def _read_labels(self) -> Tensor:
        """Return the class indices of all items, int64, shape (N,).

        Where the data set has `targets`, as torchvision's do, one item of each target is read, so
        that what becomes of a target counts; the others are held against it when they are read.
        """
        targets = _targets(self.dataset)
        if targets is None:
            return torch.tensor([self._item(index)[1] for index in range(len(self))])
        _, first, which = np.unique(targets, return_index=True, return_inverse=True)
        of_target = torch.tensor([self._item(index)[1] for index in first.tolist()])
        self._labels = of_target[torch.from_numpy(which)]
        return self._labels

    def _read(self, index: int) -> tuple[Tensor, int]:
        image, label = self._item(index)
        image = prepared(image.unsqueeze(0), self.image_size)[0]
        if image.is_floating_point() and not image.isfinite().all():
            raise DataError(
                f"item {index} of a data set of make_splits holds NaN or infinite pixels: "
                "replace them, or leave it out"
            )
        return image, label

    def _item(self, index: int) -> tuple[Tensor, int]:
        """Return an image, of shape (C, H, W), and its class."""
        try:
            image, label = self.dataset[index]
            number = int(label)
            if number != label:
                raise ValueError(f"its class is {label!r}")
            return self._channels_first(image), number
        except GreensweepError:
            raise
        except Exception as error:
            raise DataError(
                f"item {index} of a data set of make_splits is no pair of an image and a class "
                f"number ({type(error).__name__}: {first_line(error)}): mend the data set"
            ) from error

    def _channels_first(self, image: Any) -> Tensor:
        if isinstance(image, Image.Image):
            image = of_8_bits(image)
            image = image.convert("L" if image.mode in ("1", "L") else "RGB")
            pixels = torch.from_numpy(np.array(image))
            return pixels.unsqueeze(0) if pixels.ndim == 2 else pixels.permute(2, 0, 1)
        pixels = as_tensor(image, "images")
        if pixels.ndim == 2:
            return pixels.unsqueeze(0)
        if pixels.ndim != 3:
            raise ValueError(f"its image has shape {tuple(pixels.shape)}")
        if self._layout == "auto":  # told once: other images may have another shape
            self._layout = "NHWC" if channels_last(pixels.shape, "auto") else "NCHW"
        return pixels.permute(2, 0, 1) if self._layout == "NHWC" else pixels


def _targets(dataset: Any) -> np.ndarray | None:
    try:
        targets = np.asarray(getattr(dataset, "targets", None))
    except (TypeError, ValueError):
        return None
    return targets if targets.shape == (len(dataset),) else None


def _check_alike(image: Tensor, first: Tensor, index: int) -> None:
    if image.dtype != first.dtype:
        raise DataError(
            f"images differ in type (the first is {first.dtype}, number {index} {image.dtype}): "
            "convert all to one type in the data set"
        )
    if len(image) != len(first):
        raise DataError(
            f"images differ in channels (the first has {len(first)}, number {index} "
            f"{len(image)}): convert all to colour, or all to grey, in the data set"
        )
    if image.shape != first.shape:
        raise DataError(
            f"images differ in shape (the first is {tuple(first.shape)}, number {index} "
            f"{tuple(image.shape)}): set dataset.image_size=32, say, to resize all"
        )
