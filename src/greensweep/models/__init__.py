"""Networks, fitted to the data set, and the census of their layers."""

from collections.abc import Sequence
from functools import partial

from torch import nn

from greensweep.config import schema_model as schema
from greensweep.data import is_image
from greensweep.errors import ModelError
from greensweep.models.census import LayerCensus, take_census
from greensweep.models.memory import build_where_it_fits, check_batch_fits

__all__ = ["LayerCensus", "build_model", "check_batch_fits", "model_name", "take_census"]


def build_model(
    config: schema.ModelConfig, input_shape: tuple[int, ...], outputs: int
) -> nn.Module:
    """Build the configured network for inputs of a shape.

    Args:
        input_shape: without the batch; channels, height and width of images.
        outputs: numbers that the network returns for an input.

    Raises:
        ModelError: the network does not exist or does not fit the inputs.
    """
    match config:
        case schema.SimpleCnnConfig():
            from greensweep.models.paper import simple_cnn

            build = partial(
                simple_cnn,
                *_square(config, input_shape),
                outputs,
                conv_layers=config.conv_layers,
                linear_layers=config.linear_layers,
                relu=config.relu,
            )
            return build_where_it_fits(config.name, build)
        case schema.DenseConfig():
            from greensweep.models import paper

            dense = {"dense_poly": paper.dense_poly, "dense_linear": paper.dense_linear}
            build = partial(
                dense[config.name],
                *_square(config, input_shape),
                outputs,
                linear_layers=config.linear_layers,
            )
            return build_where_it_fits(config.name, build)
        case schema.NamedModelConfig():
            from greensweep.models.libraries import timm_model, torchvision_model

            library_model = timm_model if config.library == "timm" else torchvision_model
            return library_model(
                config.name,
                _image(config, input_shape),
                outputs,
                pretrained=config.pretrained,
                kwargs=config.kwargs,
            )
        case schema.CustomModelConfig():
            from greensweep.models.custom import custom_model

            return custom_model(config.target, input_shape, outputs, config.kwargs)
    raise TypeError(f"no network for {type(config).__name__}")


def _image(config: schema.ModelConfig, input_shape: Sequence[int]) -> tuple[int, int, int]:
    if not is_image(input_shape):
        raise ModelError(
            f"{config.name} takes images, and inputs of shape {tuple(input_shape)} are none: set "
            "model=mlp, or model=custom for a network of your own"
        )
    channels, height, width = input_shape
    return channels, height, width


def _square(config: schema.ModelConfig, input_shape: Sequence[int]) -> tuple[int, int]:
    """Return channels and side."""
    channels, height, width = _image(config, input_shape)
    if height != width:
        raise ModelError(
            f"{config.name} needs square images, got {height}x{width}: set dataset.image_size=32"
        )
    return channels, height


def model_name(config: schema.ModelConfig) -> str:
    """Return the name under which results record the network."""
    return config.target if isinstance(config, schema.CustomModelConfig) else config.name
