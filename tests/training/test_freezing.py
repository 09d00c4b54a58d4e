"""Training a part of a network."""

import pytest
import torch
from torch import Tensor, nn

from greensweep.config.schema_model import NamedModelConfig
from greensweep.errors import ModelError
from greensweep.models import build_model
from greensweep.training.freezing import begin_training, freeze_backbone


def after_a_step(model: nn.Module) -> dict[str, Tensor]:
    """Return what a step of training changes, by name."""
    before = {name: value.clone() for name, value in model.state_dict().items()}
    update = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    begin_training(model)
    model(torch.randn(4, 3, 32, 32)).square().sum().backward()
    update.step()
    after = model.state_dict()
    return {name: after[name] for name, value in before.items() if not value.equal(after[name])}


@pytest.mark.parametrize(
    ("library", "name", "head"),
    [
        ("timm", "resnet10t", "fc."),
        ("torchvision", "resnet18", "fc."),
        ("torchvision", "mobilenet_v3_small", "classifier.3."),
        ("torchvision", "squeezenet1_1", "classifier.1."),
    ],
)
def test_a_frozen_backbone_keeps_weights_and_statistics(library: str, name: str, head: str) -> None:
    model = build_model(NamedModelConfig(name=name, library=library), (3, 32, 32), 7)  # type: ignore[arg-type]
    freeze_backbone(model)
    changed = after_a_step(model)
    assert changed
    assert all(each.startswith(head) for each in changed), changed.keys()


def test_without_freezing_all_of_it_is_trained() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.LazyLinear(2))
    model(torch.zeros(1, 3, 32, 32))
    assert after_a_step(model).keys() == model.state_dict().keys()


@pytest.mark.parametrize("model", [nn.ReLU(), nn.Sequential(nn.Flatten(), nn.Linear(8, 2))])
def test_a_network_without_a_backbone_is_refused(model: nn.Module) -> None:
    with pytest.raises(ModelError, match=r"training\.freeze=backbone"):
        freeze_backbone(model)
