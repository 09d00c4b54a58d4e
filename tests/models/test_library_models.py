"""Networks of timm and torchvision, by name, fitted to the data set."""

import pytest
import torch
from torch import nn
from torchvision import models

from greensweep.config.schema_model import NamedModelConfig, model_name
from greensweep.errors import ModelError
from greensweep.models import build_model, take_census

FITTED = [
    ("timm", "resnet18"),
    ("timm", "vit_tiny_patch16_224"),
    ("torchvision", "resnet18"),
    ("torchvision", "vit_b_16"),
    ("torchvision", "mobilenet_v3_small"),
    ("torchvision", "squeezenet1_1"),
    ("torchvision", "googlenet"),
]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("library", "name"), FITTED)
def test_networks_fit_small_images_of_any_channels_and_classes(library, name, channels):
    shape = (channels, 32, 32)
    network = NamedModelConfig(library=library, name=name)

    with torch.device("meta"):  # shapes without numbers: 86 million weights cost nothing
        model = build_model(network, shape, outputs=7)
        outputs = model.train()(torch.empty(2, *shape))
        outputs.sum().backward()

    assert outputs.shape == (2, 7)
    first = next(module for module in model.modules() if isinstance(module, nn.Conv2d))
    assert first.weight.grad is not None
    assert take_census(model, torch.zeros(1, *shape), outputs=7).layers["conv"] >= 1


def test_timm_network_of_fixed_size_takes_images_that_are_not_square():
    network = NamedModelConfig(library="timm", name="vit_tiny_patch16_224")

    model = build_model(network, (3, 32, 64), outputs=7)

    assert model(torch.randn(2, 3, 32, 64)).shape == (2, 7)


def test_library_options_reach_the_constructor(config):
    network = config("model=timm", "model.name=vit_tiny_patch16_224", "+model.kwargs.depth=2").model

    census = take_census(build_model(network, (3, 32, 32), outputs=7), torch.zeros(1, 3, 32, 32))

    assert census.layers["linear"] == 2 * 4 + 1


def test_auxiliary_heads_stay_away_even_when_asked_for():
    kwargs = {"aux_logits": True}
    network = NamedModelConfig(library="torchvision", name="googlenet", kwargs=kwargs)

    with torch.device("meta"):
        outputs = build_model(network, (3, 32, 32), outputs=7).train()(torch.empty(2, 3, 32, 32))

    assert outputs.shape == (2, 7)


@pytest.mark.parametrize("library", ["timm", "torchvision"])
def test_unknown_option_of_a_network_is_refused_by_name(library):
    network = NamedModelConfig(library=library, name="resnet18", kwargs={"depht": 2})

    with pytest.raises(ModelError, match=r"resnet18 cannot be built .*depht.*check model.kwargs"):
        build_model(network, (3, 32, 32), outputs=7)


def test_images_too_small_for_inception_are_refused_in_one_sentence():
    network = NamedModelConfig(library="torchvision", name="inception_v3")
    with torch.device("meta"):
        model = build_model(network, (3, 32, 32), outputs=7)

    with pytest.raises(ModelError, match=r"shape \(3, 32, 32\) .*resize with dataset.image_size"):
        take_census(model, torch.zeros(1, 3, 32, 32), outputs=7)
    assert take_census(model, torch.zeros(1, 3, 75, 75), outputs=7).layers["conv"] == 94


@pytest.mark.parametrize(
    ("library", "name", "closest"),
    [
        ("timm", "resnet81", "resnet18"),
        ("torchvision", "mobilenet_v3_smal", "mobilenet_v3_small"),
    ],
)
def test_unknown_network_gets_the_closest_names(library, name, closest):
    network = NamedModelConfig(library=library, name=name)

    with pytest.raises(ModelError, match=f"no {library} model is called '{name}'.*{closest}"):
        build_model(network, (3, 32, 32), outputs=7)


def test_results_record_the_networks_name(config):
    assert model_name(config("model=timm", "model.name=resnet34").model) == "resnet34"
    assert model_name(config("model=custom", "model.target=my.Net").model) == "my.Net"


@pytest.fixture
def kept_weights(tmp_path, monkeypatch):
    """Put weights into torch's cache as if they had been downloaded, and cut the network."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for variable in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")

    def keep(name):
        model = models.get_model(name)
        for values in model.state_dict().values():  # none equal to those of a new network
            values += 1
        file = models.get_model_weights(name).DEFAULT.url.rpartition("/")[2]
        path = tmp_path / "hub" / "checkpoints" / file
        path.parent.mkdir(parents=True)
        torch.save(model.state_dict(), path)
        return model

    return keep


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", ["squeezenet1_1", "mobilenet_v3_small"])
def test_pretrained_weights_are_kept_but_for_the_last_layer(kept_weights, name, channels):
    original = kept_weights(name)
    shape = (channels, 32, 32)
    network = NamedModelConfig(library="torchvision", name=name, pretrained=True)

    model = build_model(network, shape, outputs=7)

    assert model.train()(torch.randn(2, *shape)).shape == (2, 7)
    weights, expected = dict(model.named_parameters()), dict(original.named_parameters())
    changed = [key for key in expected if not torch.equal(weights[key], expected[key])]
    first = [] if channels == 3 else [next(iter(expected))]
    assert changed[: len(first)] == first
    assert [weights[key].shape[0] for key in changed[len(first) :]] == [7, 7]
    for key in first:  # filters summed over the channels see a grey image as before
        assert torch.allclose(weights[key], expected[key].sum(dim=1, keepdim=True))


@pytest.mark.usefixtures("kept_weights")
def test_pretrained_weights_out_of_reach_are_named_as_the_reason():
    network = NamedModelConfig(library="torchvision", name="resnet18", pretrained=True)

    with pytest.raises(ModelError, match=r"resnet18 cannot be built .*its weights can be reached"):
        build_model(network, (3, 32, 32), outputs=7)
