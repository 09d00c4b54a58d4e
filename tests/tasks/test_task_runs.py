"""Each task from its data to its result: what is learnt, kept, tested and returned."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Finished

from greensweep.config.schema import TrainConfig
from greensweep.energy import UnmeteredMeter
from greensweep.record.result import RunResult
from greensweep.runs.once import run_once
from greensweep.study.forecast import seconds_of_run
from greensweep.study.planned import objective_values
from greensweep.study.sentences import run_line
from greensweep.tracking.tracker import MemoryTracker

Cli = Callable[..., Finished]
Compose = Callable[..., TrainConfig]
Results = Callable[..., list[dict[str, Any]]]

QUICK = (
    "training.epochs=8", "training.batch_size=16", "optimizer.learning_rate=0.02",
    "model=custom", "model.target=own_data.Linear", "dataset=custom", "tracking=local",
    "energy=unmetered", "inference.seconds=0",
)  # fmt: skip


@pytest.fixture(autouse=True)
def own_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Images whose brightness, left and right, is what is to be learnt."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own_data.py").write_text(
        "import numpy as np\n"
        "from torch import nn\n"
        "from greensweep.tasks.regression import Regression\n"
        "class Linear(nn.Sequential):\n"
        "    def __init__(self, image_size, num_classes):\n"
        "        super().__init__(nn.Flatten(), nn.Linear(image_size**2, num_classes))\n"
        "def images(count=300):\n"
        "    return np.random.default_rng(0).normal(size=(count, 4, 4)).astype(np.float32)\n"
        "def sides(shown):\n"
        "    return np.stack([shown[:, :, :2].mean((1, 2)), shown[:, :, 2:].mean((1, 2))], 1)\n"
        "def values(columns):\n"
        "    shown = images()\n"
        "    return {'train': (shown, (1000 + 50 * sides(shown))[:, columns])}\n"
        "def one():\n"
        "    return values(0)\n"
        "def two():\n"
        "    return values([0, 1])\n"
        "def labels():\n"
        "    shown = images()\n"
        "    return {'train': (shown, sides(shown) > 0), 'classes': ['left', 'right']}\n"
        "class Twice(Regression):\n"
        "    @property\n"
        "    def outputs(self):\n"
        "        return 2 * self.size\n"
        "    def loss(self, outputs, targets):\n"
        "        return super().loss(outputs.mean(dim=1), targets)\n"
        "    def predict(self, outputs):\n"
        "        return super().predict(outputs.mean(dim=1))\n"
        "def middle_error(targets, predictions):\n"
        "    return float(np.median(abs(targets - predictions)))\n"
    )


def run(config: TrainConfig, folder: Path) -> RunResult:
    return run_once(config, folder, meter=UnmeteredMeter(), tracker=MemoryTracker(), test=True)


@pytest.mark.parametrize("target", ["one", "two"])
def test_regression_learns_values_in_their_own_unit(
    config: Compose, tmp_path: Path, target: str
) -> None:
    asked = config(
        *QUICK, "task=regression", f"dataset.target=own_data.{target}", "metrics=[rmse,mae,r2]"
    )
    result = run(asked, tmp_path / "run")
    assert result.validation_accuracy is None and result.test_accuracy is None
    assert (result.objective_metric, result.objective_direction) == ("rmse", "minimize")
    tested = result.metrics["test"]
    # The values' deviation is 50 / √8 = 18; the mean alone would miss by that, with an R² of 0.
    assert tested["rmse"] is not None and 0 < tested["rmse"] < 2
    assert tested["mae"] is not None and 0 < tested["mae"] <= tested["rmse"]
    assert tested["r2"] is not None and tested["r2"] > 0.98
    reached = [point.metrics["rmse"] for point in result.history]
    assert result.metrics["validation"]["rmse"] == min(each for each in reached if each)
    assert objective_values(asked.objective, result) == result.metrics["validation"]["rmse"]
    line = run_line(result)
    assert f"validation RMSE {result.metrics['validation']['rmse']:.4f}, " in line
    assert "accuracy" not in line
    assert seconds_of_run(asked) > 0


def test_multilabel_learns_each_label(config: Compose, tmp_path: Path) -> None:
    options = ("task=multilabel", "dataset.target=own_data.labels", "training.epochs=12")
    asked = config(*QUICK, *options, "metrics=[auroc,recall_per_class]")
    result = run(asked, tmp_path / "run")
    assert result.validation_accuracy is None
    assert result.objective_metric == "average_precision"
    tested = result.metrics["test"]
    names = ["auroc", "recall_per_class/left", "recall_per_class/right", "average_precision"]
    assert list(tested) == names
    assert all(each is not None and each > 0.9 for each in tested.values())
    balanced = run(config(*QUICK, *options, "task.class_weights=balanced"), tmp_path / "balanced")
    assert balanced.history[0].train_loss != result.history[0].train_loss


def test_a_task_and_a_metric_of_ones_own_train_keep_and_test(
    cli: Cli, results: Results, tmp_path: Path
) -> None:
    ended = cli(
        "train.py", *QUICK, "task=custom", "task.target=own_data.Twice",
        "dataset.target=own_data.one", "hydra.run.dir=run",
        "metrics=[{target: own_data.middle_error, direction: minimize}]",
    )  # fmt: skip
    assert ended.status == 0, ended.errors
    (result,) = results("run")
    assert (result["objective_metric"], result["objective_direction"]) == (
        "middle_error",
        "minimize",
    )
    assert result["metrics"]["test"]["middle_error"] < 2
    again = cli("evaluate.py", "checkpoint=run/model.pt", "energy=unmetered")
    assert again.status == 0, again.errors
    error = result["metrics"]["test"]["middle_error"]
    assert f"test middle_error {error:.4f} on 60 samples" in again.output


def test_a_task_for_which_the_data_has_no_targets_is_one_sentence(cli: Cli) -> None:
    ended = cli("train.py", "task=regression", "tracking=local", "energy=unmetered")
    assert ended.status == 1
    assert "dataset digits has classes, and no values to learn" in ended.errors
