"""A user's own network, by import path."""

import inspect
from typing import Any

from torch import nn

from greensweep.errors import ModelError, first_line
from greensweep.imports import import_target


def custom_model(
    target: str, image_shape: tuple[int, int, int], classes: int, kwargs: dict[str, Any]
) -> nn.Module:
    """Call `target` with `kwargs`, and `in_channels`, `image_size`, `num_classes` if it takes them.

    Args:
        image_shape: channels, height, width; `image_size` is the height of square images, and
            (height, width) of others.

    Raises:
        ModelError: the call fails or returns no nn.Module.
    """
    build = import_target("model.target", target)
    channels, height, width = image_shape
    image_size = height if height == width else (height, width)
    fitted = {"in_channels": channels, "image_size": image_size, "num_classes": classes}
    try:
        taken = inspect.signature(build).parameters
        arguments = {name: value for name, value in fitted.items() if name in taken} | kwargs
        model = build(**arguments)
    except Exception as error:
        raise ModelError(
            f"{target} cannot be built ({type(error).__name__}: {first_line(error)}): "
            "check the class and model.kwargs"
        ) from error
    if not isinstance(model, nn.Module):
        raise ModelError(f"{target} must give a torch.nn.Module, got {type(model).__name__}")
    return model
