"""What a run keeps of a network: all of its state, or a sentence before it trains."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from greensweep.config.schema import TrainConfig
from greensweep.energy import UnmeteredMeter
from greensweep.errors import ConfigError, ModelError
from greensweep.record.result import RunResult, read_result
from greensweep.runs.checkpoint import copy_weights, read_checkpoint, restore_weights
from greensweep.runs.kept_model import evaluate_checkpoint
from greensweep.runs.once import run_once
from greensweep.tracking.tracker import MemoryTracker

NETS = """
import torch
from torch import nn

class Plain(nn.Module):
    def __init__(self, image_size, num_classes):
        super().__init__()
        self.head = nn.Linear(image_size**2, num_classes)
        self.add()
    def add(self):
        pass
    def see(self, images):
        pass
    def forward(self, images):
        if self.training:
            self.see(images)
        return self.head(images.flatten(1))

class Extra(Plain):
    def add(self):
        self.seen = 0
    def see(self, images):
        self.seen += len(images)
    def get_extra_state(self):
        return {"seen": self.seen, "scale": torch.ones(2) * self.seen, "names": ["a", None]}
    def set_extra_state(self, state):
        assert (state["scale"] == state["seen"]).all()
        self.seen = state["seen"]

class Growing(Plain):
    # a memory bank that grows, and a buffer that is made by the first images
    def add(self):
        self.register_buffer("bank", torch.zeros(0, 3))
        self.register_buffer("mean", None)
    def see(self, images):
        self.bank = torch.cat([self.bank, torch.ones(1, 3)])
        self.mean = images.mean(0)

class Late(Growing):
    def see(self, images):
        self.calls = getattr(self, "calls", 0) + 1
        if self.calls > 4:
            super().see(images)

class Tied(Plain):
    def add(self):
        self.tail = nn.Linear(4, 4)
        self.twin = self.tail
        self.other = nn.Parameter(self.head.weight)
        self.head.weight = self.other

class Lazy(Plain):
    def __init__(self, num_classes):
        super().__init__(1, num_classes)
        self.head = nn.LazyLinear(num_classes)

class Odd(Plain):
    def add(self):
        self.register_buffer("sparse", torch.eye(3).to_sparse())
        quantised = torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8)
        self.register_buffer("quantised", quantised)
        self.phase = nn.Parameter(torch.ones(2, dtype=torch.cfloat))
        self.none = nn.Parameter(torch.zeros(0, 5))
        self.register_buffer("here", torch.ones(2), persistent=False)

class Held(Plain):
    def get_extra_state(self):
        return {"made by": Plain}
    def set_extra_state(self, state):
        pass

class Arrays(Held):
    def get_extra_state(self):
        import numpy
        return numpy.ones(3)

class Closure(Held):
    def get_extra_state(self):
        return lambda: 1

class Changing(Held):
    def see(self, images):
        self.seen = getattr(self, "seen", 0) + 1
    def get_extra_state(self):
        return Plain if getattr(self, "seen", 0) > 4 else 1

class OneWay(Plain):
    def get_extra_state(self):
        return {"seen": 1}

class Failing(Plain):
    def get_extra_state(self):
        raise KeyError("nothing seen yet")

class Wrapped(torch.Tensor):
    pass

class Subclass(Plain):
    def add(self):
        self.register_buffer("wrapped", torch.ones(2).as_subclass(Wrapped))
