"""The model of a search: what it expects of a point that was not tried."""

import numpy as np
import pytest

from greensweep.gaussian_process import GaussianProcess


def wave(points: np.ndarray) -> np.ndarray:
    return np.sin(6.0 * points[:, 0]) + 100.0 + 0.0 * points[:, 1]


@pytest.mark.parametrize("trials", [40, 150, 400])
def test_a_smooth_function_is_expected_where_it_was_not_tried(trials: int) -> None:
    draw = np.random.default_rng(0)
    points = draw.random((trials, 2))
    process = GaussianProcess(points, wave(points))
    unseen = draw.uniform(0.05, 0.95, (50, 2))
    means, deviations = process.predict(unseen)
    assert np.abs(means - wave(unseen)).max() < 0.1
    assert (deviations < 0.2).all()


def test_of_many_trials_all_count_and_not_only_those_that_choose_the_kernel() -> None:
    draw = np.random.default_rng(0)
    points = draw.random((400, 2))
    process = GaussianProcess(points, wave(points))
    _, told = process.predict(points)
    assert told.max() < 0.02, "each of the 400 is known where it was tried"
    assert len(process._regressor.X_train_) == 400
