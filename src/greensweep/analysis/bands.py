"""Best accuracy so far against energy, with a band: over searches, or over orders of trials."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from greensweep.analysis.searches import Figures, Search, best_so_far, orders

_POINTS = 60  # along the energy
_FEWEST_SEARCHES = 3  # for a band over searches
_MOST_DRAWN = 10_000_000  # trials in all resamples of one search: more do not fit in memory


def resamples_of(search: Search, asked: int) -> int:
    """Return how many resamples of a search fit in memory, at least 20."""
    return max(min(asked, _MOST_DRAWN // len(search.joules)), 20)


def curve_band(
    searches: Sequence[Search],
    *,
    order_free: bool,
    resamples: int,
    confidence: float,
    seed: int,
) -> pd.DataFrame | None:
    """Return the mean best accuracy of one strategy in one setting against energy, with its band.

    With three searches or more the band is a bootstrap over them. With fewer it is over random
    orders of the trials of the first, where the strategy has no order of its own.

    Args:
        searches: by the same strategy, in the same setting.
        order_free: the next trial does not hang on the earlier ones.

    Returns:
        Rows (spent_joules, accuracy, low, high, band_over); None where there is nothing to draw.
    """
    generator = np.random.default_rng(seed)
    tail = (1.0 - confidence) / 2.0
    if len(searches) >= _FEWEST_SEARCHES:
        grid = np.linspace(0.0, min(each.total_joules for each in searches), _POINTS + 1)[1:]
        curves = np.array([_at(each.joules, each.accuracies, grid) for each in searches])
        drawn = generator.integers(0, len(curves), (resamples, len(curves)))
        means = np.array([curves[rows].mean(axis=0) for rows in drawn])
        middle, over = curves.mean(axis=0), "searches"
    elif order_free and len(searches[0].joules) > 1:
        first = searches[0]
        grid = np.linspace(0.0, first.total_joules, _POINTS + 1)[1:]
        drawn = orders(first, min(resamples_of(first, resamples), 500), seed)
        means = np.array([_at(first.joules[row], first.accuracies[row], grid) for row in drawn])
        middle, over = means.mean(axis=0), "orders of trials"
    else:
        return None
    low, high = np.quantile(means, [tail, 1.0 - tail], axis=0)
    return pd.DataFrame(
        {"spent_joules": grid, "accuracy": middle, "low": low, "high": high, "band_over": over}
    )


def _at(joules: Figures, accuracies: Figures, grid: Figures) -> Figures:
    """Return the best accuracy for so much energy; 0 before the first trial is done."""
    best = np.concatenate([[0.0], np.nan_to_num(best_so_far(accuracies))])
    # A sum of all trials in another order differs in its last digits from the end of the grid.
    done = np.searchsorted(np.cumsum(joules), grid * (1.0 + 1e-9), side="right")
    return best[done]
