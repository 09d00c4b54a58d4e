"""The layer census, against counts made by hand or published."""

import math

import pytest
import timm
import torch
import torchvision
from torch import nn
from torch.nn import functional

from greensweep.config.schema_model import SimpleCnnConfig
from greensweep.errors import ModelError
from greensweep.models import build_model, take_census


@pytest.mark.parametrize(
    ("build", "size", "expected"),
    [
        (
            lambda: torchvision.models.resnet18(),
            64,
            {"conv": 20, "linear": 1, "relu": 17, "batch_norm": 20},
        ),
        (lambda: timm.create_model("resnet18"), 64, {"conv": 20, "linear": 1, "relu": 17}),
        (
            lambda: timm.create_model("mobilenetv3_small_100"),
            64,
            {"conv": 53, "linear": 1, "relu": 14, "hardswish": 19, "hardsigmoid": 9},
        ),
        (
            lambda: timm.create_model("vit_tiny_patch16_224"),
            224,
            {"linear": 49, "conv": 1, "attention": 12},
        ),
        (lambda: torchvision.models.squeezenet1_1(), 64, {"conv": 26, "relu": 26}),
        (
            lambda: torchvision.models.densenet121(),
            64,
            {"conv": 120, "linear": 1, "relu": 121},
        ),
        (lambda: torchvision.models.mobilenet_v2(), 64, {"conv": 52, "linear": 1, "relu6": 35}),
    ],
    ids=[
        "torchvision-resnet18",
        "timm-resnet18",
        "timm-mobilenetv3_small_100",
        "timm-vit_tiny",
        "torchvision-squeezenet1_1",
        "torchvision-densenet121",
        "torchvision-mobilenet_v2",
    ],
)
def test_known_networks_execute_their_known_layers(build, size, expected):
    layers = take_census(build(), torch.zeros(1, 3, size, size), 1000).layers

    assert {kind: layers.get(kind, 0) for kind in expected} == expected


def test_what_a_network_keeps_for_its_backward_pass_is_counted_once():
    network = nn.Sequential(
        nn.Conv2d(1, 2, 3, padding=1), nn.ReLU(inplace=True), nn.BatchNorm2d(2), nn.Flatten(),
        nn.Linear(2 * 64, 10),
    )  # fmt: skip
    kept = take_census(network, torch.zeros(1, 1, 8, 8)).kept_bytes
    # The image, what the convolution gave and the ReLU wrote into, and what the norm gave.
    assert kept == 4 * (64 + 128 + 128)


def test_modules_are_counted_apart_from_their_calls():
    resnet = take_census(torchvision.models.resnet18(), torch.zeros(1, 3, 64, 64))
    densenet = take_census(torchvision.models.densenet121(), torch.zeros(1, 3, 64, 64))

    assert (resnet.layer_modules["relu"], resnet.layers["relu"]) == (9, 17)
    assert (densenet.layer_modules["relu"], densenet.layers["relu"]) == (120, 121)


def test_layers_with_children_count_as_modules():
    # timm's batch norms hold their activation, torch's attention a projection that it never calls
    mobilenet = take_census(timm.create_model("mobilenetv3_small_100"), torch.zeros(1, 3, 64, 64))
    encoder = take_census(AttentionNet(), torch.zeros(1, 3, 8, 8))

    assert mobilenet.layer_modules["batch_norm"] == mobilenet.layers["batch_norm"] == 34
    assert (encoder.layer_modules["attention"], encoder.layers["attention"]) == (1, 1)
    assert (encoder.layer_modules["linear"], encoder.layers["linear"]) == (1, 1)


class AttentionNet(nn.Module):
    """Attention over the rows of an image: 24 = 3*8 features, 8 tokens."""

    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(24, num_heads=2, batch_first=True)
        self.head = nn.Linear(24, 5)

    def forward(self, images):
        tokens = images.permute(0, 2, 1, 3).flatten(2)
        attended, _ = self.attention(tokens, tokens, tokens, need_weights=False)
        return self.head(attended.mean(dim=1))


class FunctionalNet(nn.Module):
    """Calls one convolution twice, one activation three times, and functions in place."""

    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv2d(3, 3, kernel_size=3, padding=1)
        self.activation = nn.ReLU()
        self.weight = nn.Parameter(torch.randn(5, 3))
        self.unused = nn.Linear(7, 7)

    def forward(self, images):
        once = self.activation(self.convolution(images))
        twice = self.activation(self.convolution(once)).relu_()
        pooled = functional.adaptive_avg_pool2d(functional.relu(twice), 1).flatten(1)
        functional.dropout(pooled, training=self.training)
        return functional.linear(torch.sigmoid(pooled), self.weight)


def test_functional_repeated_and_in_place_calls_count_each_time():
    census = take_census(FunctionalNet(), torch.zeros(1, 3, 8, 8), outputs=5)

    assert census.layers == {
        "adaptive_avg_pool": 1,
        "conv": 2,
        "linear": 1,
        "relu": 4,
        "sigmoid": 1,
    }


def test_modules_count_whether_they_run_or_not():
    census = take_census(FunctionalNet(), torch.zeros(1, 3, 8, 8))

    assert census.layer_modules == {"conv": 1, "linear": 1, "relu": 1}


