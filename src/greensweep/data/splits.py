"""Training, validation and test splits: seeded, stratified, with the training statistics."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from math import ceil, prod

import numpy as np
import torch
from torch import Tensor

from greensweep.config.schema_dataset import DatasetConfig
from greensweep.data.seeding import seeded
from greensweep.data.split import Split, learns_classes, noun, some_inputs
from greensweep.data.split_checks import check_parts
from greensweep.errors import DataError, listed

log = logging.getLogger(__name__)

_STATISTICS_SAMPLES = 50_000
# Values summed at once: a batch of photographs in float64 would outgrow the images themselves.
_STATISTICS_VALUES = 1_000_000


@dataclass(frozen=True)
class Source:
    """What a data set's files hold: some data sets come with a validation or test split.

    Attributes:
        classes: names of the classes or labels; empty where values are learnt.
        fit: learns from the training split, once it is drawn, how to standardise all three.
    """

    train: Split
    classes: tuple[str, ...]
    validation: Split | None = None
    test: Split | None = None
    fit: Callable[[Split], Callable[[Split], Split]] | None = None


@dataclass(frozen=True)
class Splits:
    """The three splits that a run uses.

    Attributes:
        classes: `classes[i]` names class i or label i; empty where values are learnt.
        standardise: what made the inputs of the raw ones; None where they are raw.
    """

    train: Split
    validation: Split
    test: Split
    classes: tuple[str, ...]
    standardise: Callable[[Split], Split] | None = None

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of every input: channels, height and width of images."""
        return self.train.input_shape

    @property
    def outputs(self) -> int:
        """How many numbers a network returns for an input: one per class, label or value."""
        return len(self.classes) or prod(self.train.labels.shape[1:])

    @property
    def holds_ids(self) -> bool:
        """Tell whether the inputs are whole numbers that name things, tokens say, not pixels."""
        dtype, is_volume = self.train.input_dtype, len(self.input_shape) >= 3
        return not (dtype.is_floating_point or (dtype == torch.uint8 and is_volume))

    @cached_property
    def example(self) -> Tensor:
        """One input as a network sees it, shape (1, …): blank, or the first ids, which exist."""
        if not self.holds_ids:
            return torch.zeros((1, *self.input_shape))
        return some_inputs(self.train)[:1].long()

    @cached_property
    def statistics(self) -> tuple[Tensor, Tensor] | None:
        """Mean and standard deviation per channel of the training split, in its raw units.

        Both float32 of shape (C, 1, …); of rows (F,), each number of which is a channel. Of a large
        split the first 50,000 samples in a fixed order count. None: the inputs are standardised
        already, or ids.

        Raises:
            DataError: no image of a streamed split can be read, or pixels are not finite.
        """
        if self.standardise is not None or self.holds_ids:
            return None
        split, shape = self.train, self.input_shape
        generator = torch.Generator().manual_seed(0)
        order = torch.randperm(len(split), generator=generator)[:_STATISTICS_SAMPLES]
        batch = max(1, _STATISTICS_VALUES // prod(shape))
        channels, others = shape[0], (0, *range(2, 1 + len(shape)))
        count = 0
        total, squares = torch.zeros(2, channels, dtype=torch.float64)
        with seeded(0):
            for inputs, _ in split.batches(order.split(batch)):
                values = inputs.double()
                count += values[:, 0].numel()
                total += values.sum(dim=others)
                squares += values.square().sum(dim=others)
        if count == 0:
            raise DataError("none of the training images can be read: check the files")
        if not squares.isfinite().all():
            raise DataError("training images hold NaN or infinite pixels: replace them")
        mean = total / count
        deviation = (squares / count - mean.square()).clamp_min(0).sqrt()
        deviation = torch.where(deviation > 0, deviation, torch.ones_like(deviation))
        per_channel = (channels, *(1 for _ in shape[1:]))
        return mean.float().view(per_channel), deviation.float().view(per_channel)


def make_splits(source: Source, config: DatasetConfig, seed: int) -> Splits:
    """Hold out what `source` lacks of validation and test data, and limit the splits' sizes.

    What is drawn of classes is stratified.

    Raises:
        DataError: fewer than two classes, labels outside the classes, nothing to learn, splits of
            unlike inputs, or too few samples to hold some out (of each class).
    """
    parts = {"train": source.train, "validation": source.validation, "test": source.test}
    given = {name: split for name, split in parts.items() if split is not None}
    check_parts(given, source.classes)
    validation, test = source.validation, source.test
    # Indices are split and samples selected once: each selection is a copy in memory.
    kept = np.arange(len(source.train))
    if test is None:
        kept, held = _hold_out(source, kept, config.test_fraction, seed, "test")
        test = _select(source.train, held)
    if validation is None:
        kept, held = _hold_out(source, kept, config.validation_fraction, seed, "validation")
        validation = _select(source.train, held)
    limited = partial(_limited, classes=source.classes, seed=seed)
    train = limited(source.train, kept, "train_limit", config.train_limit)
    validation, test = (
        limited(split, np.arange(len(split)), "evaluation_limit", config.evaluation_limit)
        for split in (validation, test)
    )
    standardise = None if source.fit is None else source.fit(train)
    if standardise is not None:
        train, validation, test = map(standardise, (train, validation, test))
    splits = Splits(train, validation, test, source.classes, standardise)
    if learns_classes(train):
        _tell_missing_classes(splits)
    return splits


def _tell_missing_classes(splits: Splits) -> None:
    for name in ("train", "validation", "test"):
        present = set(getattr(splits, name).labels.tolist())
        if missing := [c for label, c in enumerate(splits.classes) if label not in present]:
            log.warning(
                f"The {name} split has no {noun(splits.input_shape)} of {len(missing)} of "
                f"{len(splits.classes)} classes: {listed(missing)}."
            )


def _hold_out(
    source: Source, indices: np.ndarray, fraction: float, seed: int, name: str
) -> tuple[np.ndarray, np.ndarray]:
    """Split a (stratified) `fraction` off `indices`; returns (kept, held out), both sorted."""
    what = noun(source.train.input_shape)
    held_out = ceil(fraction * len(indices))
    classes, parted = None, min(held_out, len(indices) - held_out)
    holds = (
        f"dataset.{name}_fraction={fraction:g} holds {held_out} of {len(indices)} {what}s out, and "
        "both sides need one"
    )
    if learns_classes(source.train):
        classes = source.train.labels.numpy()[indices]
        present, counts = np.unique(classes, return_counts=True)
        if counts.min() < 2:
            raise DataError(
                f"{name} {what}s are held out of each class, which needs 2 or more, but class "
                f"{source.classes[present[counts.argmin()]]!r} has 1 left: add {what}s, or a "
                f"{name} split of its own"
            )
        if parted < len(present):
            raise DataError(f"{holds} of each of {len(present)} classes: add {what}s or change it")
    elif parted < 1:
        raise DataError(f"{holds}: add {what}s or change it")
    from sklearn.model_selection import train_test_split  # which takes a second

    kept, held = train_test_split(indices, test_size=fraction, stratify=classes, random_state=seed)
    return np.sort(kept), np.sort(held)


def _limited(
    split: Split,
    indices: np.ndarray,
    option: str,
    limit: int | None,
    classes: Sequence[str],
    seed: int,
) -> Split:
    """Draw `limit` of `indices`, stratified unless a class or the rest is too small for it."""
    if limit is None or limit >= len(indices):
        return _select(split, indices)
    stratified = None
    if learns_classes(split):
        if limit < len(classes):
            raise DataError(
                f"dataset.{option}={limit} cannot hold one {noun(split.input_shape)} of each "
                f"of {len(classes)} classes: set dataset.{option}={len(classes)} or more"
            )
        labels = split.labels.numpy()[indices]
        present, counts = np.unique(labels, return_counts=True)
        if counts.min() > 1 and len(indices) - limit >= len(present):
            stratified = labels
    from sklearn.model_selection import train_test_split

    kept, _ = train_test_split(indices, train_size=limit, stratify=stratified, random_state=seed)
    return _select(split, np.sort(kept))


def _select(split: Split, indices: np.ndarray) -> Split:
    """Return the samples at `indices`, sorted; where these are all, the split itself, no copy."""
    return split if len(indices) == len(split) else split.select(torch.from_numpy(indices))
