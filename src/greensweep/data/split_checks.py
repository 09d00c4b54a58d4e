"""What splits must be to be learnt from: labels, shapes and values that fit each other."""

import logging
from collections.abc import Mapping, Sequence
from math import isfinite, prod

from torch import Tensor

from greensweep.data.split import Split, is_image, learns_classes, noun, some_inputs
from greensweep.errors import DataError

log = logging.getLogger(__name__)

# Bytes are 255 times as large as shares of 1, and further from standardised values.
_UNLIKE_RANGES = 30.0


def check_parts(parts: Mapping[str, Split], classes: Sequence[str]) -> None:
    """Refuse splits that cannot be learnt from, or are unlike each other.

    Args:
        parts: "train", and "validation" and "test" where the data set has them.
        classes: names of the classes or labels; empty where values are learnt.

    Raises:
        DataError: fewer than two classes, labels outside of them, nothing to learn, splits of
            unlike inputs, or inputs that are not finite.
    """
    train = parts["train"]
    what = noun(train.input_shape)
    for name, split in parts.items():
        if len(split) == 0:
            raise DataError(f"the {name} split is empty: add {what}s, or leave the split out")
    if learns_classes(train):
        _check_classes(classes, parts, what)
    else:
        _check_numbers(classes, parts)
    for name, split in parts.items():
        if split.input_shape != train.input_shape:
            raise DataError(
                f"{name} {what}s are {split.input_shape}, training {what}s "
                f"{train.input_shape}{_way_to_one_shape(split, train)}"
            )
    _check_values({name: some_inputs(split) for name, split in parts.items()})


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


def _way_to_one_shape(split: Split, train: Split) -> str:
    if not (is_image(split.input_shape) and is_image(train.input_shape)):
        return ": give all splits one shape"
    same_channels = split.input_shape[0] == train.input_shape[0]
    return " (channels, height, width): " + (
        "set dataset.image_size to resize all" if same_channels else "make all colour or all grey"
    )


def _check_values(parts: Mapping[str, Tensor]) -> None:
    """Refuse inputs that are no numbers, and tell splits of unlike ranges; bytes need no look."""
    if not any(inputs.is_floating_point() for inputs in parts.values()):
        return
    largest = {}
    what = noun(parts["train"].shape[1:])
    values = "pixels" if what == "image" else "values"
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
                f"{name} {values} reach {value:g} and train {values} {train:g}: give all splits "
                "one range, 0 to 255 say."
            )
