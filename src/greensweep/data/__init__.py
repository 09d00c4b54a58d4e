"""Data sets as seeded training, validation and test splits."""

from pkgutil import resolve_name

from greensweep.config.schema_dataset import DatasetConfig
from greensweep.data.seeding import seeded
from greensweep.data.split import Split, StreamedSplit, Targets, TensorSplit, is_image, noun
from greensweep.data.splits import Source, Splits, make_splits
from greensweep.errors import DataError

__all__ = [
    "Source",
    "Split",
    "Splits",
    "StreamedSplit",
    "TensorSplit",
    "is_image",
    "load_splits",
    "make_splits",
    "noun",
]


# One entry: the trials of a sweep share a data set, and two large ones need not fit in memory.
_loaded: dict[str, Splits] = {}


def load_splits(config: DatasetConfig, seed: int, targets: Targets = "classes") -> Splits:
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


def _read(config: DatasetConfig, targets: Targets) -> Source:
    if targets not in config.targets:
        raise DataError(
            f"dataset {config.name} has {' or '.join(config.targets)}, and no {targets} to learn: "
            "take one that has, as dataset=custom may"
        )
    # Imported when used: torchvision's readers take half a second.
    read = resolve_name(config.reader)
    source: Source = read(config, targets) if len(config.targets) > 1 else read(config)
    return source
