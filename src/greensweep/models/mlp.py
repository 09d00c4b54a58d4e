"""A multilayer perceptron: linear layers with activations and dropout between them."""

from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from math import prod

from torch import nn

from greensweep.config.schema_model import MlpConfig
from greensweep.errors import ModelError
from greensweep.models.memory import build_where_it_fits

_ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
}


def mlp(config: MlpConfig, input_shape: Sequence[int], outputs: int) -> nn.Module:
    """Build a perceptron of inputs of any shape, which are flattened.

    Raises:
        ModelError: a hidden layer without units, or the free memory cannot hold the weights.
    """
    if min(config.hidden, default=1) < 1:
        raise ModelError(
            f"model.hidden lists the units of each hidden layer, at least 1, got {config.hidden}: "
            "set model.hidden=[64,64], say"
        )
    widths = [prod(input_shape), *config.hidden, outputs]
    return build_where_it_fits("mlp", partial(_sequence, widths, config))


def _sequence(widths: Sequence[int], config: MlpConfig) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Flatten()]
    for inputs, outputs in pairwise(widths):
        if len(layers) > 1:
            layers.append(_ACTIVATIONS[config.activation]())
            if config.dropout:
                layers.append(nn.Dropout(config.dropout))
        layers.append(nn.Linear(inputs, outputs))
    return nn.Sequential(*layers)
