"""A user's own data: a function that returns the splits."""

from collections.abc import Mapping
from typing import Any

from greensweep.config.schema import CustomDatasetConfig
from greensweep.data.arrays import dataset_split, tensor_split
from greensweep.data.split import Split, StreamedSplit, TensorSplit
from greensweep.data.splits import Source
from greensweep.errors import DataError, GreensweepError, first_line
from greensweep.imports import import_target

_PARTS = ("train", "validation", "test")


def custom(config: CustomDatasetConfig) -> Source:
    """Call `config.target(**config.kwargs)` and take what it returns.

    The function returns a mapping with "train" and, when it has them, "validation", "test" and
    "classes". Each split is a pair (images, labels) of arrays or tensors (shapes as in
    `tensor_split`), or a map-style data set of (image, label).

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
            f"{config.target} failed with {type(error).__name__}: {first_line(error)}"
        ) from error
    if not isinstance(returned, Mapping) or "train" not in returned:
        raise DataError(
            f"{config.target} must return a mapping with 'train' and optionally 'validation', "
            f"'test' and 'classes', got {type(returned).__name__}"
        )
    parts = {name: _split(returned[name], config) for name in _PARTS if returned.get(name)}
    classes = returned.get("classes")
    if classes is None:
        count = 1 + max(int(part.labels.max()) for part in parts.values())
        classes = [str(index) for index in range(count)]
    return Source(classes=tuple(str(name) for name in classes), **parts)


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
        f"got {type(part).__name__}"
    )
