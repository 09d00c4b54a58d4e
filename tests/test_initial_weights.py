"""A training that begins from weights of one's own."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Finished
from torch import nn

from greensweep.errors import ConfigError
from greensweep.runs.checkpoint import load_initial_weights

Cli = Callable[..., Finished]
Results = Callable[..., list[dict[str, Any]]]


def network(classes: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, classes))


@pytest.fixture
def kept(tmp_path: Path) -> tuple[Path, nn.Sequential]:
    model = network(5)
    torch.save(model.state_dict(), tmp_path / "model.pt")
    return tmp_path / "model.pt", model


def test_all_weights_are_taken_where_they_fit(kept: tuple[Path, nn.Sequential]) -> None:
    path, before = kept
    model = network(5)
    assert load_initial_weights(path, model) == ()
    for name, value in model.state_dict().items():
        assert value.equal(before.state_dict()[name])


@pytest.mark.parametrize("key", ["state_dict", "model"])
def test_a_head_of_other_classes_keeps_its_own_values_and_is_named(
    kept: tuple[Path, nn.Sequential], key: str, caplog: pytest.LogCaptureFixture
) -> None:
    path, before = kept
    torch.save({key: before.state_dict(), "epoch": 3}, path)
    model = network(2)
    own = model[2].weight.detach().clone()
    with caplog.at_level(logging.WARNING):
        assert load_initial_weights(path, model) == ("2.weight", "2.bias")
    assert model[0].weight.equal(before[0].weight)
    assert model[2].weight.equal(own)
    assert "2 of 9 tensors" in caplog.text
    assert "2.weight" in caplog.text


def test_a_run_begins_from_another_ones_weights_and_trains_its_head_alone(
    cli: Cli, results: Results
) -> None:
    quick = ("training.epochs=1", "dataset.train_limit=100", "energy=unmetered")
    quick = (*quick, "inference.seconds=0", "tracking=local", "model.conv_layers=1")
    first = cli("train.py", *quick, "hydra.run.dir=first")
    assert first.status == 0, first.errors
    second = cli(
        "train.py", *quick, "hydra.run.dir=second", "training.from_checkpoint=first/model.pt",
        "training.freeze=backbone", "seed=1",
    )  # fmt: skip
    assert second.status == 0, second.errors
    begun, ended = (
        torch.load(f"{folder}/model.pt", weights_only=True) for folder in ("first", "second")
    )
    changed = [name for name, value in ended.items() if not value.equal(begun[name])]
    assert changed
    assert {name.rpartition(".")[0] for name in changed} == {list(ended)[-1].rpartition(".")[0]}
    (result,) = results("second")
    assert 0 < result["trainable_parameters"] < result["parameters"]
    refused = cli("train.py", *quick, "training.from_checkpoint=nowhere.pt")
    assert (refused.status, refused.errors.count("\n")) == (1, 1)
    assert "no checkpoint at training.from_checkpoint=nowhere.pt: name" in refused.errors


class Code:
    def __reduce__(self) -> Any:
        return print, ("run",)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "no checkpoint at training.from_checkpoint="),
        (b"alcohol,ash\n14.2,2.4\n", "training.from_checkpoint=.*model.pt is no checkpoint"),
        ({"another": torch.zeros(2)}, "no weights that fit"),
        ({}, "no weights that fit"),
        ([1, 2], "no weights that fit"),
        (Code(), "never run"),
    ],
)
def test_a_file_that_cannot_be_begun_from_is_refused(
    tmp_path: Path, content: Any, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "model.pt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    with pytest.raises(ConfigError, match=said):
        load_initial_weights(path, network(2))
    assert capsys.readouterr().out == ""


def test_frozen_layers_that_the_checkpoint_does_not_hold_are_named(cli: Cli) -> None:
    quick = ("model=mlp", "training.epochs=1", "dataset.train_limit=100", "energy=unmetered")
    quick = (*quick, "inference.seconds=0", "tracking=local", "training.freeze=backbone")
    first = cli("train.py", *quick, "model.hidden=[8,8]", "hydra.run.dir=first")
    assert first.status == 0, first.errors
    begun = "training.from_checkpoint=first/model.pt"
    same = cli("train.py", *quick, begun, "model.hidden=[8,8]", "hydra.run.dir=same")
    other = cli("train.py", *quick, begun, "model.hidden=[9,8]", "hydra.run.dir=other")
    said = "training.freeze=backbone keeps 1.weight, 1.bias, 3.weight at initial values"
    random = "training.freeze=backbone keeps random weights"
    assert random in first.output + first.errors
    assert random not in same.output + same.errors
    assert said not in same.output + same.errors
    assert said in other.output + other.errors
