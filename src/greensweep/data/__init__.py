"""Data sets as seeded training, validation and test splits."""

from typing import cast

from greensweep.config import schema_dataset
from greensweep.data.seeding import seeded
from greensweep.data.split import Batch, Split, StreamedSplit, TensorSplit
from greensweep.data.splits import Source, Splits, make_splits

__all__ = [
    "Batch",
    "Source",
    "Split",
    "Splits",
    "StreamedSplit",
    "TensorSplit",
    "load_splits",
    "make_splits",
]


# One entry: the trials of a sweep share a data set, and two large ones need not fit in memory.
_loaded: dict[str, Splits] = {}


def load_splits(config: schema_dataset.DatasetConfig, seed: int) -> Splits:
    """Load the splits of a data set; the same call again in this process returns the same object.

    Raises:
        DataError: the data set is missing, broken, or cannot be split as asked.
    """
    key = f"{config!r}, seed {seed}"
    if key not in _loaded:
        _loaded.clear()
        with seeded(seed):
            _loaded[key] = make_splits(_read(config), config, seed)
    return _loaded[key]


def _read(config: schema_dataset.DatasetConfig) -> Source:
    # Each reader is imported when used: torchvision's take half a second.
    if isinstance(config, schema_dataset.DigitsConfig):
        from greensweep.data.digits import digits

        return digits(config)
    if isinstance(config, schema_dataset.TorchvisionDatasetConfig):
        from greensweep.data.downloads import downloaded

        return downloaded(config)
    if isinstance(config, schema_dataset.ImageFolderConfig):
        from greensweep.data.image_folder import image_folder

        return image_folder(config)
    from greensweep.data.custom import custom

    return custom(cast(schema_dataset.CustomDatasetConfig, config))
