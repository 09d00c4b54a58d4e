"""One image file: whether it is one, its size, its pixels."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageOps

from greensweep.errors import DataError, first_line

_CHANNELS = 3
_EXTENSIONS = {".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}


class UnreadableImage(DataError):
    """A file that is no image, or a broken one."""


def is_image(path: Path, folder: Path) -> bool:
    """Tell by its name whether a file below `folder` is an image; hidden ones are the system's."""
    hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
    return path.suffix.lower() in _EXTENSIONS and not hidden and not path.is_dir()


def upright_size(path: Path) -> tuple[int, int]:
    """Height and width of the upright image, from the file's header alone.

    Raises:
        UnreadableImage: the file is broken.
    """
    try:
        with Image.open(path) as image:
            lying = _orientation(image) >= 5
            return (image.width, image.height) if lying else (image.height, image.width)
    except Exception as error:
        raise _unreadable(path, error) from error


@dataclass(frozen=True)
class Decoder:
    """Turns files into RGB pixels of one `size` (height, width), resized to it or refused."""

    size: tuple[int, int]
    resize: bool

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width."""
        return (_CHANNELS, *self.size)

    def __call__(self, path: Path) -> np.ndarray:
        """Return the image at `path`, upright, as uint8 of shape (3, H, W).

        Raises:
            UnreadableImage: the file is broken.
            DataError: the image has another size and is not to be resized.
        """
        image = _open_rgb(path)
        height, width = self.size
        if image.size != (width, height):
            if not self.resize:
                raise DataError(
                    f"images differ in size (the first is {width}x{height}, {path} is "
                    f"{image.width}x{image.height}): set dataset.image_size=32, say, to resize all"
                )
            image = image.resize((width, height), Image.Resampling.BILINEAR)
        return np.asarray(image).transpose(2, 0, 1)


def _open_rgb(path: Path) -> Image.Image:
    try:
        with Image.open(path) as opened:
            image = opened if _orientation(opened) == 1 else ImageOps.exif_transpose(opened)
            if image.mode.startswith("I;16"):  # which Pillow would clip to a byte
                image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
            if image.mode in ("I", "F"):
                raise ValueError("its pixels have 32 bits, of unknown range")
            return image.convert("RGB")
    except Exception as error:  # broken files make Pillow raise nearly anything
        raise _unreadable(path, error) from error


def _orientation(image: Image.Image) -> int:
    """EXIF's orientation, 1 for upright; a PNG, which hardly has one, would have to be decoded."""
    if image.format == "PNG":
        return 1
    return int(image.getexif().get(ExifTags.Base.Orientation, 1))


def _unreadable(path: Path, error: Exception) -> UnreadableImage:
    return UnreadableImage(
        f"{path} cannot be read as an image ({type(error).__name__}: {first_line(error)}): "
        "replace or remove it, or set dataset.corrupt=skip"
    )
