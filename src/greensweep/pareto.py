"""Pareto fronts on plain arrays: the points that no other beats in all objectives at once."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def pareto_front(
    costs: ArrayLike,
    values: ArrayLike,
    uncertainties: Sequence[float | None] | Floats | None = None,
) -> NDArray[np.intp]:
    """Return the places of the points of the front, from the cheapest to the most valuable.

    No other costs at most as much for at least the same value, and is better in one of them; of
    equals the first counts.

    Args:
        costs, values: of each point; less cost and more value are better.
        uncertainties: of the costs, None where unknown. A point that is cheaper than a more
            valuable one by less than they explain is then left off.
    """
    cost, value = np.asarray(costs, float), np.asarray(values, float)
    order = np.lexsort((-value, cost))
    before = np.concatenate([[-np.inf], np.maximum.accumulate(value[order])[:-1]])
    front: NDArray[np.intp] = order[value[order] > before] if len(order) else order
    if uncertainties is None:
        return front
    kept: list[int] = []
    for place in front[::-1]:
        mine = cost[place], uncertainties[place]
        if all(distinguishable(mine[0], cost[k], mine[1], uncertainties[k]) for k in kept):
            kept.append(int(place))
    return np.array(kept[::-1], dtype=np.intp)


def is_pareto_optimal(losses: ArrayLike) -> NDArray[np.bool_]:
    """Return which points no other dominates, of shape (points,); equals are alike.

    Args:
        losses: of shape (points, objectives), to be minimised.
    """
    table = np.asarray(losses, float)
    if table.shape[1] != 2:
        dominated = [((table <= row).all(1) & (table < row).any(1)).any() for row in table]
        return ~np.array(dominated, dtype=np.bool_)
    front = table[pareto_front(table[:, 0], -table[:, 1])]
    last_as_cheap = np.searchsorted(front[:, 0], table[:, 0], side="right") - 1
    return np.asarray((front[last_as_cheap] == table).all(axis=1))


def distinguishable(one: float, other: float, *uncertainties: float | None) -> bool:
    """Tell whether two figures differ by more than both uncertainties, where known, explain."""
    return abs(one - other) > math.hypot(*(each or 0.0 for each in uncertainties))
