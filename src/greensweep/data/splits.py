"""Training, validation and test splits: seeded, stratified, with the training statistics."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from sklearn.model_selection import train_test_split
from torch import Tensor

from greensweep.config.schema import DatasetConfig
from greensweep.data.split import Split
from greensweep.errors import DataError

_STATISTICS_BATCH = 1024
_STATISTICS_IMAGES = 50_000


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
        """
        split = self.train
        generator = torch.Generator().manual_seed(0)
        order = torch.randperm(len(split), generator=generator)[:_STATISTICS_IMAGES]
        channels = split.image_shape[0]
        count = 0
        total = torch.zeros(channels, dtype=torch.float64)
        squares = torch.zeros(channels, dtype=torch.float64)
        for images, _ in split.batches(order.split(_STATISTICS_BATCH)):
            values = images.double()
            count += values[:, 0].numel()
            total += values.sum(dim=(0, 2, 3))
            squares += values.square().sum(dim=(0, 2, 3))
        mean = total / count
        deviation = (squares / count - mean.square()).clamp_min(0).sqrt()
        deviation = torch.where(deviation > 0, deviation, torch.ones_like(deviation))
        return mean.float().view(-1, 1, 1).cpu(), deviation.float().view(-1, 1, 1).cpu()


def make_splits(source: Source, config: DatasetConfig, seed: int) -> Splits:
    """Hold out what `source` lacks of validation and test images, and limit the training split.

    Raises:
        DataError: fewer than two classes, labels outside the classes, splits of unlike images,
            or too few images to hold some out of each class.
    """
    _check_source(source)
    train, validation, test = source.train, source.validation, source.test
    if test is None:
        train, test = _hold_out(train, config.test_fraction, seed, "dataset.test_fraction")
    if validation is None:
        train, validation = _hold_out(
            train, config.validation_fraction, seed, "dataset.validation_fraction"
        )
    if config.train_limit is not None and config.train_limit < len(train):
        train = _limit(train, config.train_limit, seed, len(source.classes))
    return Splits(train, validation, test, source.classes)


def _check_source(source: Source) -> None:
    if len(source.classes) < 2:
        named = f": {source.classes[0]}" if source.classes else ""
        raise DataError(
            f"classification needs at least 2 classes, the data set has {len(source.classes)}"
            f"{named}: add images of another class"
        )
    for name, split in (
        ("train", source.train),
        ("validation", source.validation),
        ("test", source.test),
    ):
        if split is None:
            continue
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
            raise DataError(
                f"{name} images are {split.image_shape}, training images "
                f"{source.train.image_shape} (channels, height, width): "
                "set dataset.image_size to resize all"
            )


def _hold_out(split: Split, fraction: float, seed: int, option: str) -> tuple[Split, Split]:
    """Split off a stratified `fraction`; returns (rest, held out)."""
    try:
        kept, held = train_test_split(
            np.arange(len(split)), test_size=fraction, stratify=split.labels, random_state=seed
        )
    except ValueError as error:
        raise DataError(
            f"cannot hold {fraction:g} of {len(split)} images out with every class present "
            f"({error}): add images or change {option}"
        ) from error
    return _select(split, kept), _select(split, held)


def _limit(train: Split, limit: int, seed: int, classes: int) -> Split:
    if limit < classes:
        raise DataError(
            f"dataset.train_limit={limit} cannot hold an image of each of {classes} classes: "
            f"set dataset.train_limit={classes} or more"
        )
    shares = np.bincount(train.labels.numpy(), minlength=classes)
    stratify = train.labels if (shares[shares > 0] > 1).all() else None
    rest_is_too_small = len(train) - limit < classes
    kept, _ = train_test_split(
        np.arange(len(train)),
        train_size=limit,
        stratify=None if rest_is_too_small else stratify,
        random_state=seed,
    )
    return _select(train, kept)


def _select(split: Split, indices: np.ndarray) -> Split:
    return split.select(torch.from_numpy(np.sort(indices)))
