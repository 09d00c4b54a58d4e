"""A tree of images, `train/<class>/*` with optional `val/` and `test/`."""

from math import prod
from pathlib import Path

import torch
from torch.utils.data import Dataset

from greensweep.config.schema_dataset import ImageFolderConfig
from greensweep.data.image_cache import decode_or_recall, warn_skipped
from greensweep.data.image_files import Decoder, UnreadableImage, upright_size
from greensweep.data.image_tree import ImageFiles, check_every_class, list_parts
from greensweep.data.split import Split, StreamedItem, StreamedSplit, TensorSplit, loader_workers
from greensweep.data.splits import Source
from greensweep.errors import DataError
from greensweep.resources import fits_in_memory


def image_folder(config: ImageFolderConfig) -> Source:
    """Read a folder of images as RGB, turned upright where EXIF says so.

    Raises:
        DataError: no folder, no images, one class, unlike classes or sizes, or an unreadable
            image when `config.corrupt` is fatal.
    """
    parts, classes = list_parts(Path(config.root))
    decoder = Decoder(_common_size(parts["train"], config), resize=config.image_size is not None)
    size_bytes = sum(len(files.paths) for files in parts.values()) * prod(decoder.shape)
    read = _decoded if fits_in_memory(size_bytes, config.memory_share) else _streamed
    splits = {name: read(files, decoder, config) for name, files in parts.items()}
    train_folder = Path(config.root) / "train"
    check_every_class(splits["train"].labels.tolist(), classes, train_folder, "readable image")
    return Source(
        train=splits["train"],
        classes=classes,
        validation=splits.get("validation"),
        test=splits.get("test"),
    )


def _common_size(files: ImageFiles, config: ImageFolderConfig) -> tuple[int, int]:
    """Height and width of every image: the configured size, or that of the first readable one."""
    if config.image_size is not None:
        return config.image_size, config.image_size
    for path in files.paths:
        try:
            return upright_size(path)
        except UnreadableImage:
            if config.corrupt == "fatal":
                raise
    raise DataError(f"no image below {config.root} can be read: check the files")


def _decoded(files: ImageFiles, decoder: Decoder, config: ImageFolderConfig) -> Split:
    images, readable = decode_or_recall(
        files.paths, decoder, skip_broken=config.corrupt == "skip", cache=config.cache
    )
    labels = torch.tensor(files.labels, dtype=torch.int64)
    return TensorSplit(torch.from_numpy(images), labels[torch.from_numpy(readable)])


def _streamed(files: ImageFiles, decoder: Decoder, config: ImageFolderConfig) -> Split:
    dataset = _DecodedOnTheFly(files, decoder, skip_broken=config.corrupt == "skip")
    labels = torch.tensor(files.labels, dtype=torch.int64)
    return StreamedSplit(dataset, labels, decoder.shape, loader_workers())


class _DecodedOnTheFly(Dataset[StreamedItem]):
    def __init__(self, files: ImageFiles, decoder: Decoder, skip_broken: bool):
        self.files, self.decoder, self.skip_broken = files, decoder, skip_broken

    def __len__(self) -> int:
        return len(self.files.paths)

    def __getitem__(self, index: int) -> StreamedItem:
        path = self.files.paths[index]
        try:
            return torch.from_numpy(self.decoder(path).copy()), self.files.labels[index]
        except UnreadableImage:
            if not self.skip_broken:
                raise
            warn_skipped(path)
            return None, self.files.labels[index]
