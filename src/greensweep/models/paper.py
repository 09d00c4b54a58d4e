"""The networks of Yarally et al. 2023: their text and tables give the widths."""

from collections.abc import Sequence
from functools import partial
from itertools import pairwise

from torch import nn

from greensweep.config.schema_model import DenseConfig, SimpleCnnConfig
from greensweep.errors import ModelError
from greensweep.models.images import image_shape
from greensweep.models.memory import build_where_it_fits


def build_simple_cnn(
    config: SimpleCnnConfig, input_shape: Sequence[int], outputs: int
) -> nn.Module:
    """Build SimpleCNN: blocks of convolution, batch norm, optional ReLU, pooling; linear layers.

    Block k, from 0, has channels * 3^(k+1) outputs. No activation follows a linear layer.

    Raises:
        ModelError: the image is no square, too small for so many poolings, or too large.
    """
    channels, image_size = _square_shape(config.name, input_shape)
    return build_where_it_fits(
        config.name, partial(_simple_cnn, config, channels, image_size, outputs)
    )


def _simple_cnn(
    config: SimpleCnnConfig, channels: int, image_size: int, classes: int
) -> nn.Sequential:
    conv_layers = config.conv_layers
    if image_size < 2**conv_layers:
        raise ModelError(
            f"simple_cnn with {conv_layers} convolution blocks needs images of at least "
            f"{2**conv_layers}x{2**conv_layers} pixels, got {image_size}x{image_size}: "
            "set dataset.image_size=32 or fewer model.conv_layers"
        )
    layers: list[nn.Module] = []
    width = channels
    for _ in range(conv_layers):
        outputs = width * 3
        layers += [nn.Conv2d(width, outputs, kernel_size=3, padding=1), nn.BatchNorm2d(outputs)]
        if config.relu:
            layers.append(nn.ReLU())
        layers.append(nn.MaxPool2d(2))
        width = outputs
    features = width * (image_size // 2**conv_layers) ** 2
    hidden = _halved(channels, image_size, config.linear_layers)
    return nn.Sequential(*layers, *_linear_layers([features, *hidden, classes]))


def build_dense(config: DenseConfig, input_shape: Sequence[int], outputs: int) -> nn.Module:
    """Build linear layers without activations: DensePolyNN's widths halve, DenseLinearNN's fall.

    The latter's fall by a constant.

    Raises:
        ModelError: the image is no square, or too large.
    """
    channels, image_size = _square_shape(config.name, input_shape)
    pixels, count = channels * image_size**2, config.linear_layers
    if config.name == "dense_poly":
        hidden = _halved(channels, image_size, count)
    else:
        hidden = [max(pixels * left // count, channels) for left in range(count - 1, 0, -1)]
    return build_where_it_fits(
        config.name, lambda: nn.Sequential(*_linear_layers([pixels, *hidden, outputs]))
    )


def _halved(channels: int, image_size: int, linear_layers: int) -> list[int]:
    pixels = channels * image_size**2
    return [max(pixels >> halvings, channels) for halvings in range(1, linear_layers)]


def _linear_layers(widths: list[int]) -> list[nn.Module]:
    return [nn.Flatten(), *(nn.Linear(a, b) for a, b in pairwise(widths))]


def _square_shape(name: str, input_shape: Sequence[int]) -> tuple[int, int]:
    """Return channels and side."""
    channels, height, width = image_shape(name, input_shape)
    if height != width:
        raise ModelError(
            f"{name} needs square images, got {height}x{width}: set dataset.image_size=32"
        )
    return channels, height
