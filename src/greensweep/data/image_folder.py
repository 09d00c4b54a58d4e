"""A tree of images, `train/<class>/*` with optional `val/` and `test/`, held or streamed.

Decoded images may be kept on disk, under a key of the files' contents.
"""

import hashlib
import logging
import zipfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from math import prod
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import Dataset

from greensweep.config.schema_dataset import ImageFolderConfig
from greensweep.data.image_files import Decoder, UnreadableImage, upright_size
from greensweep.data.image_tree import ImageFiles, check_every_class, list_parts
from greensweep.data.split import Split, StreamedItem, StreamedSplit, TensorSplit, loader_workers
from greensweep.data.splits import Source
from greensweep.errors import DataError
from greensweep.files import write_whole
from greensweep.messages import message_of
from greensweep.resources import fits_in_memory, usable_cores

log = logging.getLogger(__name__)

_DECODED_AT_ONCE = 256
# Part of each key: a change in how images are decoded makes old caches unused.
_FORMAT = 2

Decoded = tuple[np.ndarray, np.ndarray]
"""The images that can be read, uint8 (M, 3, H, W), and their indices, int64 (M,)."""


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
    return Source(splits["train"], classes, splits.get("validation"), splits.get("test"))


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
    """Decode images, or take them from the cache; those that cannot be read are left out."""
    paths, skip_broken, kept = files.paths, config.corrupt == "skip", None
    if config.cache is not None:
        kept = Path(config.cache) / f"{_content_key(paths, decoder)}.npz"
    recalled = _recall(kept) if kept is not None else None
    images, readable = recalled or _decode(paths, decoder, skip_broken)
    for index in sorted(set(range(len(paths))) - set(readable.tolist())):
        if not skip_broken:
            decoder(paths[index])
        _warn_skipped(paths[index])
    if kept is not None and recalled is None:
        _keep(kept, images, readable)
    labels = torch.tensor(files.labels, dtype=torch.int64)
    return TensorSplit(torch.from_numpy(images), labels[torch.from_numpy(readable)])


def _warn_skipped(path: Path) -> None:
    log.warning("Skipped %s: it cannot be read as an image.", path)


def _decode(paths: Sequence[Path], decoder: Decoder, skip_broken: bool) -> Decoded:
    images = np.empty((len(paths), *decoder.shape), dtype=np.uint8)

    def decode_from(start: int) -> list[int]:
        readable = []
        for index in range(start, min(start + _DECODED_AT_ONCE, len(paths))):
            try:
                images[index] = decoder(paths[index])
                readable.append(index)
            except UnreadableImage:
                if not skip_broken:
                    raise
        return readable

    # Python's own number of threads, but of the cores that may be used.
    with ThreadPoolExecutor(min(32, usable_cores() + 4)) as pool:
        chunks = list(pool.map(decode_from, range(0, len(paths), _DECODED_AT_ONCE)))
    readable = np.array([index for chunk in chunks for index in chunk], dtype=np.int64)
    return (images if len(readable) == len(paths) else images[readable]), readable


def _content_key(paths: Sequence[Path], decoder: Decoder) -> str:
    """A digest of the files' contents, in order, and of how they are decoded."""
    digest = hashlib.sha256(repr((_FORMAT, decoder)).encode())
    for path in paths:
        try:
            digest.update(hashlib.sha256(path.read_bytes()).digest())
        except OSError:  # decoding will say so
            digest.update(b"unreadable")
    return digest.hexdigest()


def _recall(kept: Path) -> Decoded | None:
    if not kept.is_file():
        return None
    try:
        with np.load(kept, allow_pickle=False) as arrays:
            return arrays["images"], arrays["readable"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        log.warning("The image cache %s is broken and is made again.", kept)
        return None


def _keep(kept: Path, images: np.ndarray, readable: np.ndarray) -> None:
    """Keep decoded images; the cache is a convenience, so a full disk only costs a warning."""

    def save(part: Path) -> None:
        with part.open("wb") as file:  # to a path's name NumPy would add its own ending
            np.savez(file, images=images, readable=readable)

    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        write_whole(kept, save)
    except OSError as error:
        log.warning("Decoded images are not cached: %s.", message_of(error, ""))


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
            _warn_skipped(path)
            return None, self.files.labels[index]
