"""What one search reached, and for how much energy."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Figures = NDArray[np.float64]


@dataclass(frozen=True)
class Search:
    """The trials of one search, in the order they ran.

    Attributes:
        joules: that each trial cost, also those that did not finish.
        accuracies: of each trial; NaN of those that did not finish.
    """

    setting: str
    strategy: str
    seed: str
    joules: Figures
    accuracies: Figures

    @property
    def total_joules(self) -> float:
        """Energy of all trials."""
        return float(self.joules.sum())

    @property
    def best(self) -> float:
        """Best accuracy; NaN when no trial finished."""
        return float(best_so_far(self.accuracies)[-1])


def best_so_far(accuracies: Figures) -> Figures:
    """Return the best accuracy after each trial, along the last axis; NaN before the first."""
    best = np.maximum.accumulate(np.nan_to_num(accuracies, nan=-np.inf), axis=-1)
    return np.where(np.isneginf(best), np.nan, best)


def energy_to_target(joules: Figures, accuracies: Figures, target: float) -> Figures:
    """Return the joules spent until a trial reaches the target, that trial's included.

    Args:
        joules, accuracies: of shape (..., trials).

    Returns:
        Of shape (...); infinite where the target is never reached.
    """
    reached = np.nan_to_num(accuracies, nan=-np.inf) >= target
    spent = np.cumsum(joules, axis=-1)
    first = reached.argmax(axis=-1)
    found = np.take_along_axis(spent, first[..., None], axis=-1)[..., 0]
    return np.where(reached.any(axis=-1), found, np.inf)


def mean_best_accuracy(search: Search, horizon_joules: float) -> float:
    """Return the area under best-so-far accuracy against joules, over the horizon.

    It is the accuracy that a search stopped at a random point of its energy would have had, with
    0 before the first trial is done.
    """
    spent = np.concatenate([[0.0], np.cumsum(search.joules)])
    heights = np.concatenate([[0.0], np.nan_to_num(best_so_far(search.accuracies))])
    ends = np.minimum(np.append(spent[1:], np.inf), horizon_joules)
    widths = np.maximum(ends - np.minimum(spent, horizon_joules), 0.0)
    return float((heights * widths).sum() / horizon_joules)


def best_within(search: Search, joules: float) -> float:
    """Return the best accuracy that a search had for so much energy; NaN before its first trial."""
    # The sum of all trials may differ from the sum one by one in its last digits.
    done = np.cumsum(search.joules) <= joules * (1.0 + 1e-9)
    return float(best_so_far(search.accuracies)[done][-1]) if done.any() else float("nan")


def orders(search: Search, resamples: int, seed: int | Sequence[int]) -> NDArray[np.intp]:
    """Return random orders of a search's trials, of shape (resamples, trials)."""
    generator = np.random.default_rng(seed)
    in_order = np.tile(np.arange(len(search.joules), dtype=np.intp), (resamples, 1))
    return generator.permuted(in_order, axis=1)