def test_matrix_products_inside_attention_are_no_linear_layers():
    layers = take_census(AttentionNet(), torch.zeros(1, 3, 8, 8)).layers

    assert layers == {"attention": 1, "linear": 1}


def test_flops_of_a_convolution_are_those_of_the_formula():
    # 15x20 positions (stride 2) x 8 outputs x (6 inputs / 2 groups x 3x3 kernel) multiply-adds
    convolution = nn.Conv2d(6, 8, kernel_size=3, stride=2, padding=1, groups=2)

    census = take_census(convolution, torch.zeros(1, 6, 30, 40))

    assert census.flops == 2 * (15 * 20) * 8 * (3 * 9)
    assert census.parameters == 8 * (3 * 9) + 8


def test_flops_of_a_linear_layer_are_those_of_the_formula():
    census = take_census(
        nn.Sequential(nn.Flatten(), nn.Linear(12, 5)), torch.zeros(1, 3, 2, 2), outputs=5
    )

    assert census.flops == 2 * 12 * 5
    assert census.parameters == 12 * 5 + 5


def test_flops_of_attention_include_its_projections_and_products():
    # 8 tokens of 24 features: 4 projections, queries x keys, weights x values; then the head
    projections, products = 4 * 8 * 24 * 24, 2 * 8 * 8 * 24

    flops = take_census(AttentionNet(), torch.zeros(1, 3, 8, 8)).flops

    assert flops == 2 * (projections + products + 24 * 5)


def test_papers_cnn_has_the_flops_and_parameters_computed_by_hand():
    model = build_model(SimpleCnnConfig(), (3, 32, 32), outputs=10)

    census = take_census(model, torch.zeros(1, 3, 32, 32), outputs=10)

    convolutions = 32 * 32 * 9 * 27 + 16 * 16 * 27 * 81
    linears = 1728 * 1536 + 1536 * 768 + 768 * 10
    assert census.flops == 2 * (convolutions + linears) == 9_300_480
    assert census.parameters == census.trainable_parameters == 3_846_388


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "squeezenet1_1", "vit_b_16"])
def test_flops_and_parameters_agree_with_torchvisions_published_ones(name):
    published = torchvision.models.get_model_weights(name).DEFAULT.meta
    with torch.device("meta"):  # shapes without numbers: 86 million weights cost nothing
        model = torchvision.models.get_model(name)

    census = take_census(model, torch.zeros(1, 3, 224, 224), outputs=1000)

    # published are billions of multiply-adds, to three places
    assert math.isclose(census.flops / 2e9, published["_ops"], abs_tol=0.0006)
    assert census.parameters == published["num_params"]


def test_frozen_parameters_are_not_trainable():
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 5), nn.Linear(5, 2))
    model[1].requires_grad_(False)

    census = take_census(model, torch.zeros(1, 3, 2, 2))

    assert (census.parameters, census.trainable_parameters) == (65 + 12, 12)


@pytest.mark.parametrize("training", [True, False])
def test_census_leaves_the_network_as_it_was(training):
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(), nn.Flatten())
    model.train(training)
    model[1].eval()  # as users freeze batch norm
    with torch.no_grad():
        model[1].running_mean.fill_(0.5)
    before = {name: value.clone() for name, value in model.state_dict().items()}

    take_census(model, torch.zeros(1, 3, 8, 8))

    assert [module.training for module in model] == [training, False, training, training]
    assert model.training is training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_census_counts_evaluation_mode():
    class Switching(nn.Module):
        def forward(self, images):
            return functional.relu(images) if self.training else functional.gelu(images)

    assert take_census(Switching(), torch.zeros(1, 3, 8, 8)).layers == {"gelu": 1}


def test_network_that_fails_is_named_with_the_image_shape_and_keeps_its_mode():
    model = nn.Sequential(nn.Flatten(), nn.Linear(10, 5))

    with pytest.raises(ModelError, match=r"fails on an image of shape \(3, 2, 2\) \(RuntimeError"):
        take_census(model, torch.zeros(1, 3, 2, 2))
    assert model.training


def test_wrong_number_of_outputs_names_both_numbers():
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 5))

    with pytest.raises(ModelError, match=r"must return shape \(1, 10\) .* got \(1, 5\): let"):
        take_census(model, torch.zeros(1, 3, 2, 2), outputs=10)


def test_network_that_returns_no_tensor_is_refused():
    class Pair(nn.Module):
        def forward(self, images):
            return images, images

    with pytest.raises(ModelError, match=r"must return shape \(1, 10\) .* got tuple"):
        take_census(Pair(), torch.zeros(1, 3, 2, 2), outputs=10)


def test_flops_that_cannot_be_counted_are_left_out_with_a_warning(caplog):
    class RunsOnce(nn.Module):
        def __init__(self):
            super().__init__()
            self.ran = False

        def forward(self, images):
            if self.ran:
                raise NotImplementedError("no second pass")
            self.ran = True
            return functional.relu(images)

    census = take_census(RunsOnce(), torch.zeros(1, 3, 2, 2))

    assert census.flops is None
    assert census.layers == {"relu": 1}
    assert "FLOPs cannot be counted (NotImplementedError: no second pass)" in caplog.text
