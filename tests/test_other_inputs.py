"""Runs on inputs that are no images: token ids, signals and tables, end to end."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Finished
from sklearn.datasets import load_wine

Cli = Callable[..., Finished]
Results = Callable[..., list[dict[str, Any]]]

MINE = """
import numpy as np
from torch import nn

WORDS, LENGTH = 50, 12
LABELS = np.arange(120) % 2


def sentences():
    ids = np.random.default_rng(0).integers(2, WORDS, (120, LENGTH))
    ids[:, 5] = np.where(LABELS == 1, 0, 1)  # a word of either kind
    return {"train": (ids, LABELS), "classes": ["sad", "glad"]}


class Text(nn.Module):
    def __init__(self, input_shape, num_outputs, words=WORDS):
        super().__init__()
        assert input_shape == (LENGTH,)
        self.embedding = nn.Embedding(words, 8)
        self.head = nn.Linear(8 * LENGTH, num_outputs)

    def forward(self, ids):
        return self.head(self.embedding(ids).flatten(1))


def waves():
    time = np.linspace(0, 6.28, 32)
    waves = np.stack([np.sin(time * (1 + 3 * label)) for label in LABELS])
    return {"train": (np.stack([waves, 100 + waves], axis=1), LABELS)}


class Signal(nn.Sequential):
    def __init__(self, in_channels, num_outputs):
        super().__init__(
            nn.Conv1d(in_channels, 4, 5), nn.BatchNorm1d(4), nn.ReLU(), nn.Flatten(),
            nn.Linear(4 * 28, num_outputs),
        )


def grown(input_shape):
    return nn.Flatten()
"""
QUICK = (
    "dataset=custom", "model=custom", "training.epochs=10", "training.batch_size=16",
    "optimizer.learning_rate=0.03", "energy=unmetered", "tracking=local", "inference.seconds=0.001",
)  # fmt: skip


@pytest.fixture
def mine(tmp_path: Path) -> None:
    (tmp_path / "mine_inputs.py").write_text(MINE)


def chosen(data: str, model: str) -> list[str]:
    return [f"dataset.target=mine_inputs.{data}", f"model.target=mine_inputs.{model}"]


@pytest.mark.usefixtures("mine")
@pytest.mark.parametrize(
    ("data", "model", "layers", "parameters", "flops"),
    [
        ("sentences", "Text", {"embedding": 1, "linear": 1}, 50 * 8 + 97 * 2, 2 * 96 * 2),
        (
            "waves", "Signal", {"batch_norm": 1, "conv": 1, "linear": 1, "relu": 1},
            2 * 4 * 5 + 4 + 8 + 113 * 2, 2 * (2 * 5 * 4 * 28 + 112 * 2),
        ),
    ],
)  # fmt: skip
def test_a_model_of_token_ids_or_signals_trains_and_is_counted(
    cli: Cli, results: Results, tmp_path: Path, data: str, model: str, layers: dict[str, int],
    parameters: int, flops: int,
) -> None:  # fmt: skip
    ended = cli("train.py", *QUICK, *chosen(data, model), "layer_energy=true", "hydra.run.dir=out")

    assert ended.status == 0, ended.errors
    (result,) = results()
    assert result["status"] == "finished"
    assert result["test_accuracy"] > 0.9
    assert (result["layers"], result["parameters"]) == (layers, parameters)
    assert result["flops"] == flops
    assert result["inference"]["images"] > 0
    with (tmp_path / "out" / "layer_energy.csv").open() as file:
        kinds = {row["layer"] for row in csv.DictReader(file)}
    assert set(layers) <= kinds
    tested = cli("evaluate.py", f"checkpoint={result['checkpoint']}", "energy=unmetered")
    assert tested.status == 0, tested.errors


@pytest.mark.usefixtures("mine")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["training.flip=true"], "training.flip=true is for images, and inputs of shape (2, 32)"),
        (["training.cutout_size=3"], "set training.cutout_size=0"),
        (["training.crop_padding=3"], "set training.crop_padding=0"),
        (["training.memory_format=channels_last"], "set training.memory_format=contiguous"),
        (["training.batch_size=500"], "at most the 81 training samples, got 500"),
        (["dataset.image_size=8", "dataset.layout=NCL"], "dataset.image_size resizes images"),
    ],
)
def test_what_is_for_images_is_refused_in_one_sentence(
    cli: Cli, options: list[str], message: str
) -> None:
    ended = cli("train.py", *QUICK, *chosen("waves", "Signal"), *options)

    assert ended.status == 1
    assert message in ended.errors
    assert len(ended.errors.strip().splitlines()) == 1


@pytest.mark.usefixtures("mine")
@pytest.mark.parametrize("model", ["simple_cnn", "dense_poly", "timm", "torchvision"])
def test_networks_of_images_refuse_other_inputs(cli: Cli, model: str) -> None:
    named = ["model.name=resnet18"] if model in ("timm", "torchvision") else []
    overrides = ["dataset.target=mine_inputs.waves", f"model={model}", *named]

    ended = cli("train.py", *QUICK, *overrides)

    assert ended.status == 1
    assert "takes images, and inputs of shape (2, 32) are none: set model=mlp, or" in ended.errors


@pytest.mark.usefixtures("mine")
@pytest.mark.parametrize(
    ("data", "model", "message"),
    [
        ("sentences", "Signal", "fails on an input of shape (12,), whole numbers"),
        ("waves", "grown", "must return shape (1, 2) for one input"),
    ],
)
def test_a_model_that_does_not_fit_the_inputs_is_refused(
    cli: Cli, data: str, model: str, message: str
) -> None:
    ended = cli("train.py", *QUICK, *chosen(data, model))

    assert ended.status == 1
    assert message in ended.errors


# --- a table ------------------------------------------------------------------------------------

TABLE = (
    "dataset=table", "dataset.path=rows.csv", "dataset.target_column=target", "model=mlp",
    "training.batch_size=16", "energy=unmetered", "tracking=local", "inference.seconds=0",
)  # fmt: skip


@pytest.fixture
def rows(tmp_path: Path) -> None:
    """scikit-learn's wine: 178 rows of 13 numbers, of three classes."""
    frame = load_wine(as_frame=True).frame
    frame["strength"] = ["weak" if each < 13 else "strong" for each in frame["alcohol"]]
    frame.loc[::9, "ash"] = None
    frame.to_csv(tmp_path / "rows.csv", index=False)


