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
        scores: of each trial, more is better; NaN of those that did not finish.
    """

    setting: str
    strategy: str
    seed: str
    joules: Figures
    scores: Figures

    @property
    def total_joules(self) -> float:
        """Energy of all trials."""
        return float(self.joules.sum())

    @property
    def best(self) -> float:
        """Best score; NaN when no trial finished."""
        return float(best_so_far(self.scores)[-1])


def best_so_far(scores: Figures) -> Figures:
    """Return the best score after each trial, along the last axis; NaN before the first."""
    best = np.maximum.accumulate(np.where(np.isnan(scores), -np.inf, scores), axis=-1)
    return np.where(np.isneginf(best), np.nan, best)


def energy_to_target(joules: Figures, scores: Figures, target: float) -> Figures:
    """Return the joules spent until a trial reaches the target, that trial's included.

    Args:
        joules, scores: of shape (..., trials).

    Returns:
        Of shape (...); infinite where the target is never reached.
    """
    reached = np.where(np.isnan(scores), -np.inf, scores) >= target
    spent = np.cumsum(joules, axis=-1)
    first = reached.argmax(axis=-1)
    found = np.take_along_axis(spent, first[..., None], axis=-1)[..., 0]
    return np.where(reached.any(axis=-1), found, np.inf)


def mean_best_score(search: Search, horizon_joules: float, worst: float = 0.0) -> float:
    """Return the area under the best score so far against joules, over the horizon.

    It is the score that a search stopped at a random point of its energy would have had.

    Args:
        worst: score before the first trial is done.
    """
    spent = np.concatenate([[0.0], np.cumsum(search.joules)])
    heights = _from_worst(search.scores, worst)
    ends = np.minimum(np.append(spent[1:], np.inf), horizon_joules)
    widths = np.maximum(ends - np.minimum(spent, horizon_joules), 0.0)
    return float((heights * widths).sum() / horizon_joules)


def _from_worst(scores: Figures, worst: float) -> Figures:
    """Return the best score before the first trial and after each, `worst` while there is none."""
    best = best_so_far(scores)
    return np.concatenate([[worst], np.where(np.isnan(best), worst, best)])


def best_at(joules: Figures, scores: Figures, spent: Figures, worst: float) -> Figures:
    """Return the best score for so much energy; `worst` before the first trial is done."""
    # A sum of all trials in another order differs in its last digits from the end of the grid.
    done = np.searchsorted(np.cumsum(joules), spent * (1.0 + 1e-9), side="right")
    return _from_worst(scores, worst)[done]


def orders(search: Search, resamples: int, seed: int | Sequence[int]) -> NDArray[np.intp]:
    """Return random orders of a search's trials, of shape (resamples, trials)."""
    generator = np.random.default_rng(seed)
    in_order = np.tile(np.arange(len(search.joules), dtype=np.intp), (resamples, 1))
    return generator.permuted(in_order, axis=1)
