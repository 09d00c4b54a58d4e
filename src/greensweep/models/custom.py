"""A user's own network, by import path."""

import inspect
from typing import Any

from torch import nn

from greensweep.config.schema_model import CustomModelConfig
from greensweep.data import is_image
from greensweep.errors import ModelError, describe
from greensweep.imports import import_target


def custom_model(
    config: CustomModelConfig, input_shape: tuple[int, ...], outputs: int
) -> nn.Module:
    """Call `config.target` with its `kwargs`, and of what tells about the data with what it takes.

    That is `input_shape` and `num_outputs`, also called `num_classes`, and its first axis,
    `in_channels`; of images `image_size`, the height of square ones, (height, width) of others.

    Raises:
        ModelError: the call fails or returns no nn.Module.
    """
    target, kwargs = config.target, config.kwargs
    build = import_target("model.target", target)
    fitted: dict[str, Any] = {"input_shape": input_shape, "in_channels": input_shape[0]}
    fitted |= {"num_outputs": outputs, "num_classes": outputs}
    if is_image(input_shape):
        _, height, width = input_shape
        fitted["image_size"] = height if height == width else (height, width)
    try:
        taken = inspect.signature(build).parameters
        arguments = {name: value for name, value in fitted.items() if name in taken} | kwargs
        model = build(**arguments)
    except Exception as error:
        raise ModelError(
            f"{target} cannot be built ({describe(error)}): check the class and model.kwargs"
        ) from error
    if not isinstance(model, nn.Module):
        raise ModelError(f"{target} must give a torch.nn.Module, got {type(model).__name__}")
    return model
