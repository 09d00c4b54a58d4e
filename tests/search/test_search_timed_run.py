"""How long a run will take, from its steps on a clock that ticks once a look."""

import itertools
from collections.abc import Callable

import pytest

from greensweep.config.schema import TrainConfig
from greensweep.errors import ModelError
from greensweep.study import forecast
from greensweep.study.forecast import seconds_of_run

Compose = Callable[..., TrainConfig]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every pass that is timed takes one second."""
    ticks = itertools.count()
    monkeypatch.setattr(forecast.time, "monotonic", lambda: float(next(ticks)))


@pytest.mark.usefixtures("clock")
def test_a_run_takes_its_steps_times_what_one_takes(config: Compose) -> None:
    """Two batches of 64 of 42,500 images and two of 128 of 7,500, 8 times 25 times."""
    small = ("dataset=cifar10", "dataset.download=false", "model.conv_layers=1")
    run = config(*small, "repeats=8", "training.epochs=25", "model.linear_layers=1")
    assert seconds_of_run(run) == pytest.approx(8 * 25 * (42_500 / 128 + 7_500 / 256))


@pytest.mark.usefixtures("clock")
def test_a_small_data_set_is_seen_whole(config: Compose) -> None:
    run = config("dataset.train_limit=50", "training.batch_size=40", "training.epochs=3")
    validation = 216
    assert seconds_of_run(run) == pytest.approx(3 * (1 + validation / min(256, validation)))


def test_the_larger_run_takes_longer(config: Compose) -> None:
    small, large = (
        config("dataset.image_size=32", "model=dense_poly", f"model.linear_layers={layers}",
               f"training.epochs={epochs}", "training.threads=1")
        for layers, epochs in ((1, 1), (3, 20))
    )  # fmt: skip
    assert seconds_of_run(large) > 20 * seconds_of_run(small) > 0


def test_a_network_that_cannot_be_built_is_refused(config: Compose) -> None:
    with pytest.raises(ModelError, match=r"fewer model\.conv_layers"):
        seconds_of_run(config("model.conv_layers=9"))
