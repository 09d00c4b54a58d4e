"""A user's own data: a function that returns the splits."""

from collections.abc import Mapping
from typing import Any

from greensweep.config.schema import CustomDatasetConfig
from greensweep.data.arrays import dataset_split, tensor_split
from greensweep.data.split import Split, StreamedSplit, TensorSplit
from greensweep.data.splits import Source
from greensweep.errors import DataError, GreensweepError, first_line, unknown
from greensweep.imports import import_target

_PARTS = ("train", "validation", "test")


def custom(config: CustomDatasetConfig) -> Source:
    """Call `config.target(**config.kwargs)` and take what it returns.

    The function returns a mapping with "train" and, when it has them, "validation", "test" and
    "classes". Each split is a pair (images, labels) of arrays or tensors (shapes as in
    `tensor_split`), or a map-style data set of (image, label), which may exceed the memory.

    Raises:
        DataError: the function fails, or returns something else.
    """
    function = import_target("dataset.target", config.target)
    try:
        returned = function(**config.kwargs)
    except GreensweepError:
        raise
    except Exception as error:
        raise DataError(
            f"{config.target} failed with {type(error).__name__}: {first_line(error)}: "
            "mend it, or change dataset.kwargs"
        ) from error
    _check_keys(returned, config.target)
    parts = {
        name: _split(returned[name], config)
        for name in _PARTS
        if name == "train" or returned.get(name) is not None
    }
    classes = returned.get("classes")
    if classes is None:
        labels = [part.labels for part in parts.values() if len(part)]
        classes = range(1 + max((int(part.max()) for part in labels), default=-1))
    return Source(classes=tuple(str(name) for name in classes), **parts)


def _check_keys(returned: Any, target: str) -> None:
    if not isinstance(returned, Mapping):
        raise DataError(
            f"{target} must return a mapping with 'train' and optionally 'validation', 'test' "
            f"and 'classes', got {type(returned).__name__}: return {{'train': (images, labels)}}"
        )
    for key in returned:
        if key not in (*_PARTS, "classes"):
            wrong = unknown("split", str(key), [*_PARTS, "classes"])
            raise DataError(f"{target} returned something else than splits: {wrong}")
    if "train" not in returned:
        raise DataError(
            f"{target} must return a mapping with 'train', got {', '.join(returned) or 'none'}: "
            "add 'train': (images, labels)"
        )


def _split(part: Any, config: CustomDatasetConfig) -> Split:
    if isinstance(part, TensorSplit | StreamedSplit):
        return part
    if isinstance(part, tuple | list) and len(part) == 2:
        images, labels = part
        return tensor_split(images, labels, config.image_size)
    if hasattr(part, "__getitem__") and hasattr(part, "__len__"):
        return dataset_split(part, config.image_size, config.memory_share)
    raise DataError(
        f"a split of {config.target} must be (images, labels) or a map-style data set, "
        f"got {type(part).__name__}: return one of the two"
    )
