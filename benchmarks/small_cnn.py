"""Searches that train the paper's small CNN on CIFAR-10 images."""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

_TRAIN = Path(__file__).resolve().parents[1] / "src" / "train.py"
# 1500 images to train on and 1000 to validate on: an accuracy is then good to 1.6 points.
TASK = (
    "dataset=image_folder",
    "dataset.train_limit=1500",
    "dataset.validation_fraction=0.1",
    "inference.seconds=0",
    "tracking=local",
)
# Every trial drawn at random, and trained to its end.
RANDOM = (
    "hydra/sweeper/sampler=random",
    "hydra.sweeper.pruner=none",
    "hydra.sweeper.enqueue=null",
)


def search(images: Path, folder: Path, trials: int, options: Sequence[str]) -> None:
    """Run a search of so many trials in a folder, or go on with it.

    Args:
        images: a folder with `train/` and `test/`.
        options: overrides beside the task's.
    """
    subprocess.run(
        [
            *(sys.executable, str(_TRAIN), "-m", "hydra/sweeper=greensweep"),
            *(f"hydra.sweeper.n_trials={trials}", f"hydra.sweep.dir={folder}"),
            *(f"dataset.root={images.resolve()}", *TASK, *options),
        ],
        check=True,
        stdout=subprocess.DEVNULL,
    )


def results(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield what each trial of a search left, in their order."""
    for path in sorted(folder.glob("*/result.json"), key=lambda each: int(each.parent.name)):
        yield json.loads(path.read_text(encoding="utf-8"))
