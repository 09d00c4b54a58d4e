"""Decoded images, kept on disk under a key of the files' contents."""

import hashlib
import logging
import zipfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from greensweep.data.image_files import Decoder, UnreadableImage
from greensweep.files import write_whole
from greensweep.resources import usable_cores

log = logging.getLogger(__name__)

_DECODED_AT_ONCE = 256
# Part of each key: a change in how images are decoded makes old caches unused.
_FORMAT = 2

Decoded = tuple[np.ndarray, np.ndarray]
"""The images that can be read, uint8 (M, 3, H, W), and their indices, int64 (M,)."""


def decode_or_recall(
    paths: Sequence[Path], decoder: Decoder, *, skip_broken: bool, cache: str | None
) -> Decoded:
    """Decode the images at `paths`, or take them from the folder `cache`.

    Images that cannot be read are named in a warning and left out.

    Raises:
        UnreadableImage: there is one, and `skip_broken` is false.
        DataError: an image has another size and is not to be resized.
    """
    kept = Path(cache) / f"{_content_key(paths, decoder)}.npz" if cache is not None else None
    recalled = _recall(kept) if kept is not None else None
    images, readable = recalled or _decode(paths, decoder, skip_broken)
    for index in sorted(set(range(len(paths))) - set(readable.tolist())):
        if not skip_broken:
            decoder(paths[index])
        warn_skipped(paths[index])
    if kept is not None and recalled is None:
        _write_atomically(kept, images, readable)
    return images, readable


def warn_skipped(path: Path) -> None:
    """Name an image that is left out."""
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


def _write_atomically(kept: Path, images: np.ndarray, readable: np.ndarray) -> None:
    """Keep decoded images; the cache is a convenience, so a full disk only costs a warning."""

    def save(part: Path) -> None:
        with part.open("wb") as file:  # to a path's name NumPy would add its own ending
            np.savez(file, images=images, readable=readable)

    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        write_whole(kept, save)
    except OSError as error:
        log.warning("Decoded images are not cached: %s.", error)
