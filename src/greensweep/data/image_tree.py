"""Which files of a tree are images, of which split and which class."""

import logging
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from PIL import Image

from greensweep.errors import DataError, listed

log = logging.getLogger(__name__)

_FOLDERS = {"train": ("train",), "validation": ("val", "validation", "valid"), "test": ("test",)}
# What holds pixels alone: Pillow opens documents, films and programs of PostScript too. HEIF needs
# pillow-heif.
_FORMATS = {
    "AVIF", "BMP", "DIB", "GIF", "HEIF", "JPEG", "JPEG2000", "PNG", "PPM", "QOI", "TGA",
    "TIFF", "WEBP",
}  # fmt: skip
# What systems leave beside images, besides hidden files.
_CLUTTER = {"__macosx", "@eadir", "thumbs.db", "desktop.ini"}


@dataclass(frozen=True)
class ImageFiles:
    """The image files of one split, in a fixed order."""

    paths: tuple[Path, ...]
    labels: tuple[int, ...]


def list_parts(root: Path) -> tuple[dict[str, ImageFiles], tuple[str, ...]]:
    """Return the files of each split that the tree has, and the classes, train's folders.

    Links are followed. What is no image is counted in a warning.

    Raises:
        DataError: no train/, two folders of one split, a folder that leads nowhere or may not be
            read, a split without images, or a class that train/ does not have or has no image of.
    """
    if not (root / "train").is_dir():
        raise DataError(
            f"dataset.root={root} has no folder train/: put images into train/<class>/ below it"
        )
    classes = tuple(entry.name for entry in _folders(root / "train"))
    parts = {}
    for name, folders in _FOLDERS.items():
        found = [root / each for each in folders if (root / each).is_dir()]
        if len(found) > 1:
            both = " and ".join(f"{each.name}/" for each in found)
            raise DataError(f"{root} has {both}, which are one split: keep one of them")
        if found:
            parts[name] = _list_files(found[0], classes)
    known = {each for folders in _FOLDERS.values() for each in folders}
    other = [entry.name for entry in _folders(root) if entry.name not in known]
    if other:
        log.warning(
            "Not read below %s: %s. Splits are called train, val and test.", root, listed(other)
        )
    check_every_class(parts["train"].labels, classes, root / "train", "image")
    return parts, classes


def check_every_class(
    labels: Iterable[int], classes: tuple[str, ...], folder: Path, what: str
) -> None:
    """Refuse a class of which there is no image.

    Raises:
        DataError: naming its folder below `folder`.
    """
    present = set(labels)
    for index, name in enumerate(classes):
        if index not in present:
            raise DataError(f"{folder / name} holds no {what}: add some or remove the folder")


def images_below(folder: Path) -> Iterator[Path]:
    """Yield the image files below a folder, whatever the folders that they lie in.

    Raises:
        DataError: a folder may not be read.
    """
    return filter(_is_image, _files_below(folder))


def _folders(folder: Path) -> list[Path]:
    entries = sorted(entry for entry in folder.iterdir() if not _is_clutter(entry.name))
    for entry in entries:
        if entry.is_symlink() and not entry.exists():
            raise DataError(
                f"{entry} links to {entry.readlink()}, which is not there: mend or remove the link"
            )
    return [entry for entry in entries if entry.is_dir()]


def _is_clutter(name: str) -> bool:
    return name.startswith(".") or name.lower() in _CLUTTER


def _list_files(folder: Path, classes: tuple[str, ...]) -> ImageFiles:
    paths: list[Path] = []
    labels: list[int] = []
    other: list[Path] = []
    loose = [path for path in folder.iterdir() if _is_image(path) and not path.is_dir()]
    if loose:
        log.warning(
            "%d images lie in %s itself, outside of a class, and are left out.", len(loose), folder
        )
    for entry in _folders(folder):
        if entry.name not in classes:
            raise DataError(
                f"{entry} is a class that train/ does not have: rename it to one of "
                f"{listed(classes)}, or add it to train/"
            )
        files = sorted(_files_below(entry))
        found = [path for path in files if _is_image(path)]
        other += [path for path in files if not _is_image(path)]
        paths += found
        labels += [classes.index(entry.name)] * len(found)
    if other:
        kinds = Counter(path.suffix or "without suffix" for path in other)
        counted = listed([f"{count} {kind}" for kind, count in kinds.most_common()])
        log.warning(
            f"{len(other)} files below {folder} are no images that can be read and are left out: "
            f"{counted}. Convert pictures among them to PNG, or install pillow-heif for HEIC."
        )
    if not paths:
        raise DataError(
            f"{folder} holds no images: put some into {folder.name}/<class>/"
            f"{'' if folder.name == 'train' else ', or remove the folder'}"
        )
    return ImageFiles(tuple(paths), tuple(labels))


def _files_below(folder: Path) -> Iterator[Path]:
    """Yield the files below `folder` and below what it links to, but not what systems leave."""
    for top, folders, names in os.walk(folder, followlinks=True, onerror=_refuse):
        here = Path(top)
        folders[:] = [
            name
            for name in folders
            if not _is_clutter(name) and not _leads_back(here / name, folder)
        ]
        yield from (here / name for name in names if not _is_clutter(name))


def _refuse(error: OSError) -> None:
    raise DataError(
        f"{error.filename} cannot be read ({error.strerror}): make it readable or remove it"
    ) from error


def _leads_back(path: Path, folder: Path) -> bool:
    """Tell, with a warning, whether a link leads to what it lies in, `folder` or above it."""
    if not path.is_symlink():
        return False
    target = path.resolve()
    lies_in = [parent for parent in path.parents if parent.is_relative_to(folder)]
    leads_back = any(parent.resolve().is_relative_to(target) for parent in lies_in)
    if leads_back:
        log.warning("%s links to a folder that it lies in and is not followed.", path)
    return leads_back


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in _suffixes() and not _is_clutter(path.name)


@cache  # the formats that Pillow reads do not change
def _suffixes() -> frozenset[str]:
    known = Image.registered_extensions()  # which loads all of Pillow's formats
    return frozenset(
        suffix for suffix, name in known.items() if name in _FORMATS and name in Image.OPEN
    )
