"""torchvision's small image sets, verified by their published checksums before they are read."""

from pathlib import Path
from typing import Any
from urllib.error import URLError

import torch
from torchvision import datasets
from torchvision.datasets.utils import check_integrity

from greensweep.config.schema import TorchvisionDatasetConfig
from greensweep.data.arrays import tensor_split
from greensweep.data.splits import Source
from greensweep.errors import DataError, unknown

_CLASSES = {
    "mnist": "MNIST",
    "fashion_mnist": "FashionMNIST",
    "cifar10": "CIFAR10",
    "cifar100": "CIFAR100",
}


def downloaded(config: TorchvisionDatasetConfig) -> Source:
    """Read one of torchvision's data sets, fetching its files when missing and allowed.

    Raises:
        DataError: files are missing and cannot be fetched, or a checksum does not match.
    """
    if config.name not in _CLASSES:
        raise DataError(unknown("data set", config.name, _CLASSES))
    dataset_class = getattr(datasets, _CLASSES[config.name])
    _verify(config, dataset_class)
    try:
        train = dataset_class(config.root, train=True, download=config.download)
        test = dataset_class(config.root, train=False, download=config.download)
    except (URLError, OSError, RuntimeError) as error:
        raise DataError(
            f"{config.name} is missing and could not be downloaded ({error}): "
            f"put {_expected(config, dataset_class)}"
        ) from error
    return Source(
        train=tensor_split(train.data, torch.as_tensor(train.targets), config.image_size),
        test=tensor_split(test.data, torch.as_tensor(test.targets), config.image_size),
        classes=tuple(train.classes),
    )


def _files(config: TorchvisionDatasetConfig, dataset_class: Any) -> dict[Path, str]:
    """Each file that the data set is read from, with its MD5 as torchvision publishes it."""
    root = Path(config.root)
    if issubclass(dataset_class, datasets.MNIST):
        folder = root / dataset_class.__name__ / "raw"
        return {folder / name: md5 for name, md5 in dataset_class.resources}
    folder = root / dataset_class.base_folder
    listed = [*dataset_class.train_list, *dataset_class.test_list]
    listed.append([dataset_class.meta["filename"], dataset_class.meta["md5"]])
    return {folder / name: md5 for name, md5 in listed}


def _expected(config: TorchvisionDatasetConfig, dataset_class: Any) -> str:
    files = _files(config, dataset_class)
    folder = next(iter(files)).parent
    return f"{', '.join(path.name for path in files)} into {folder}"


def _verify(config: TorchvisionDatasetConfig, dataset_class: Any) -> None:
    """Refuse a file whose checksum is wrong, and missing files that may not be fetched."""
    files = _files(config, dataset_class)
    for path, md5 in files.items():
        if path.is_file() and not check_integrity(str(path), md5):
            raise DataError(
                f"{path} does not match its published checksum (MD5 {md5}): delete it and fetch "
                "it again"
            )
    if not config.download and not all(path.is_file() for path in files):
        raise DataError(
            f"{config.name} is missing and dataset.download=false: "
            f"put {_expected(config, dataset_class)}"
        )
