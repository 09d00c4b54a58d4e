"""The Pareto front: by hand, against the definition, and with figures that are not sure."""

import numpy as np
import pytest

from greensweep.pareto import distinguishable, is_pareto_optimal, pareto_front


def dominated(losses: np.ndarray) -> list[bool]:
    """Which rows another is at most as high as in all columns, and lower than in one."""
    return [any(all(o <= r) and any(o < r) for o in losses) for r in losses]


def test_the_front_goes_from_the_cheapest_to_the_most_valuable() -> None:
    costs, values = [3.0, 1.0, 2.0, 2.5, 4.0], [0.9, 0.5, 0.7, 0.6, 0.9]
    assert pareto_front(costs, values).tolist() == [1, 2, 0]
    assert pareto_front([1.0, 1.0, 1.0], [0.5, 0.5, 0.4]).tolist() == [0], "equals count once"
    assert pareto_front([], []).tolist() == []


@pytest.mark.parametrize("objectives", [1, 2, 3])
def test_what_is_optimal_is_what_nothing_dominates(objectives: int) -> None:
    losses = np.random.default_rng(0).random((200, objectives)).round(2)
    losses = np.concatenate([losses, losses[::2]])  # equals
    assert is_pareto_optimal(losses).tolist() == [not each for each in dominated(losses)]


def test_the_front_holds_one_of_each_optimal_point() -> None:
    costs, values = np.random.default_rng(1).random((2, 300)).round(2)
    front = pareto_front(costs, values)
    losses = np.stack([costs, -values], axis=1)
    optimal = {tuple(each) for each in losses[is_pareto_optimal(losses)]}
    assert {tuple(each) for each in losses[front]} == optimal
    assert (np.diff(costs[front]) > 0).all()


def test_a_cheaper_point_whose_cost_is_not_sure_is_off_the_front() -> None:
    costs, values = [100.0, 104.0, 130.0], [0.5, 0.6, 0.7]
    assert pareto_front(costs, values, [None, None, None]).tolist() == [0, 1, 2]
    assert pareto_front(costs, values, [4.0, 4.0, 4.0]).tolist() == [1, 2]
    assert pareto_front(costs, values, [25.0, 25.0, 25.0]).tolist() == [2]


@pytest.mark.parametrize(
    ("figures", "apart"),
    [
        ((100.0, 105.0, 10.0, 10.0), False),
        ((100.0, 130.0, 10.0, 10.0), True),
        ((100.0, 105.0, None, 10.0), False),
        ((100.0, 105.0, None, None), True),
        ((100.0, 100.0, None, None), False),
    ],
)
def test_figures_within_each_others_uncertainty_are_not_distinguishable(
    figures: tuple[float, ...], apart: bool
) -> None:
    assert distinguishable(*figures) is apart
