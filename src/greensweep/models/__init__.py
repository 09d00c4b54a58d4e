"""Networks, fitted to the data set, and the census of their layers."""

from pkgutil import resolve_name

from torch import nn

from greensweep.config.schema_model import ModelConfig
from greensweep.models.census import LayerCensus, take_census
from greensweep.models.memory import check_batch_fits

__all__ = ["LayerCensus", "build_model", "check_batch_fits", "take_census"]


def build_model(config: ModelConfig, input_shape: tuple[int, ...], outputs: int) -> nn.Module:
    """Build the configured network for inputs of a shape.

    Args:
        input_shape: without the batch; channels, height and width of images.
        outputs: numbers that the network returns for an input.

    Raises:
        ModelError: the network does not exist or does not fit the inputs.
    """
    # Imported when used: libraries of networks take a second.
    build = resolve_name(config.builder)
    model: nn.Module = build(config, input_shape, outputs)
    return model
