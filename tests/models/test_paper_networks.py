"""The networks of Yarally et al. 2023, against widths computed by hand from the formulas."""

import pytest
import torch
from torch import nn

from greensweep.config.schema_model import DenseConfig, SimpleCnnConfig
from greensweep.errors import ModelError
from greensweep.models import build_model, take_census

CIFAR = (3, 32, 32)
FASHION = (1, 28, 28)


def linear_widths(model):
    """Inputs of the first linear layer, then the outputs of each."""
    layers = [module for module in model.modules() if isinstance(module, nn.Linear)]
    return [layers[0].in_features, *(layer.out_features for layer in layers)]


def convolution_widths(model):
    return [m.out_channels for m in model.modules() if isinstance(m, nn.Conv2d)]


@pytest.mark.parametrize(
    ("shape", "conv_layers", "linear_layers", "convolutions", "linears"),
    [
        (CIFAR, 2, 3, [9, 27], [27 * 8 * 8, 1536, 768, 10]),
        (CIFAR, 1, 3, [9], [9 * 16 * 16, 1536, 768, 10]),
        (
            CIFAR,
            4,
            7,
            [9, 27, 81, 243],
            [243 * 2 * 2, 1536, 768, 384, 192, 96, 48, 10],
        ),
        (FASHION, 2, 3, [3, 9], [9 * 7 * 7, 392, 196, 10]),
        (
            FASHION,
            4,
            7,
            [3, 9, 27, 81],
            [81 * 1 * 1, 392, 196, 98, 49, 24, 12, 10],
        ),
    ],
)
def test_simple_cnn_has_the_papers_widths(shape, conv_layers, linear_layers, convolutions, linears):
    network = SimpleCnnConfig(conv_layers=conv_layers, linear_layers=linear_layers)
    model = build_model(network, shape, outputs=10)

    assert convolution_widths(model) == convolutions
    assert linear_widths(model) == linears
    assert model(torch.zeros(2, *shape)).shape == (2, 10)


@pytest.mark.parametrize(
    ("name", "shape", "widths"),
    [
        ("dense_poly", CIFAR, [3072, 1536, 768, 10]),
        ("dense_poly", FASHION, [784, 392, 196, 10]),
        ("dense_linear", CIFAR, [3072, 2048, 1024, 10]),
        # 784 - 784/3 is 522.67, 784 - 2*784/3 is 261.33: both are rounded down
        ("dense_linear", FASHION, [784, 522, 261, 10]),
    ],
)
def test_dense_networks_have_the_papers_widths(name, shape, widths):
    model = build_model(DenseConfig(name=name), shape, outputs=10)

    assert linear_widths(model) == widths
    assert model(torch.zeros(2, *shape)).shape == (2, 10)


@pytest.mark.parametrize(
    ("name", "widths"),
    [
        ("dense_poly", [48, 24, 12, 6, 3, 3, 10]),
        ("dense_linear", [48, 40, 32, 24, 16, 8, 10]),
    ],
)
def test_no_hidden_layer_is_narrower_than_the_channels(name, widths):
    model = build_model(DenseConfig(name=name, linear_layers=6), (3, 4, 4), outputs=10)

    assert linear_widths(model) == widths


def test_one_linear_layer_leads_straight_to_the_classes():
    model = build_model(DenseConfig(name="dense_poly", linear_layers=1), CIFAR, outputs=100)

    assert linear_widths(model) == [3072, 100]


@pytest.mark.parametrize(("relu", "relus"), [(True, {"relu": 4}), (False, {})])
def test_relus_follow_convolutions_only(relu, relus):
    model = build_model(SimpleCnnConfig(conv_layers=4, relu=relu), CIFAR, outputs=10)

    layers = take_census(model, torch.zeros(1, *CIFAR)).layers

    assert layers == {"batch_norm": 4, "conv": 4, "linear": 3, "max_pool": 4} | relus


@pytest.mark.parametrize("name", ["dense_poly", "dense_linear"])
def test_dense_networks_have_linear_layers_only(name):
    model = build_model(DenseConfig(name=name, linear_layers=5), CIFAR, outputs=10)

    assert take_census(model, torch.zeros(1, *CIFAR)).layers == {"linear": 5}


def test_blocks_run_in_the_order_of_the_paper():
    model = build_model(SimpleCnnConfig(conv_layers=1), CIFAR, outputs=10)

    kinds = [type(module).__name__ for module in model]
    assert kinds == [
        "Conv2d",
        "BatchNorm2d",
        "ReLU",
        "MaxPool2d",
        "Flatten",
        "Linear",
        "Linear",
        "Linear",
    ]
    assert (model[0].kernel_size, model[0].padding) == ((3, 3), (1, 1))


def test_image_too_small_for_the_poolings_is_refused_with_the_least_size():
    network = SimpleCnnConfig(conv_layers=4)

    with pytest.raises(ModelError, match=r"at least 16x16 pixels, got 8x8: set dataset.image_size"):
        build_model(network, (1, 8, 8), outputs=10)
    assert build_model(network, (1, 16, 16), outputs=10)(torch.zeros(2, 1, 16, 16)).shape == (2, 10)


@pytest.mark.parametrize("name", ["simple_cnn", "dense_poly", "dense_linear"])
def test_paper_networks_refuse_images_that_are_not_square(config, name):
    network = config(f"model={name}").model

    with pytest.raises(ModelError, match=f"{name} needs square images, got 20x32: set dataset"):
        build_model(network, (3, 20, 32), outputs=10)


@pytest.mark.parametrize(
    "config",
    [DenseConfig("dense_linear"), DenseConfig("dense_poly"), SimpleCnnConfig(conv_layers=0)],
    ids=lambda config: config.name,
)
def test_a_network_that_no_memory_holds_is_refused_before_it_is_built(config):
    with pytest.raises(ModelError, match=r"parameters, which take .* GB to train.*fewer layers"):
        build_model(config, (3, 8192, 8192), 10)


def test_to_look_whether_it_fits_draws_no_random_numbers():
    torch.manual_seed(0)
    expected = nn.Linear(64, 10).weight
    torch.manual_seed(0)
    model = build_model(DenseConfig("dense_poly", linear_layers=1), (1, 8, 8), 10)
    assert torch.equal(model[1].weight, expected)
