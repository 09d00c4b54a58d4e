"""What a run computes is known before it runs."""

from collections.abc import Callable
from pathlib import Path

import pytest

from greensweep.config.schema import TrainConfig
from greensweep.data import load_splits
from greensweep.models import build_model, take_census
from greensweep.study.forecast import flops_of_run

Composed = Callable[..., TrainConfig]


def test_flops_are_those_of_all_images_epochs_and_repeats(config: Composed) -> None:
    run = config("dataset.train_limit=100", "training.epochs=3", "repeats=2", "model.relu=false")
    splits = load_splits(run.dataset, run.seed)
    forward = take_census(build_model(run.model, splits.input_shape, 10), splits.example)
    assert forward.flops is not None
    images = 3 * 100 + len(splits.validation)
    assert flops_of_run(run) == 2 * 3 * images * forward.flops


@pytest.mark.parametrize("override", ["dataset=image_folder", "model=custom"])
def test_what_cannot_be_built_has_no_flops(config: Composed, tmp_path: Path, override: str) -> None:
    values = {
        "dataset=image_folder": f"dataset.root={tmp_path}",
        "model=custom": "model.target=nowhere.Net",
    }
    assert flops_of_run(config(override, values[override])) is None