@pytest.mark.usefixtures("rows")
def test_a_table_trains_and_is_tested_again(cli: Cli, results: Results) -> None:
    chosen = ("model.hidden=[32]", "training.epochs=20", "optimizer.learning_rate=0.01")
    ended = cli("train.py", *TABLE, *chosen, "dataset.drop_columns=[hue]", "layer_energy=true")

    assert ended.status == 0, ended.errors
    (result,) = results()
    assert (result["dataset"], result["model"]) == ("table", "mlp")
    assert result["test_accuracy"] > 0.8
    inputs = 12 + 2
    assert result["parameters"] == inputs * 32 + 32 + 33 * 3
    assert result["flops"] == 2 * (inputs * 32 + 32 * 3)
    assert result["layers"] == {"linear": 2, "relu": 1}
    tested = cli("evaluate.py", f"checkpoint={result['checkpoint']}", "energy=unmetered")
    assert tested.status == 0, tested.errors
    assert f"test accuracy {result['test_accuracy']:.4f} on 36 samples" in tested.output


@pytest.mark.usefixtures("rows")
@pytest.mark.parametrize("sweeper", ["greensweep", "optuna"])
def test_a_table_and_the_widths_of_a_perceptron_are_searched(
    cli: Cli, results: Results, tmp_path: Path, sweeper: str
) -> None:
    space = tmp_path / "own" / "space" / "widths.yaml"
    space.parent.mkdir(parents=True)
    space.write_text(
        "model.hidden: {choices: [[8], [16, 8]]}\n"
        "model.dropout: {low: 0.0, high: 0.5, levels: 2}\n"
        "dataset.train_limit: {choices: [40, 80]}\n"
    )

    ended = cli(
        "train.py", "--config-dir", "own", "-m", f"hydra/sweeper={sweeper}", *TABLE,
        "space=widths", "hydra.sweeper.n_trials=3", "training.epochs=1", "objective=accuracy",
        "warmup=0", "hydra.sweep.dir=sweep", "seed=3",
    )  # fmt: skip

    assert ended.status == 0, ended.errors
    found = results("sweep")
    assert [result["status"] for result in found] == ["finished"] * 3
    assert {result["parameters"] for result in found} <= {
        15 * 8 + 8 + 9 * 3, 15 * 16 + 16 + 17 * 8 + 9 * 3,
    }  # fmt: skip
