"""What pretrained weights expect of images."""

import pytest
import torch

from greensweep.config.schema_model import ModelConfig, NamedModelConfig, SimpleCnnConfig
from greensweep.data import Splits, TensorSplit
from greensweep.data.split import some_inputs
from greensweep.models.libraries import expected_statistics

IMAGENET = [
    [255 * each for each in channels] for channels in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
]
HALVES = [[127.5] * 3] * 2


def named(library: str, name: str, *, pretrained: bool = True) -> NamedModelConfig:
    return NamedModelConfig(name=name, library=library, pretrained=pretrained)  # type: ignore[arg-type]


def splits_of(channels: int, dtype: torch.dtype) -> Splits:
    images = torch.randint(0, 256, (8, channels, 4, 4), dtype=torch.uint8).to(dtype)
    split = TensorSplit(images, torch.zeros(8, dtype=torch.int64))
    return Splits(split, split, split, ("one", "two"))


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
    found = expected_statistics(config, splits_of(3, torch.uint8))
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
    splits = splits_of(channels, dtype)
    found, images = expected_statistics(config, splits), some_inputs(splits.train).double()
    assert found is not None
    assert found[0].flatten().tolist() == pytest.approx(images.mean(dim=(0, 2, 3)).tolist())
