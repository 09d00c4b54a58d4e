"""A tree of images, `train/<class>/*` with optional `val/` and `test/`."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod
from pathlib import Path

import torch
from torch.utils.data import Dataset

from greensweep.config.schema import ImageFolderConfig
from greensweep.data.arrays import fits_in_memory, loader_workers
from greensweep.data.image_cache import decode_or_recall, warn_skipped
from greensweep.data.image_files import Decoder, UnreadableImage, is_image, upright_size
from greensweep.data.split import Split, StreamedItem, StreamedSplit, TensorSplit
from greensweep.data.splits import Source
from greensweep.errors import DataError

_FOLDERS = {"train": ("train",), "validation": ("val", "validation", "valid"), "test": ("test",)}


@dataclass(frozen=True)
class _Files:
    """The image files of one split, in a fixed order."""

    paths: tuple[Path, ...]
    labels: tuple[int, ...]


def image_folder(config: ImageFolderConfig) -> Source:
    """Read a folder of images as RGB, turned upright where EXIF says so.

    Raises:
        DataError: no folder, no images, one class, unlike classes or sizes, or an unreadable
            image when `config.corrupt` is fatal.
    """
    parts, classes = _list_parts(Path(config.root))
    decoder = Decoder(_common_size(parts["train"], config), resize=config.image_size is not None)
    size_bytes = sum(len(files.paths) for files in parts.values()) * prod(decoder.shape)
    read = _decoded if fits_in_memory(size_bytes, config.memory_share) else _streamed
    splits = {name: read(files, decoder, config) for name, files in parts.items()}
    train_folder = Path(config.root) / "train"
    _check_every_class(splits["train"].labels.tolist(), classes, train_folder, "readable image")
    return Source(
        train=splits["train"],
        classes=classes,
        validation=splits.get("validation"),
        test=splits.get("test"),
    )


def _list_parts(root: Path) -> tuple[dict[str, _Files], tuple[str, ...]]:
    """Return the files of each split that the tree has, and the classes, train's folders."""
    if not (root / "train").is_dir():
        raise DataError(
            f"dataset.root={root} has no folder train/: put images into train/<class>/ below it"
        )
    classes = tuple(entry.name for entry in _class_folders(root / "train"))
    parts = {}
    for name, folders in _FOLDERS.items():
        folder = next((root / each for each in folders if (root / each).is_dir()), None)
        if folder is not None:
            parts[name] = _list_files(folder, classes)
    _check_every_class(parts["train"].labels, classes, root / "train", "image")
    return parts, classes


def _class_folders(folder: Path) -> list[Path]:
    return sorted(e for e in folder.iterdir() if e.is_dir() and not e.name.startswith("."))


def _list_files(folder: Path, classes: tuple[str, ...]) -> _Files:
    paths: list[Path] = []
    labels: list[int] = []
    for entry in _class_folders(folder):
        if entry.name not in classes:
            raise DataError(
                f"{entry} is a class that train/ does not have: rename it to one of "
                f"{', '.join(classes[:10])}, or add it to train/"
            )
        found = sorted(path for path in entry.rglob("*") if is_image(path, entry))
        paths += found
        labels += [classes.index(entry.name)] * len(found)
    if not paths:
        raise DataError(
            f"{folder} holds no images: put some into {folder.name}/<class>/"
            f"{'' if folder.name == 'train' else ', or remove the folder'}"
        )
    return _Files(tuple(paths), tuple(labels))


def _check_every_class(
    labels: Iterable[int], classes: tuple[str, ...], folder: Path, what: str
) -> None:
    present = set(labels)
    for index, name in enumerate(classes):
        if index not in present:
            raise DataError(f"{folder / name} holds no {what}: add some or remove the folder")


def _common_size(files: _Files, config: ImageFolderConfig) -> tuple[int, int]:
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


def _decoded(files: _Files, decoder: Decoder, config: ImageFolderConfig) -> Split:
    images, readable = decode_or_recall(
        files.paths, decoder, skip_broken=config.corrupt == "skip", cache=config.cache
    )
    labels = torch.tensor(files.labels, dtype=torch.int64)
    return TensorSplit(torch.from_numpy(images), labels[torch.from_numpy(readable)])


def _streamed(files: _Files, decoder: Decoder, config: ImageFolderConfig) -> Split:
    dataset = _DecodedOnTheFly(files, decoder, skip_broken=config.corrupt == "skip")
    labels = torch.tensor(files.labels, dtype=torch.int64)
    return StreamedSplit(dataset, labels, decoder.shape, loader_workers())


class _DecodedOnTheFly(Dataset[StreamedItem]):
    def __init__(self, files: _Files, decoder: Decoder, skip_broken: bool):
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
