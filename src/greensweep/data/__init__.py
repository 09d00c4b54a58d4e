"""Data sets as seeded training, validation and test splits."""

from typing import cast

from greensweep.config import schema_dataset
from greensweep.data.seeding import seeded
from greensweep.data.split import (
    Batch,
    Split,
    StreamedSplit,
    Targets,
    TensorSplit,
    is_image,
    noun,
)
from greensweep.data.splits import Source, Splits, make_splits
from greensweep.errors import DataError

__all__ = [
    "Batch",
    "Source",
    "Split",
    "Splits",
    "StreamedSplit",
    "Targets",
    "TensorSplit",
    "is_image",
    "load_splits",
    "make_splits",
    "noun",
]


# One entry: the trials of a sweep share a data set, and two large ones need not fit in memory.
_loaded: dict[str, Splits] = {}


def load_splits(
    config: schema_dataset.DatasetConfig, seed: int, targets: Targets = "classes"
) -> Splits:
    """Load the splits of a data set; the same call again in this process returns the same object.

    Args:
        targets: what the labels are read as: class indices, int64 (N,), by which splits are
            stratified; labels, 0 or 1, float32 (N, K); values, float32 (N,) or (N, K).

    Raises:
        DataError: the data set is missing, broken, without such targets, or cannot be split as
            asked.
    """
    key = f"{config!r}, seed {seed}, {targets}"
    if key not in _loaded:
        _loaded.clear()
        with seeded(seed):
            _loaded[key] = make_splits(_read(config, targets), config, seed)
    return _loaded[key]


def _read(config: schema_dataset.DatasetConfig, targets: Targets) -> Source:
    # Each reader is imported when used: torchvision's take half a second.
    if isinstance(config, schema_dataset.CustomDatasetConfig):
        from greensweep.data.custom import custom

        return custom(config, targets)
    if targets != "classes":
        raise DataError(
            f"dataset {config.name} has classes, and no {targets} to learn: take one that has, as "
            "dataset=custom may"
        )
    if isinstance(config, schema_dataset.DigitsConfig):
        from greensweep.data.digits import digits

        return digits(config)
    if isinstance(config, schema_dataset.TorchvisionDatasetConfig):
        from greensweep.data.downloads import downloaded

        return downloaded(config)
    from greensweep.data.image_folder import image_folder

    return image_folder(cast(schema_dataset.ImageFolderConfig, config))
