"""A tree of images, `train/<class>/*` with optional `val/` and `test/`, decoded once."""

import hashlib
import logging
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor
from torch.utils.data import Dataset

from greensweep.config.schema import ImageFolderConfig
from greensweep.data.arrays import fits_in_memory, loader_workers
from greensweep.data.split import Split, StreamedSplit, TensorSplit
from greensweep.data.splits import Source
from greensweep.errors import DataError

log = logging.getLogger(__name__)

_CHANNELS = 3
_EXTENSIONS = {".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}
_FOLDERS = {"train": ("train",), "validation": ("val", "validation", "valid"), "test": ("test",)}


@dataclass(frozen=True)
class _Files:
    """The image files of one split, in a fixed order."""

    paths: tuple[Path, ...]
    labels: tuple[int, ...]


def image_folder(config: ImageFolderConfig) -> Source:
    """Read a folder of images as RGB.

    Raises:
        DataError: no folder, no images, one class, unlike classes or sizes, or an unreadable
            image when `config.corrupt` is fatal.
    """
    root = Path(config.root)
    train_folder = root / "train"
    if not train_folder.is_dir():
        raise DataError(
            f"dataset.root={config.root} has no folder train/: "
            "put images into train/<class>/ below it"
        )
    classes = tuple(sorted(entry.name for entry in train_folder.iterdir() if entry.is_dir()))
    parts = {name: _list_files(root, names, classes) for name, names in _FOLDERS.items()}
    train = parts["train"]
    if train is None or not train.paths:
        raise DataError(f"{train_folder} holds no images: put some into train/<class>/")
    empty = [name for index, name in enumerate(classes) if index not in set(train.labels)]
    if empty:
        raise DataError(f"{train_folder / empty[0]} holds no images: add some or remove the folder")
    size = _common_size(train, config)
    read = {name: _read(files, size, config) for name, files in parts.items() if files}
    return Source(
        train=read["train"],
        classes=classes,
        validation=read.get("validation"),
        test=read.get("test"),
    )


def _list_files(root: Path, names: tuple[str, ...], classes: tuple[str, ...]) -> _Files | None:
    folder = next((root / name for name in names if (root / name).is_dir()), None)
    if folder is None:
        return None
    paths: list[Path] = []
    labels: list[int] = []
    for entry in sorted(entry for entry in folder.iterdir() if entry.is_dir()):
        if entry.name not in classes:
            raise DataError(
                f"{entry} is a class that train/ does not have: rename it to one of "
                f"{', '.join(classes[:10])}, or add it to train/"
            )
        found = sorted(p for p in entry.rglob("*") if p.suffix.lower() in _EXTENSIONS)
        paths += found
        labels += [classes.index(entry.name)] * len(found)
    return _Files(tuple(paths), tuple(labels))


def _common_size(files: _Files, config: ImageFolderConfig) -> tuple[int, int]:
    """Height and width of every image: the configured size, or the one that all share."""
    if config.image_size is not None:
        return config.image_size, config.image_size
    first: tuple[Path, tuple[int, int]] | None = None
    for path in files.paths:
        try:
            with Image.open(path) as image:  # reads the header only
                size = (image.height, image.width)
        except (UnidentifiedImageError, OSError) as error:
            if config.corrupt == "fatal":
                raise _unreadable(path, error) from error
            continue
        if first is None:
            first = (path, size)
        elif size != first[1]:
            raise DataError(
                f"images differ in size ({first[0]} is {first[1][1]}x{first[1][0]}, {path} is "
                f"{size[1]}x{size[0]}): set dataset.image_size=32, say, to resize all"
            )
    if first is None:
        raise DataError(f"no image below {config.root} can be read: check the files")
    return first[1]


def _read(files: _Files, size: tuple[int, int], config: ImageFolderConfig) -> Split:
    shape = (_CHANNELS, *size)
    labels = torch.tensor(files.labels)
    if not fits_in_memory(len(files.paths) * int(np.prod(shape)), config.memory_share):
        dataset = _DecodedOnTheFly(files.paths, files.labels, size, config.corrupt)
        return StreamedSplit(dataset, labels, shape, loader_workers())
    images, readable = _decode_or_recall(files.paths, size, config)
    split = TensorSplit(images, labels)
    return split if len(readable) == len(labels) else split.select(readable)


def _decode_or_recall(
    paths: Sequence[Path], size: tuple[int, int], config: ImageFolderConfig
) -> tuple[Tensor, Tensor]:
    """Return images (N, 3, H, W) uint8 and the indices of those that could be read."""
    kept = None
    if config.cache is not None:
        kept = Path(config.cache) / f"{_content_key(paths, size)}.npz"
        if kept.is_file():
            try:
                with np.load(kept, allow_pickle=False) as arrays:
                    return torch.from_numpy(arrays["images"]), torch.from_numpy(arrays["readable"])
            except (OSError, ValueError, KeyError):
                log.warning("The image cache %s is broken and is made again.", kept)
    images = np.zeros((len(paths), _CHANNELS, *size), dtype=np.uint8)
    readable = []
    for index, path in enumerate(paths):
        try:
            images[index] = _decode(path, size)
            readable.append(index)
        except (UnidentifiedImageError, OSError) as error:
            if config.corrupt == "fatal":
                raise _unreadable(path, error) from error
            log.warning("Skipped %s: it cannot be read as an image.", path)
    if kept is not None and len(readable) == len(paths):
        _write_atomically(kept, images, np.array(readable))
    return torch.from_numpy(images), torch.tensor(readable, dtype=torch.int64)


def _decode(path: Path, size: tuple[int, int]) -> np.ndarray:
    """Return the image at `path` as uint8, shape (3, H, W)."""
    with Image.open(path) as image:
        rgb = image.convert("RGB")
        if (rgb.height, rgb.width) != size:
            rgb = rgb.resize((size[1], size[0]), Image.Resampling.BILINEAR)
        return np.asarray(rgb).transpose(2, 0, 1)


def _content_key(paths: Sequence[Path], size: tuple[int, int]) -> str:
    """A digest of the files' contents, in order, and the size that they are decoded to."""
    digest = hashlib.sha256(repr(size).encode())
    for path in paths:
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _write_atomically(path: Path, images: np.ndarray, readable: np.ndarray) -> None:
    """Keep decoded images; the cache is a convenience, so a full disk only costs a warning."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as part:
            np.savez(part, images=images, readable=readable)
        Path(part.name).replace(path)
    except OSError as error:
        log.warning("Decoded images are not cached: %s.", error)


def _unreadable(path: Path, error: Exception) -> DataError:
    return DataError(
        f"{path} cannot be read as an image ({type(error).__name__}): replace or remove it, "
        "or set dataset.corrupt=skip"
    )


class _DecodedOnTheFly(Dataset[tuple[Tensor | None, int]]):
    def __init__(
        self, paths: Sequence[Path], labels: Sequence[int], size: tuple[int, int], corrupt: str
    ):
        self.paths, self.labels, self.size, self.corrupt = paths, labels, size, corrupt

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Tensor | None, int]:
        path = self.paths[index]
        try:
            return torch.from_numpy(_decode(path, self.size).copy()), self.labels[index]
        except (UnidentifiedImageError, OSError) as error:
            if self.corrupt == "fatal":
                raise _unreadable(path, error) from error
            return None, self.labels[index]