"""

Compose = Callable[..., TrainConfig]
Train = Callable[..., RunResult]


@pytest.fixture
def trained(
    config: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., RunResult]:
    """Train one of the networks above for three epochs."""
    (tmp_path / "kept_nets.py").write_text(NETS)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "kept_nets", raising=False)

    def train(name: str, *overrides: str) -> RunResult:
        asked = config(
            "dataset=digits", "model=custom", f"model.target=kept_nets.{name}",
            "training.epochs=3", "dataset.train_limit=64", "training.batch_size=32",
            "inference.seconds=0", "energy=unmetered", "tracking=local", *overrides,
        )  # fmt: skip
        tracker, meter = MemoryTracker(), UnmeteredMeter()
        return run_once(asked, tmp_path / "run", meter=meter, tracker=tracker, test=True)

    return train


def kept(result: RunResult) -> dict[str, Any]:
    assert result.checkpoint is not None
    weights: dict[str, Any] = torch.load(result.checkpoint, weights_only=True)
    return weights


@pytest.mark.parametrize("name", ["Extra", "Growing", "Late", "Tied", "Lazy", "Odd"])
def test_every_state_is_kept_tested_and_read_again(trained: Train, name: str) -> None:
    result = trained(name)

    assert result.status == "finished"
    assert result.checkpoint is not None
    again = evaluate_checkpoint(Path(result.checkpoint), UnmeteredMeter())
    assert again.test.accuracy == result.test_accuracy


def test_extra_state_is_that_of_the_kept_epoch(trained: Train) -> None:
    result = trained("Extra")

    # one warm-up batch is no training, though a plain attribute remembers it
    seen = kept(result)["_extra_state"]["seen"]
    assert result.best_epoch is not None
    assert seen % 64 == 32
    assert seen // 64 == result.best_epoch


def test_buffers_have_the_shape_of_the_kept_epoch(trained: Train) -> None:
    result = trained("Growing", "training.keep=last")

    assert kept(result)["bank"].shape == (6, 3)
    assert kept(result)["mean"].shape == (1, 8, 8)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "Held",
            "'s state _extra_state (dict) holds Python objects, which no checkpoint keeps: let",
        ),
        ("Arrays", "'s state _extra_state (ndarray) holds Python objects"),
        ("Closure", "'s state _extra_state (function) holds Python objects"),
        ("Subclass", "'s state wrapped (Wrapped) holds Python objects"),
        ("Failing", "'s state_dict() fails (KeyError: 'nothing seen yet'): correct"),
        (
            "OneWay",
            " does not take back its own state (Error(s) in loading state_dict for OneWay: ",
        ),
    ],
)
def test_a_state_that_no_checkpoint_can_hold_is_refused_before_training(
    trained: Train, tmp_path: Path, name: str, said: str
) -> None:
    with pytest.raises(ModelError) as refused:
        trained(name)

    assert f"the model{said}" in str(refused.value)
    assert "\n" not in str(refused.value)
    assert read_result(tmp_path / "run").epochs == 0


def test_a_state_that_can_no_longer_be_kept_costs_no_run(
    trained: Train, caplog: pytest.LogCaptureFixture
) -> None:
    result = trained("Changing", "training.keep=last")

    assert result.status == "finished"
    assert kept(result)["_extra_state"] == 1
    assert "An earlier state is kept: the model's state _extra_state (type) holds" in caplog.text


def test_an_earlier_copy_is_not_stretched_over_a_buffer_of_another_shape() -> None:
    model = torch.nn.Module()
    model.register_buffer("bank", torch.zeros(1))
    first = copy_weights(model, into=None)
    model.bank = torch.zeros(3)

    second = copy_weights(model, into=first)
    model.bank = torch.ones(5)
    restore_weights(model, second)

    assert second["bank"].shape == (3,)
    assert torch.equal(model.bank, torch.zeros(3))


class Command:
    """What a checkpoint would run where it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("ran",)


@pytest.mark.parametrize(
    "content",
    [{"weight": Command()}, nn.Linear(3, 3), b"no weights", b"", b"a,b\n1,2\n", b"PK\x03\x04cut"],
    ids=["a command", "a whole module", "text", "nothing", "a table", "the beginning of one"],
)
def test_a_hostile_checkpoint_is_refused_and_no_advice_given_to_load_it(
    content: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "model.pt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(ConfigError) as refused:
        read_checkpoint(path)
    said = str(refused.value)
    assert said.startswith(f"{path} is no checkpoint")
    assert not any(word in said for word in ("weights_only", "allowlist", "safe_globals", "\n"))
    assert not (tmp_path / "ran").exists()
