"""What pretrained weights expect of images."""

import pytest
import torch

from greensweep.config.schema_model import ModelConfig, NamedModelConfig, SimpleCnnConfig
from greensweep.data import Splits, TensorSplit
from greensweep.models.libraries import expected_statistics, pretrained_statistics

IMAGENET = [
    [255 * each for each in channels] for channels in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
]
HALVES = [[127.5] * 3] * 2


def named(library: str, name: str, *, pretrained: bool = True) -> NamedModelConfig:
    return NamedModelConfig(name=name, library=library, pretrained=pretrained)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (named("timm", "resnet18"), IMAGENET),
        (named("timm", "vit_tiny_patch16_224"), HALVES),
        (named("torchvision", "resnet18"), IMAGENET),
    ],
)
def test_pretrained_weights_get_images_as_they_were_trained_on(
    config: ModelConfig, expected: list[list[float]]
) -> None:
    found = pretrained_statistics(config, (3, 32, 32), torch.uint8)
    assert found is not None
    for statistic, values in zip(found, expected, strict=True):
        assert statistic.shape == (3, 1, 1)
        assert statistic.flatten().tolist() == pytest.approx(values)


@pytest.mark.parametrize(
    ("config", "channels", "dtype"),
    [
        (named("timm", "resnet18", pretrained=False), 3, torch.uint8),
        (named("timm", "resnet18"), 1, torch.uint8),
        (named("torchvision", "resnet18"), 3, torch.float32),
        (SimpleCnnConfig(), 3, torch.uint8),
    ],
)
def test_other_images_keep_the_statistics_of_their_data_set(
    config: ModelConfig, channels: int, dtype: torch.dtype
) -> None:
    assert pretrained_statistics(config, (channels, 32, 32), dtype) is None


def test_the_images_of_a_run_are_normalised_as_its_weights_expect() -> None:
    images = torch.randint(0, 256, (8, 3, 4, 4), dtype=torch.uint8)
    split = TensorSplit(images, torch.zeros(8, dtype=torch.int64))
    splits = Splits(split, split, split, ("one", "two"))
    for pretrained, expected in ((True, IMAGENET), (False, None)):
        found = expected_statistics(named("timm", "resnet18", pretrained=pretrained), splits)
        assert found is not None
        mean = images.double().mean(dim=(0, 2, 3)) if expected is None else expected[0]
        assert found[0].flatten().tolist() == pytest.approx([*map(float, mean)], rel=1e-5)
