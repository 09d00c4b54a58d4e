"""Training, validation and test splits: seeded, stratified, with the training statistics."""

import logging
from collections.abc import Callable, Mapping, Sequence
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
from greensweep.data.split import Split, StreamedSplit, TensorSplit, is_image, noun
from greensweep.errors import DataError, listed

log = logging.getLogger(__name__)

_STATISTICS_SAMPLES = 50_000
# Values summed at once: a batch of photographs in float64 would outgrow the images themselves.
_STATISTICS_VALUES = 1_000_000
_FEW_SAMPLES = 8
# Bytes are 255 times as large as shares of 1, and further from standardised values.
_UNLIKE_RANGES = 30.0


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
        return _some_inputs(self.train)[:1].long()

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
        total = torch.zeros(channels, dtype=torch.float64)
        squares = torch.zeros(channels, dtype=torch.float64)
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
    _check_source(source)
    validation, test = source.validation, source.test
    # Indices are split and samples selected once: each selection is a copy in memory.
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
    standardise = None if source.fit is None else source.fit(train)
    if standardise is not None:
        train, validation, test = map(standardise, (train, validation, test))
    splits = Splits(train, validation, test, source.classes, standardise)
    if _are_classes(train):
        _tell_missing_classes(splits)
    return splits


def _are_classes(split: Split) -> bool:
    return not split.labels.is_floating_point()


def _tell_missing_classes(splits: Splits) -> None:
    for name in ("train", "validation", "test"):
        present = set(getattr(splits, name).labels.tolist())
        if missing := [c for label, c in enumerate(splits.classes) if label not in present]:
            log.warning(
                "The %s split has no %s of %d of %d classes: %s.",
                name,
                noun(splits.input_shape),
                len(missing),
                len(splits.classes),
                listed(missing),
            )


def _fewer(split: Split, limit: int | None, classes: Sequence[str], seed: int) -> Split:
    kept = _at_most(split, np.arange(len(split)), limit, "evaluation_limit", classes, seed)
    return split if len(kept) == len(split) else _select(split, kept)


def _check_source(source: Source) -> None:
    parts = {"train": source.train, "validation": source.validation, "test": source.test}
    given = {name: split for name, split in parts.items() if split is not None}
    what = noun(source.train.input_shape)
    for name, split in given.items():
        if len(split) == 0:
            raise DataError(f"the {name} split is empty: add {what}s, or leave the split out")
    if _are_classes(source.train):
        _check_classes(source.classes, given, what)
    else:
        _check_numbers(source.classes, given)
    for name, split in given.items():
        if split.input_shape != source.train.input_shape:
            raise DataError(
                f"{name} {what}s are {split.input_shape}, training {what}s "
                f"{source.train.input_shape}{_mend_shapes(split, source.train)}"
            )
    _check_values({name: _some_inputs(split) for name, split in given.items()})


def _check_classes(classes: Sequence[str], parts: Mapping[str, Split], what: str) -> None:
    if len(classes) < 2:
        named = f": {classes[0]}" if classes else ""
        raise DataError(
            f"classification needs at least 2 classes, the data set has {len(classes)}"
            f"{named}: add {what}s of another class"
        )
    for name, split in parts.items():
        low, high = int(split.labels.min()), int(split.labels.max())
        if low < 0 or high >= len(classes):
            raise DataError(
                f"labels of {len(classes)} classes run from 0 to "
                f"{len(classes) - 1}, the {name} split has {low} to {high}: "
                "mend the labels or name all classes"
            )


def _check_numbers(classes: Sequence[str], parts: Mapping[str, Split]) -> None:
    """Refuse labels (N, K) that are not as many as their names, and values that are all one."""
    train = parts["train"].labels
    columns = train.shape[1:]
    if classes and columns != (len(classes),):
        raise DataError(
            f"{len(classes)} labels are named, and the train split has {prod(columns)}: name all "
            "of them"
        )
    for name, split in parts.items():
        if split.labels.shape[1:] != columns:
            raise DataError(
                f"the {name} split has labels of shape {tuple(split.labels.shape)}, and the train "
                f"split {tuple(train.shape)}: give both as many columns"
            )
    if not classes and (train == train[0]).all():
        raise DataError(
            f"the values to learn are all {train[0].flatten()[0].item():g}: give values that differ"
        )


def _mend_shapes(split: Split, train: Split) -> str:
    if not (is_image(split.input_shape) and is_image(train.input_shape)):
        return ": give all splits one shape"
    same_channels = split.input_shape[0] == train.input_shape[0]
    return " (channels, height, width): " + (
        "set dataset.image_size to resize all" if same_channels else "make all colour or all grey"
    )


def _some_inputs(split: Split) -> Tensor:
    """Return all inputs of a split in memory, a few of one that is read when asked for."""
    if isinstance(split, TensorSplit):
        return split.inputs
    few = torch.linspace(0, len(split) - 1, min(_FEW_SAMPLES, len(split))).long()
    here = replace(cast(StreamedSplit, split), workers=0)
    batches = [inputs for inputs, _ in here.batches([few])]
    return torch.cat(batches) if batches else torch.zeros(1, dtype=torch.uint8)


def _check_values(parts: Mapping[str, Tensor]) -> None:
    """Refuse inputs that are no numbers, and tell splits of unlike ranges; bytes need no look."""
    if not any(inputs.is_floating_point() for inputs in parts.values()):
        return
    largest = {}
    what, values = noun(parts["train"].shape[1:]), "values"
    if what == "image":
        values = "pixels"
    for name, inputs in parts.items():
        low, high = inputs.aminmax()
        largest[name] = max(abs(float(low)), abs(float(high)))
        if not isfinite(largest[name]):
            wrong = [index for index, each in enumerate(inputs) if not each.isfinite().all()]
            raise DataError(
                f"{len(wrong)} of {len(inputs)} {name} {what}s hold NaN or infinite {values}, the "
                f"first is number {wrong[0]}: replace these {values}, or leave the {what}s out"
            )
    train = largest["train"]
    for name, value in largest.items():
        if train and not 1 / _UNLIKE_RANGES <= value / train <= _UNLIKE_RANGES:
            log.warning(
                "%s %s reach %g and train %s %g: give all splits one range, 0 to 255 say.",
                name,
                values,
                value,
                values,
                train,
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
    if _are_classes(source.train):
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
    kept, held = train_test_split(indices, test_size=fraction, stratify=classes, random_state=seed)
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
    stratified = None
    if _are_classes(split):
        if limit < len(classes):
            raise DataError(
                f"dataset.{option}={limit} cannot hold one {noun(split.input_shape)} of each "
                f"of {len(classes)} classes: set dataset.{option}={len(classes)} or more"
            )
        labels = split.labels.numpy()[indices]
        present, counts = np.unique(labels, return_counts=True)
        if counts.min() > 1 and len(indices) - limit >= len(present):
            stratified = labels
    kept, _ = train_test_split(indices, train_size=limit, stratify=stratified, random_state=seed)
    return np.sort(kept)


def _select(split: Split, indices: np.ndarray) -> Split:
    return split.select(torch.from_numpy(indices))
