"""A user's own data: a function that returns the splits."""

import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from greensweep.config.schema_dataset import CustomDatasetConfig
from greensweep.data.arrays import tensor_split
from greensweep.data.map_style import MapStyle
from greensweep.data.split import Split, Targets, is_image, noun
from greensweep.data.splits import Source
from greensweep.energy.notices import warn_once
from greensweep.errors import DataError, GreensweepError, describe, listed, unknown
from greensweep.imports import import_target

_PARTS = ("train", "validation", "test")


def custom(config: CustomDatasetConfig, targets: Targets = "classes") -> Source:
    """Call `config.target(**config.kwargs)` and take what it returns.

    The function returns a mapping with "train" and, when it has them, "validation", "test" and
    "classes". Each split is a pair (inputs, labels) of arrays or tensors (shapes as in
    `tensor_split`), or a map-style data set of (input, label), which may exceed the memory.

    Raises:
        DataError: the function fails, or returns something else; images are read at random
            where they would be held out or evaluated; labels leave gaps.
    """
    function = import_target("dataset.target", config.target)
    try:
        returned = function(**config.kwargs)
    except GreensweepError:
        raise
    except Exception as error:
        raise DataError(
            f"{config.target} failed with {describe(error)}: mend it, or change dataset.kwargs"
        ) from error
    _check_keys(returned, config.target)
    given = {
        name: returned[name] for name in _PARTS if name == "train" or returned.get(name) is not None
    }
    if targets == "classes":
        _check_numbering(given, config.target)
    held_out = [name for name in _PARTS if name not in given]
    parts = {name: _split(part, name, config, targets, held_out) for name, part in given.items()}
    classes = _named(returned.get("classes"), config.target) if targets != "values" else ()
    if targets == "classes":
        classes = classes or _numbered([part.labels for part in parts.values()], config.target)
    elif targets == "labels":
        classes = classes or tuple(map(str, range(parts["train"].labels.shape[1])))
    source = Source(parts["train"], classes, parts.get("validation"), parts.get("test"))
    warn_once(f"{config.target}: {_understood(source)}", logging.INFO)
    return source


def _understood(source: Source) -> str:
    """Say what the training split was taken for."""
    train, shape = source.train, source.train.input_shape
    if is_image(shape):
        inputs = "channels {}, height {}, width {}".format(*shape)
    else:
        inputs = f"shape {shape}, {str(train.input_dtype).removeprefix('torch.')}"
    values = train.labels.shape[1] if train.labels.ndim == 2 else 1
    learnt = (
        f"{len(source.classes)} {'classes' if train.labels.ndim == 1 else 'labels'}: "
        f"{listed(source.classes)}"
        if source.classes
        else f"{values} value{'' if values == 1 else 's'} to predict"
    )
    return f"{len(train)} {noun(shape)}s to train on, {inputs}; {learnt}"


def _check_keys(returned: Any, target: str) -> None:
    if not isinstance(returned, Mapping):
        raise DataError(
            f"{target} must return a mapping with 'train' and optionally 'validation', 'test' "
            f"and 'classes', got {type(returned).__name__}: return {{'train': (inputs, labels)}}"
        )
    for key in returned:
        if key not in (*_PARTS, "classes"):
            wrong = unknown("split", str(key), [*_PARTS, "classes"])
            raise DataError(f"{target} returned something else than splits: {wrong}")
    if "train" not in returned:
        raise DataError(
            f"{target} must return a mapping with 'train', got {', '.join(returned) or 'none'}: "
            "add 'train': (inputs, labels)"
        )


def _check_numbering(given: Mapping[str, Any], target: str) -> None:
    """Refuse data sets that number unlike classes, as ImageFolder does for unlike folders."""
    numbered = {
        name: list(part.classes)
        for name, part in given.items()
        if hasattr(part, "classes") and getattr(part, "target_transform", None) is None
    }
    train = numbered.get("train")
    for name, classes in numbered.items():
        if train is not None and classes != train:
            raise DataError(
                f"the {name} data set of {target} numbers the classes {listed(classes)}, and the "
                f"train one {listed(train)}, so that one number means two classes: give both the "
                "same classes, or a target_transform"
            )


def _split(
    part: Any, name: str, config: CustomDatasetConfig, targets: Targets, held_out: list[str]
) -> Split:
    if isinstance(part, Split):
        return part
    if isinstance(part, tuple | list) and len(part) == 2:
        inputs, labels = part
        return tensor_split(inputs, labels, config.image_size, config.layout, targets)
    if not (hasattr(part, "__getitem__") and hasattr(part, "__len__")):
        raise DataError(
            f"a split of {config.target} must be (inputs, labels) or a map-style data set, "
            f"got {type(part).__name__}: return one of the two"
        )
    items = MapStyle(part, config, targets)
    if not items.is_random():
        return items.split()
    what = noun(items.first.shape)
    random = (
        f"the {name} data set of {config.target} gives another {what} when it is read again, by a "
        "random transform perhaps"
    )
    if name != "train":
        raise DataError(f"{random}, so that no two evaluations agree: leave it out there")
    if held_out:
        raise DataError(
            f"{random}, and {' and '.join(held_out)} {what}s would be "
            f"held out of it: return {' and '.join(map(repr, held_out))} without it, or leave it "
            "out and set training.flip, training.crop_padding or training.cutout_size"
        )
    return items.streamed()


def _named(classes: Any, target: str) -> tuple[str, ...]:
    """Return the names of the classes in the order of their numbers; none where none are given."""
    if classes is None:
        return ()
    if isinstance(classes, str | Mapping | set) or not isinstance(classes, Iterable):
        raise DataError(
            f"'classes' of {target} must be a list of names in the order of their numbers, got "
            f"{type(classes).__name__}: return ['cat', 'dog'], say"
        )
    names = tuple(str(name) for name in classes)
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise DataError(
            f"'classes' of {target} has {listed(twice)} more than once: give each a name"
        )
    return names


def _numbered(labels: list[Tensor], target: str) -> tuple[str, ...]:
    """Return the classes that `labels` number, when nobody names them: a gap is a slip."""
    present = torch.cat(labels).unique().tolist()
    classes = range(1 + max(present, default=-1))
    if missing := sorted(set(classes).difference(present)):
        raise DataError(
            f"labels of {target} are {listed(present)}, never {listed(missing)}: number the "
            "classes from 0 without gaps, as numpy.unique(labels, return_inverse=True)[1] does, "
            "or return 'classes' with the names of all"
        )
    return tuple(map(str, classes))
