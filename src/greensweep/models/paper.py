"""The networks of Yarally et al. 2023: their text and tables give the widths."""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise

from torch import nn

from greensweep.config.schema_model import DenseConfig, SimpleCnnConfig
from greensweep.errors import ModelError
from greensweep.models.images import square_shape
from greensweep.models.memory import build_where_it_fits


def build_simple_cnn(
    config: SimpleCnnConfig, input_shape: Sequence[int], outputs: int
) -> nn.Module:
    """Build SimpleCNN as configured."""
    return build_where_it_fits(
        config.name,
        partial(
            simple_cnn,
            *square_shape(config.name, input_shape),
            outputs,
            conv_layers=config.conv_layers,
            linear_layers=config.linear_layers,
            relu=config.relu,
        ),
    )


def build_dense(config: DenseConfig, input_shape: Sequence[int], outputs: int) -> nn.Module:
    """Build DensePolyNN or DenseLinearNN as configured."""
    dense = {"dense_poly": dense_poly, "dense_linear": dense_linear}[config.name]
    shape = square_shape(config.name, input_shape)
    return build_where_it_fits(
        config.name, partial(dense, *shape, outputs, linear_layers=config.linear_layers)
    )


def simple_cnn(
    channels: int,
    image_size: int,
    classes: int,
    *,
    conv_layers: int,
    linear_layers: int,
    relu: bool,
) -> nn.Sequential:
    """SimpleCNN: blocks of convolution, batch norm, optional ReLU and pooling, then linear layers.

    Block k, from 0, has channels * 3^(k+1) outputs. No activation follows a linear layer.

    Raises:
        ModelError: the image is too small for so many poolings.
    """
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
        if relu:
            layers.append(nn.ReLU())
        layers.append(nn.MaxPool2d(2))
        width = outputs
    features = width * (image_size // 2**conv_layers) ** 2
    widths = [_poly_width(index, channels, image_size) for index in range(linear_layers - 1)]
    return nn.Sequential(*layers, nn.Flatten(), *_linear_layers([features, *widths, classes]))


def dense_poly(
    channels: int, image_size: int, classes: int, *, linear_layers: int
) -> nn.Sequential:
    """DensePolyNN: linear layers whose widths halve; no activation."""
    return _dense(channels, image_size, classes, linear_layers, _poly_width)


def dense_linear(
    channels: int, image_size: int, classes: int, *, linear_layers: int
) -> nn.Sequential:
    """DenseLinearNN: linear layers whose widths fall by a constant; no activation."""

    def width(index: int, channels: int, image_size: int) -> int:
        pixels = channels * image_size**2
        return max(pixels * (linear_layers - index - 1) // linear_layers, channels)

    return _dense(channels, image_size, classes, linear_layers, width)


def _poly_width(index: int, channels: int, image_size: int) -> int:
    halvings = index + 1
    return max(channels * image_size**2 >> halvings, channels)


def _dense(
    channels: int,
    image_size: int,
    classes: int,
    linear_layers: int,
    width: Callable[[int, int, int], int],
) -> nn.Sequential:
    hidden = [width(index, channels, image_size) for index in range(linear_layers - 1)]
    widths = [channels * image_size**2, *hidden, classes]
    return nn.Sequential(nn.Flatten(), *_linear_layers(widths))


def _linear_layers(widths: list[int]) -> list[nn.Module]:
    return [nn.Linear(a, b) for a, b in pairwise(widths)]
