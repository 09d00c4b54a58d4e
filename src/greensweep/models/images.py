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
