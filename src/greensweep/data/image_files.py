"""One image file: its size, its pixels."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from greensweep.errors import DataError, describe

with suppress(ImportError):  # who has it can read HEIC, which many telephones write
    import_module("pillow_heif").register_heif_opener()


class UnreadableImage(DataError):
    """A file that is no image, or a broken one."""


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    try:
        with Image.open(path) as image:
            yield image
    except Exception as error:  # broken files make Pillow raise nearly anything
        raise UnreadableImage(
            f"{path} cannot be read as an image ({describe(error)}): replace or remove it, "
            "or set dataset.corrupt=skip"
        ) from error


def upright_size(path: Path) -> tuple[int, int]:
    """Height and width of the upright image; its header alone tells of a square one.

    Raises:
        UnreadableImage: the file is broken.
    """
    with _opened(path) as image:
        if image.width != image.height:
            ImageOps.exif_transpose(image, in_place=True)
        return image.height, image.width


@dataclass(frozen=True)
class Decoder:
    """Turns files into RGB pixels of one `size` (height, width), resized to it or refused."""

    size: tuple[int, int]
    resize: bool

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width."""
        return (3, *self.size)

    def __call__(self, path: Path) -> np.ndarray:
        """Return the image at `path`, upright, as uint8 of shape (3, H, W).

        Raises:
            UnreadableImage: the file is broken.
            DataError: the image has another size and is not to be resized.
        """
        with _opened(path) as opened:
            image = of_8_bits(opened).convert("RGB")
        height, width = self.size
        if image.size != (width, height):
            if not self.resize:
                raise DataError(
                    f"images differ in size (the first is {width}x{height}, {path} is "
                    f"{image.width}x{image.height}): set dataset.image_size=32, say, to resize all"
                )
            image = image.resize((width, height), Image.Resampling.BILINEAR)
        return np.asarray(image).transpose(2, 0, 1)


def of_8_bits(image: Image.Image) -> Image.Image:
    """Return an image turned upright, which changes the argument, of 8 bits a channel.

    Raises:
        ValueError: its pixels are of unknown range.
    """
    # Loads it first: Pillow itself turns a TIFF then, and knows a PNG's orientation.
    ImageOps.exif_transpose(image, in_place=True)
    if image.mode.startswith("I;16"):  # which Pillow would clip to a byte
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ValueError("its pixels have 32 bits, of unknown range")
    return image
