"""How large the splits of a data set are, told without its files where that is published."""

from dataclasses import dataclass
from math import ceil

from greensweep.config.schema_dataset import DatasetConfig, TorchvisionDatasetConfig
from greensweep.data import load_splits

# Channels, side in pixels, training images, classes.
_PUBLISHED = {
    "mnist": (1, 28, 60_000, 10),
    "fashion_mnist": (1, 28, 60_000, 10),
    "cifar10": (3, 32, 50_000, 10),
    "cifar100": (3, 32, 50_000, 100),
}


@dataclass(frozen=True)
class Sizes:
    """Of a data set's splits.

    Attributes:
        image_shape: channels, height, width.
        train, validation: images.
    """

    image_shape: tuple[int, int, int]
    classes: int
    train: int
    validation: int


def split_sizes(config: DatasetConfig, seed: int) -> Sizes:
    """Return the sizes of the splits that `load_splits` returns.

    Raises:
        DataError: the data set has to be read for it, and cannot be.
    """
    if not isinstance(config, TorchvisionDatasetConfig):
        splits = load_splits(config, seed)
        return Sizes(
            splits.image_shape, len(splits.classes), len(splits.train), len(splits.validation)
        )
    channels, side, images, classes = _PUBLISHED[config.name]
    side = config.image_size or side
    validation = ceil(config.validation_fraction * images)
    train = min(images - validation, config.train_limit or images)
    shown = min(validation, config.evaluation_limit or validation)
    return Sizes((channels, side, side), classes, train, shown)
