"""A training that begins from weights of one's own."""

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from greensweep.errors import ConfigError
from greensweep.runs.initial_weights import load_initial_weights


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


class Code:
    def __reduce__(self) -> Any:
        return print, ("run",)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "is no file"),
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
    if content is not None:
        torch.save(content, path)
    with pytest.raises(ConfigError, match=said):
        load_initial_weights(path, network(2))
    assert capsys.readouterr().out == ""
