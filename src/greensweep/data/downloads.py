"""torchvision's small image sets, verified by their published checksums before they are read."""

import gzip
import logging
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from torchvision import datasets
from torchvision.datasets.utils import check_integrity, download_url, extract_archive

from greensweep.config.schema_dataset import TorchvisionDatasetConfig
from greensweep.data.arrays import tensor_split
from greensweep.data.split import TensorSplit
from greensweep.data.splits import Source
from greensweep.errors import DataError, first_line

log = logging.getLogger(__name__)

_CLASSES = {
    "mnist": "MNIST",
    "fashion_mnist": "FashionMNIST",
    "cifar10": "CIFAR10",
    "cifar100": "CIFAR100",
}
# torchvision sets no limit of its own: a network that drops packets would hang a run for ever.
_TIMEOUT_SECONDS = 10.0
_FAILURES = (OSError, RuntimeError, HTTPException)


@dataclass(frozen=True)
class _File:
    """A published file: where it belongs, its MD5, and where it can be had."""

    path: Path
    md5: str
    urls: tuple[str, ...]


def downloaded(config: TorchvisionDatasetConfig) -> Source:
    """Read one of torchvision's data sets, fetching its files when missing and allowed.

    Raises:
        DataError: files are missing and cannot be fetched, or a checksum does not match.
    """
    dataset_class = getattr(datasets, _CLASSES[config.name])
    read = _mnist if issubclass(dataset_class, datasets.MNIST) else _cifar
    return read(config, dataset_class)


def _mnist(config: TorchvisionDatasetConfig, dataset_class: Any) -> Source:
    folder = Path(config.root) / dataset_class.__name__ / "raw"
    files = [
        _File(folder / name, md5, tuple(mirror + name for mirror in dataset_class.mirrors))
        for name, md5 in dataset_class.resources
    ]
    _fetch(files, config)

    # Not through torchvision's class: it reads unpacked copies, which have no checksum.
    def split(part: str) -> TensorSplit:
        images = _read_idx(folder / f"{part}-images-idx3-ubyte.gz")
        labels = _read_idx(folder / f"{part}-labels-idx1-ubyte.gz")
        return tensor_split(images, labels, config.image_size)

    return Source(split("train"), tuple(dataset_class.classes), test=split("t10k"))


def _cifar(config: TorchvisionDatasetConfig, dataset_class: Any) -> Source:
    root = Path(config.root)
    listed = [*dataset_class.train_list, *dataset_class.test_list]
    listed.append([dataset_class.meta["filename"], dataset_class.meta["md5"]])
    batches = {root / dataset_class.base_folder / name: md5 for name, md5 in listed}
    if not all(path.is_file() for path in batches):
        archive = _File(root / dataset_class.filename, dataset_class.tgz_md5, (dataset_class.url,))
        _fetch([archive], config)
        extract_archive(str(archive.path), str(root))
    for path, md5 in batches.items():
        _verify(path, md5)  # the files are pickles: nothing is loaded before all have passed

    read = [dataset_class(root, train=train) for train in (True, False)]
    train, test = (tensor_split(each.data, each.targets, config.image_size) for each in read)
    return Source(train, tuple(read[0].classes), test=test)


def _read_idx(path: Path) -> np.ndarray:
    """Read bytes of any shape in LeCun's IDX format: two zeros, type, rank, sizes, values."""
    content = gzip.decompress(path.read_bytes())
    rank = content[3]
    shape = struct.unpack_from(f">{rank}I", content, offset=4)
    return np.frombuffer(content, dtype=np.uint8, offset=4 + 4 * rank).reshape(shape)


def _verify(path: Path, md5: str) -> None:
    if not check_integrity(str(path), md5):
        raise DataError(
            f"{path} does not match its published checksum (MD5 {md5}): delete it and fetch it "
            "again"
        )


def _fetch(files: list[_File], config: TorchvisionDatasetConfig) -> None:
    """Download those of `files` that are missing, one process at a time, and verify all."""
    if not all(file.path.is_file() for file in files):
        if not config.download:
            raise _missing(files, config, "dataset.download=false")
        try:
            root = Path(config.root)
            root.mkdir(parents=True, exist_ok=True)
            with FileLock(root / f".{config.name}.lock"), _network_timeout(_TIMEOUT_SECONDS):
                for file in files:
                    if not file.path.is_file():
                        _download(file)
        except _FAILURES as error:
            why = f"could not be downloaded ({first_line(error)})"
            raise _missing(files, config, why) from error
    for file in files:
        _verify(file.path, file.md5)


def _download(file: _File) -> None:
    """Fetch one file from the first of its addresses that has it; leave no half of it."""
    for url in file.urls:
        try:
            download_url(url, str(file.path.parent), file.path.name, file.md5)
            return
        except _FAILURES:
            if url == file.urls[-1]:
                raise
            log.warning("%s cannot be had from %s.", file.path.name, url)
        finally:
            if not check_integrity(str(file.path), file.md5):
                file.path.unlink(missing_ok=True)


def _missing(files: list[_File], config: TorchvisionDatasetConfig, why: str) -> DataError:
    names = ", ".join(file.path.name for file in files)
    address = files[0].urls[0].rpartition("/")[0]
    return DataError(
        f"{config.name} is missing and {why}: put {names} (from {address}) "
        f"into {files[0].path.parent}"
    )


@contextmanager
def _network_timeout(seconds: float) -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
