"""The sizes of splits, told without their files."""

from pathlib import Path

import pytest
import torch

from greensweep.config.schema_dataset import DigitsConfig, TorchvisionDatasetConfig
from greensweep.data import load_splits
from greensweep.data.sizes import sized_splits
from greensweep.data.split import TensorSplit
from greensweep.data.splits import Source, make_splits


@pytest.mark.parametrize(
    ("limit", "shown", "fraction"),
    [(None, None, 0.15), (2000, None, 0.15), (2000, 1000, 0.15), (None, 9000, 0.15),
    (None, None, 0.00033)],
)  # fmt: skip
def test_published_sizes_are_those_of_the_splits(
    tmp_path: Path, limit: int | None, shown: int | None, fraction: float
) -> None:
    config = TorchvisionDatasetConfig(
        name="cifar10",
        root=str(tmp_path),
        train_limit=limit,
        evaluation_limit=shown,
        validation_fraction=fraction,
    )
    labels = torch.arange(50_000) % 10
    images = TensorSplit(torch.zeros(50_000, 1, 1, 1, dtype=torch.uint8), labels)
    classes = tuple("abcdefghij")
    splits = make_splits(Source(images, classes, test=images), config, seed=0)
    told = sized_splits(config, seed=0)
    assert (told.input_shape, told.outputs) == ((3, 32, 32), 10)
    for name in ("train", "validation"):
        assert len(getattr(told, name)) == len(getattr(splits, name))
    assert not list(tmp_path.iterdir()), "nothing is fetched"


def test_other_data_sets_are_read() -> None:
    config = DigitsConfig(image_size=16, train_limit=300)
    assert sized_splits(config, 0) is load_splits(config, 0)


def test_fashion_mnist_can_be_resized() -> None:
    config = TorchvisionDatasetConfig(name="fashion_mnist", image_size=32)
    splits = sized_splits(config, 0)
    assert (splits.input_shape, len(splits.train), len(splits.validation)) == (
        (1, 32, 32), 51_000, 9_000,
    )  # fmt: skip
    assert len(splits.train.labels.unique()) == splits.outputs == 10
