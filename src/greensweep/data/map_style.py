"""From a map-style data set, PyTorch's own or a user's, to a split."""

from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from greensweep.config.schema_dataset import CustomDatasetConfig
from greensweep.data.arrays import Layout, as_labels, as_tensor, channels_first, layout_of, prepared
from greensweep.data.image_files import of_8_bits
from greensweep.data.split import (
    Split,
    StreamedItem,
    StreamedSplit,
    Targets,
    TensorSplit,
    is_image,
    loader_workers,
    noun,
)
from greensweep.errors import DataError, GreensweepError, describe
from greensweep.resources import fits_in_memory

_LABELS = {"classes": "a class number", "labels": "its labels, 0 or 1", "values": "values"}
# A transform that changes an image in every tenth read goes unseen in 1 of 600 data sets.
_READ_TWICE = 32


class MapStyle(Dataset[StreamedItem]):
    """A map-style data set of (input, label), its inputs as tensors of one shape and type.

    Raises:
        DataError: it is empty, or its first item cannot be read.
    """

    def __init__(self, dataset: Any, config: CustomDatasetConfig, targets: Targets):
        if len(dataset) == 0:
            raise DataError(
                "a data set of make_splits is empty: return at least one sample per class"
            )
        self.dataset, self._config = dataset, config
        self._layouts: dict[int, Layout] = {}  # by rank, of the first item that has it
        self._targets: Targets = targets
        self._labels: Tensor | None = None
        self.first, self._first_label = self._read(0)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        sample, label = self._read(index)
        _check_alike(sample, self.first, index)
        if label.shape != self._first_label.shape:
            raise DataError(
                f"labels differ in shape (the first is {tuple(self._first_label.shape)}, number "
                f"{index} {tuple(label.shape)}): give each sample as many"
            )
        if self._labels is not None and label != self._labels[index]:
            raise DataError(
                f"item {index} of a data set of make_splits has class {int(label)}, where its "
                f"`targets` make it {int(self._labels[index])}: remove that attribute, or keep it "
                "in step"
            )
        return sample, label

    def is_random(self) -> bool:
        """Tell whether an item is another input when it is read again.

        Reading finds any random transform, wherever in the data set it hides.
        """
        few = torch.linspace(0, len(self) - 1, min(_READ_TWICE, len(self))).long()
        return any(not torch.equal(self[index][0], self[index][0]) for index in few.tolist())

    def split(self) -> Split:
        """Return the split held in memory where it fits, streamed where it does not.

        Raises:
            DataError: an item cannot be read, or is unlike the first.
        """
        if not fits_in_memory(self.first.nbytes * len(self), self._config.memory_share):
            return self.streamed()
        inputs = self.first.new_empty((len(self), *self.first.shape))
        labels = self._first_label.new_empty((len(self), *self._first_label.shape))
        for index in range(len(self)):
            inputs[index], labels[index] = self[index]
        return TensorSplit(inputs, labels)

    def streamed(self) -> StreamedSplit:
        """Return the split that reads each input whenever it is asked for."""
        labels, shape = self._read_labels(), tuple(self.first.shape)
        return StreamedSplit(self, labels, shape, loader_workers(), self.first.dtype)

    def _read_labels(self) -> Tensor:
        """Return the labels of all items, as a split holds them.

        Where the data set has `targets`, as torchvision's do, one item of each class is read, so
        that what becomes of a target counts; the others are held against it when they are read.
        """
        targets = _targets(self.dataset) if self._targets == "classes" else None
        if targets is None:
            return torch.stack([self._item(index)[1] for index in range(len(self))])
        _, first, which = np.unique(targets, return_index=True, return_inverse=True)
        of_target = torch.stack([self._item(index)[1] for index in first.tolist()])
        self._labels = of_target[torch.from_numpy(which)]
        return self._labels

    def _read(self, index: int) -> tuple[Tensor, Tensor]:
        sample, label = self._item(index)
        sample = prepared(sample.unsqueeze(0), self._config.image_size)[0]
        if sample.is_floating_point() and not sample.isfinite().all():
            raise DataError(
                f"item {index} of a data set of make_splits holds NaN or infinite "
                f"{'pixels' if is_image(sample.shape) else 'values'}: replace them, or leave it out"
            )
        return sample, label

    def _item(self, index: int) -> tuple[Tensor, Tensor]:
        """Return an input, images of shape (C, H, W), and its label."""
        try:
            sample, label = self.dataset[index]
            if self._targets == "classes":
                if int(label) != label:
                    raise ValueError(f"its class is {label!r}")
                label = int(label)
            given = as_tensor(label, "labels")
            return self._channels_first(sample), as_labels(given.unsqueeze(0), self._targets)[0]
        except GreensweepError:
            raise
        except Exception as error:
            raise DataError(
                f"item {index} of a data set of make_splits is no pair of an input and "
                f"{_LABELS[self._targets]} ({describe(error)}): mend the data set"
            ) from error

    def _channels_first(self, sample: Any) -> Tensor:
        if isinstance(sample, Image.Image):
            image = of_8_bits(sample)
            image = image.convert("L" if image.mode in ("1", "L") else "RGB")
            pixels = torch.from_numpy(np.array(image))
            return pixels.unsqueeze(0) if pixels.ndim == 2 else pixels.permute(2, 0, 1)
        values = as_tensor(sample, "inputs")
        if values.ndim == 0:
            raise ValueError("its input is one number, and has no axis")
        if values.ndim not in self._layouts:
            self._layouts[values.ndim] = layout_of(
                values.shape, values.dtype, self._config.layout, self._config.image_size
            )
        return channels_first(values.unsqueeze(0), self._layouts[values.ndim])[0]


def _targets(dataset: Any) -> np.ndarray | None:
    try:
        targets = np.asarray(getattr(dataset, "targets", None))
    except (TypeError, ValueError):
        return None
    return targets if targets.shape == (len(dataset),) else None


def _check_alike(sample: Tensor, first: Tensor, index: int) -> None:
    what, are_images = noun(first.shape), is_image(first.shape)
    if sample.dtype != first.dtype:
        raise DataError(
            f"{what}s differ in type (the first is {first.dtype}, number {index} {sample.dtype}): "
            "convert all to one type in the data set"
        )
    if are_images and len(sample) != len(first):
        raise DataError(
            f"images differ in channels (the first has {len(first)}, number {index} "
            f"{len(sample)}): convert all to colour, or all to grey, in the data set"
        )
    if sample.shape != first.shape:
        raise DataError(
            f"{what}s differ in shape (the first is {tuple(first.shape)}, number {index} "
            f"{tuple(sample.shape)}): "
            + (
                "set dataset.image_size=32, say, to resize all"
                if are_images
                else "pad or cut them to one length in the data set"
            )
        )
