"""Keras 3's `fit` with `GreensweepCallback`, on PyTorch."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from search import needs, searched

import greensweep
from greensweep.errors import TrialEnded
from greensweep.record.result import read_result

pytestmark = needs("keras")

X, Y = np.ones((4, 2)), np.array([0, 1, 0, 1])

Fit = Callable[..., Any]


@pytest.fixture
def fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fit:
    """Train a model of one layer for two epochs, and test it."""
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    import keras

    from greensweep.loops.keras import GreensweepCallback

    def run(**options: Any) -> Any:
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, "sigmoid")], name="one")
        model.compile(keras.optimizers.SGD(0.5), "binary_crossentropy", metrics=["accuracy"])
        callback = GreensweepCallback(**{"directory": tmp_path, **options})
        given = {"verbose": 0, "callbacks": [callback]}
        model.fit(X, Y, epochs=2, validation_data=(X, Y), **given)
        model.evaluate(X, Y, **given)

    return run


def test_a_fit_and_an_evaluate_are_one_run(fit: Fit, tmp_path: Path) -> None:
    with searched() as search:
        fit()
    result = read_result(tmp_path)
    assert (result.status, result.epochs, result.model) == ("finished", 2, "one")
    assert {split: set(of) for split, of in result.metrics.items()} == {
        "validation": {"loss", "accuracy"}, "test": {"loss", "accuracy"},
    }  # fmt: skip
    assert all(each.train_loss and each.energy_joules for each in result.history)
    assert set(result.energy_phases) == {"setup", "training", "evaluation", "other", "test"}
    assert [(each.epoch, each.epochs) for each in search.reports] == [(1, 2), (2, 2)]
    assert "learning_rate: 0.5\n" in (tmp_path / "config.yaml").read_text()


def test_a_pruned_fit_ends(fit: Fit, tmp_path: Path) -> None:
    with pytest.raises(TrialEnded), searched(ends_after=1):
        fit()
    result = read_result(tmp_path)
    assert (result.status, result.epochs) == ("pruned", 1)


def test_a_run_around_has_the_fit(fit: Fit, tmp_path: Path) -> None:
    with greensweep.run("mine", directory=tmp_path, meter="unmetered") as run:
        fit()
    assert (run.result.epochs, run.result.metrics.keys()) == (2, {"validation", "test"})
