"""Training, validation and test splits: seeded, stratified, with the training statistics."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import ceil, isfinite, prod
from typing import cast

import numpy as np
import torch
from sklearn.model_selection import train_test_split
from torch import Tensor

from greensweep.config.schema_dataset import DatasetConfig
from greensweep.data.seeding import seeded
from greensweep.data.split import Split, StreamedSplit, TensorSplit
from greensweep.errors import DataError, listed

log = logging.getLogger(__name__)

_STATISTICS_IMAGES = 50_000
# Values summed at once: a batch of photographs in float64 would outgrow the images themselves.
_STATISTICS_VALUES = 1_000_000
_FEW_IMAGES = 8
# Bytes are 255 times as large as shares of 1, and further from standardised values.
_UNLIKE_RANGES = 30.0


@dataclass(frozen=True)
class Source:
    """What a data set's files hold: some data sets come with a validation or test split."""

    train: Split
    classes: tuple[str, ...]
    validation: Split | None = None
    test: Split | None = None


@dataclass(frozen=True)
class Splits:
    """The three splits that a run uses; `classes[i]` names label i."""

    train: Split
    validation: Split
    test: Split
    classes: tuple[str, ...]

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of every image."""
        return self.train.image_shape

    @cached_property
    def statistics(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation per channel of the training split, in its raw units.

        Both float32 of shape (C, 1, 1). Of a large split the first 50,000 images in a fixed
        order count.

        Raises:
            DataError: no image of a streamed split can be read, or pixels are not finite.
        """
        split = self.train
        generator = torch.Generator().manual_seed(0)
        order = torch.randperm(len(split), generator=generator)[:_STATISTICS_IMAGES]
        batch = max(1, _STATISTICS_VALUES // prod(split.image_shape))
        channels = split.image_shape[0]
        count = 0
        total = torch.zeros(channels, dtype=torch.float64)
        squares = torch.zeros(channels, dtype=torch.float64)
        with seeded(0):
            for images, _ in split.batches(order.split(batch)):
                values = images.double()
                count += values[:, 0].numel()
                total += values.sum(dim=(0, 2, 3))
                squares += values.square().sum(dim=(0, 2, 3))
        if count == 0:
            raise DataError("none of the training images can be read: check the files")
        if not squares.isfinite().all():
            raise DataError("training images hold NaN or infinite pixels: replace them")
        mean = total / count
        deviation = (squares / count - mean.square()).clamp_min(0).sqrt()
        deviation = torch.where(deviation > 0, deviation, torch.ones_like(deviation))
        return mean.float().view(-1, 1, 1), deviation.float().view(-1, 1, 1)


def make_splits(source: Source, config: DatasetConfig, seed: int) -> Splits:
    """Hold out what `source` lacks of validation and test images, and limit the splits' sizes.

    Raises:
        DataError: fewer than two classes, labels outside the classes, splits of unlike images,
            or too few images to hold some out of each class.
    """
    _check_source(source)
    validation, test = source.validation, source.test
    # Indices are split and images selected once: each selection is a copy in memory.
    kept = np.arange(len(source.train))
    if test is None:
        kept, held = _hold_out(source, kept, config.test_fraction, seed, "test")
        test = _select(source.train, held)
    if validation is None:
        kept, held = _hold_out(source, kept, config.validation_fraction, seed, "validation")
        validation = _select(source.train, held)
    kept = _at_most(source.train, kept, config.train_limit, "train_limit", source.classes, seed)
    train = source.train if len(kept) == len(source.train) else _select(source.train, kept)
    validation, test = (
        _fewer(split, config.evaluation_limit, source.classes, seed) for split in (validation, test)
    )
    splits = Splits(train, validation, test, source.classes)
    _tell_missing_classes(splits)
    return splits


def _tell_missing_classes(splits: Splits) -> None:
    for name in ("train", "validation", "test"):
        present = set(getattr(splits, name).labels.tolist())
        if missing := [c for label, c in enumerate(splits.classes) if label not in present]:
            log.warning(
                "The %s split has no image of %d of %d classes: %s.",
                name,
                len(missing),
                len(splits.classes),
                listed(missing),
            )


def _fewer(split: Split, limit: int | None, classes: Sequence[str], seed: int) -> Split:
    kept = _at_most(split, np.arange(len(split)), limit, "evaluation_limit", classes, seed)
    return split if len(kept) == len(split) else _select(split, kept)


def _check_source(source: Source) -> None:
    if len(source.classes) < 2:
        named = f": {source.classes[0]}" if source.classes else ""
        raise DataError(
            f"classification needs at least 2 classes, the data set has {len(source.classes)}"
            f"{named}: add images of another class"
        )
    parts = {"train": source.train, "validation": source.validation, "test": source.test}
    given = {name: split for name, split in parts.items() if split is not None}
    for name, split in given.items():
        if len(split) == 0:
            raise DataError(f"the {name} split is empty: add images, or leave the split out")
        low, high = int(split.labels.min()), int(split.labels.max())
        if low < 0 or high >= len(source.classes):
            raise DataError(
                f"labels of {len(source.classes)} classes run from 0 to "
                f"{len(source.classes) - 1}, the {name} split has {low} to {high}: "
                "mend the labels or name all classes"
            )
        if split.image_shape != source.train.image_shape:
            same_channels = split.image_shape[0] == source.train.image_shape[0]
            raise DataError(
                f"{name} images are {split.image_shape}, training images "
                f"{source.train.image_shape} (channels, height, width): "
                + (
                    "set dataset.image_size to resize all"
                    if same_channels
                    else "make all colour or all grey"
                )
            )
    _check_pixels({name: _some_images(split) for name, split in given.items()})


def _some_images(split: Split) -> Tensor:
    """Return all images of a split in memory, a few of one that is read when asked for."""
    if isinstance(split, TensorSplit):
        return split.images
    few = torch.linspace(0, len(split) - 1, min(_FEW_IMAGES, len(split))).long()
    here = replace(cast(StreamedSplit, split), workers=0)
    batches = [images for images, _ in here.batches([few])]
    return torch.cat(batches) if batches else torch.zeros(1, dtype=torch.uint8)


def _check_pixels(parts: Mapping[str, Tensor]) -> None:
    """Refuse pixels that are no numbers, and tell splits of unlike ranges; bytes need no look."""
    if not any(images.is_floating_point() for images in parts.values()):
        return
    largest = {}
    for name, images in parts.items():
        low, high = images.aminmax()
        largest[name] = max(abs(float(low)), abs(float(high)))
        if not isfinite(largest[name]):
            wrong = [index for index, image in enumerate(images) if not image.isfinite().all()]
            raise DataError(
                f"{len(wrong)} of {len(images)} {name} images hold NaN or infinite pixels, the "
                f"first is number {wrong[0]}: replace these pixels, or leave the images out"
            )
    train = largest["train"]
    for name, value in largest.items():
        if train and not 1 / _UNLIKE_RANGES <= value / train <= _UNLIKE_RANGES:
            log.warning(
                "%s pixels reach %g and train pixels %g: give all splits one range, 0 to 255 say.",
                name,
                value,
                train,
            )


def _hold_out(
    source: Source, indices: np.ndarray, fraction: float, seed: int, name: str
) -> tuple[np.ndarray, np.ndarray]:
    """Split a stratified `fraction` off `indices`; returns (kept, held out), both sorted."""
    labels = source.train.labels.numpy()[indices]
    present, counts = np.unique(labels, return_counts=True)
    if counts.min() < 2:
        raise DataError(
            f"{name} images are held out of each class, which needs 2 or more, but class "
            f"{source.classes[present[counts.argmin()]]!r} has 1 left: add images, or a {name} "
            "split of its own"
        )
    held_out = ceil(fraction * len(indices))
    if min(held_out, len(indices) - held_out) < len(present):
        raise DataError(
            f"dataset.{name}_fraction={fraction:g} holds {held_out} of {len(indices)} images out, "
            f"and both sides need one of each of {len(present)} classes: add images or change it"
        )
    kept, held = train_test_split(indices, test_size=fraction, stratify=labels, random_state=seed)
    return np.sort(kept), np.sort(held)


def _at_most(
    split: Split,
    indices: np.ndarray,
    limit: int | None,
    option: str,
    classes: Sequence[str],
    seed: int,
) -> np.ndarray:
    """Draw `limit` of `indices`, stratified unless a class or the rest is too small for it."""
    if limit is None or limit >= len(indices):
        return indices
    if limit < len(classes):
        raise DataError(
            f"dataset.{option}={limit} cannot hold an image of each of {len(classes)} classes: "
            f"set dataset.{option}={len(classes)} or more"
        )
    labels = split.labels.numpy()[indices]
    present, counts = np.unique(labels, return_counts=True)
    can_stratify = counts.min() > 1 and len(indices) - limit >= len(present)
    kept, _ = train_test_split(
        indices, train_size=limit, stratify=labels if can_stratify else None, random_state=seed
    )
    return np.sort(kept)


def _select(split: Split, indices: np.ndarray) -> Split:
    return split.select(torch.from_numpy(indices))
