"""What networks of images ask of their inputs."""

from collections.abc import Sequence

from greensweep.data import is_image
from greensweep.errors import ModelError


def image_shape(name: str, input_shape: Sequence[int]) -> tuple[int, int, int]:
    """Return channels, height and width.

    Raises:
        ModelError: the inputs are no images.
    """
    if not is_image(input_shape):
        raise ModelError(
            f"{name} takes images, and inputs of shape {tuple(input_shape)} are none: set "
            "model=mlp, or model=custom for a network of your own"
        )
    channels, height, width = input_shape
    return channels, height, width


def square_shape(name: str, input_shape: Sequence[int]) -> tuple[int, int]:
    """Return channels and side.

    Raises:
        ModelError: the inputs are no square images.
    """
    channels, height, width = image_shape(name, input_shape)
    if height != width:
        raise ModelError(
            f"{name} needs square images, got {height}x{width}: set dataset.image_size=32"
        )
    return channels, height
