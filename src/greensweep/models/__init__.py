"""Networks, fitted to the data set, and the census of their layers."""

from functools import partial

from torch import nn

from greensweep.config import schema_model as schema
from greensweep.errors import ModelError
from greensweep.models.census import LayerCensus, take_census
from greensweep.models.memory import build_where_it_fits, check_batch_fits

__all__ = ["LayerCensus", "build_model", "check_batch_fits", "model_name", "take_census"]


def build_model(
    config: schema.ModelConfig, image_shape: tuple[int, int, int], classes: int
) -> nn.Module:
    """Build the configured network for images of `image_shape` (channels, height, width).

    Raises:
        ModelError: the network does not exist or does not fit the images.
    """
    channels, height, width = image_shape
    if height != width and isinstance(config, schema.SimpleCnnConfig | schema.DenseConfig):
        raise ModelError(
            f"{config.name} needs square images, got {height}x{width}: set dataset.image_size=32"
        )
    match config:
        case schema.SimpleCnnConfig():
            from greensweep.models.paper import simple_cnn

            build = partial(
                simple_cnn,
                conv_layers=config.conv_layers,
                linear_layers=config.linear_layers,
                relu=config.relu,
            )
            return build_where_it_fits(config.name, partial(build, channels, height, classes))
        case schema.DenseConfig():
            from greensweep.models import paper

            dense = {"dense_poly": paper.dense_poly, "dense_linear": paper.dense_linear}
            build = partial(dense[config.name], linear_layers=config.linear_layers)
            return build_where_it_fits(config.name, partial(build, channels, height, classes))
        case schema.NamedModelConfig():
            from greensweep.models.libraries import timm_model, torchvision_model

            library_model = timm_model if config.library == "timm" else torchvision_model
            return library_model(
                config.name,
                image_shape,
                classes,
                pretrained=config.pretrained,
                kwargs=config.kwargs,
            )
        case schema.CustomModelConfig():
            from greensweep.models.custom import custom_model

            return custom_model(config.target, image_shape, classes, config.kwargs)
    raise TypeError(f"no network for {type(config).__name__}")


def model_name(config: schema.ModelConfig) -> str:
    """Return the name under which results record the network."""
    return config.target if isinstance(config, schema.CustomModelConfig) else config.name
