"""The multilayer perceptron, its layers and parameters counted by hand."""

import pytest
import torch
from torch import nn

from greensweep.config.schema_model import MlpConfig
from greensweep.errors import ModelError
from greensweep.models import build_model, take_census


@pytest.mark.parametrize("shape", [(12,), (3, 4), (3, 2, 2)], ids=str)
def test_inputs_of_any_shape_are_flattened(shape):
    model = build_model(MlpConfig(hidden=[8, 5]), shape, outputs=3)

    census = take_census(model, torch.zeros(1, *shape), outputs=3)

    assert census.layers == {"linear": 3, "relu": 2}
    assert census.parameters == 12 * 8 + 8 + 8 * 5 + 5 + 5 * 3 + 3
    assert census.flops == 2 * (12 * 8 + 8 * 5 + 5 * 3)


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "gelu", "silu", "tanh"])
def test_activation_and_dropout_follow_each_hidden_layer(activation):
    model = build_model(MlpConfig(hidden=[8, 5], activation=activation, dropout=0.25), (4,), 2)

    kinds = [type(layer) for layer in model]
    assert kinds[1::3] == [nn.Linear] * 3
    assert kinds[3::3] == [nn.Dropout] * 2
    assert take_census(model, torch.zeros(1, 4)).layers == {"linear": 3, activation: 2}
    assert {layer.p for layer in model.modules() if isinstance(layer, nn.Dropout)} == {0.25}


def test_perceptron_without_hidden_layers_is_linear():
    assert take_census(build_model(MlpConfig(hidden=[]), (4,), 2), torch.zeros(1, 4)).layers == {
        "linear": 1
    }


def test_hidden_layers_without_units_are_refused():
    with pytest.raises(ModelError, match=r"at least 1, got \[8, 0\]: set model.hidden=\[64,64\]"):
        build_model(MlpConfig(hidden=[8, 0]), (4,), 2)


def test_perceptron_beyond_the_memory_is_refused_before_it_is_built():
    with pytest.raises(ModelError, match=r"mlp would have 1e\+18 parameters"):
        build_model(MlpConfig(hidden=[10**9, 10**9]), (4,), 2)


def test_options_of_the_command_line_build_it(config):
    chosen = config("model=mlp", "model.hidden=[7]", "model.activation=tanh").model

    assert take_census(build_model(chosen, (1, 8, 8), 10), torch.zeros(1, 1, 8, 8)).layers == {
        "linear": 2,
        "tanh": 1,
    }
