"""How far one setting's figures of a strategy may vary: over searches, or over orders of trials."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from greensweep.analysis.comparison import median_interval, resamples_that_fit
from greensweep.analysis.searches import Figures, Search, best_at, energy_to_target, orders
from greensweep.config.schema_analysis import StrategiesConfig
from greensweep.intervals import FEWEST_REPEATS

OVER_SEARCHES, OVER_ORDERS, OVER_NOTHING = "searches", "orders of trials", "none"

_POINTS = 60  # along the energy
_MOST_CURVES = 500  # each is laid on the points by itself
_MOST_DRAWN = 100_000  # values in the draws that are taken at once


def energies_over_orders(
    searches: Sequence[Search], target: float, resamples: int, seed: int
) -> Figures:
    """Return energy to target under random orders of each search's trials.

    Returns:
        Joules, of shape (searches, draws), with fewer draws than asked where they would not fit,
        and with none where no search has three trials.
    """
    if max(len(each.joules) for each in searches) < FEWEST_REPEATS:
        return np.empty((len(searches), 0))
    draws = resamples_that_fit(resamples, sum(len(each.joules) for each in searches))
    return np.array(
        [
            energy_to_target(each.joules[drawn], each.scores[drawn], target)
            for number, each in enumerate(searches)
            for drawn in [orders(each, draws, (seed, number))]
        ]
    )


def target_interval(
    reached: Figures, over_orders: Figures | None, confidence: float
) -> dict[str, object]:
    """Return the interval of the median energy to target of a strategy's searches in one setting.

    With as many searches as an exact interval takes, six for 95 %, it is over them; with fewer it
    is over random orders of their trials, where the strategy has no order of its own.

    Args:
        reached: joules to target of each search, infinite where it never arrives.
        over_orders: the same under random orders, of shape (searches, draws); None where the next
            trial hangs on the earlier ones.

    Returns:
        Its ends in joules, missing over `none`; what it is over; and how many draws it rests on: 0
        where it is exact.
    """
    _, low, high = median_interval(reached, confidence)
    over, draws = OVER_SEARCHES, 0
    if np.isnan(low):
        over = OVER_NOTHING
        if over_orders is not None and over_orders.size:
            tail = (1.0 - confidence) / 2.0
            medians = np.median(over_orders, axis=0)
            low, high = np.quantile(medians, [tail, 1.0 - tail], method="inverted_cdf")
            over, draws = OVER_ORDERS, len(medians)
    return {
        "joules_to_target_low": low,
        "joules_to_target_high": high,
        "interval_over": over,
        "interval_draws": draws,
    }


def curve_band(
    searches: Sequence[Search], worst: float, order_free: bool, config: StrategiesConfig
) -> pd.DataFrame | None:
    """Return the mean best score of one strategy in one setting against energy, with its band.

    With three searches or more the band is a bootstrap over them. With fewer it is over random
    orders of the trials of the first, where the strategy has no order of its own.

    Args:
        searches: by the same strategy, in the same setting.
        worst: score before the first trial is done.
        order_free: the next trial does not hang on the earlier ones.

    The energy ends where the median search does; a shorter one holds what it had at its end.

    Returns:
        Rows (spent_joules, score, low, high, band_over, band_draws); None where there is
        nothing to draw.
    """
    if len(searches) >= FEWEST_REPEATS:
        grid = _points(float(np.median([each.total_joules for each in searches])))
        curves = np.array([best_at(each.joules, each.scores, grid, worst) for each in searches])
        draws = resamples_that_fit(config.resamples, len(curves))
        generator = np.random.default_rng(config.seed)
        drawn = generator.integers(0, len(curves), (draws, len(curves)))
        means = _means(curves, drawn)
        middle, over = curves.mean(axis=0), OVER_SEARCHES
    elif order_free and len(searches[0].joules) >= FEWEST_REPEATS:
        first = searches[0]
        grid = _points(first.total_joules)
        draws = resamples_that_fit(min(config.resamples, _MOST_CURVES), len(first.joules))
        drawn = orders(first, draws, config.seed)
        means = np.array(
            [best_at(first.joules[row], first.scores[row], grid, worst) for row in drawn]
        )
        middle, over = means.mean(axis=0), OVER_ORDERS
    else:
        return None
    tail = (1.0 - config.confidence) / 2.0
    low, high = np.quantile(means, [tail, 1.0 - tail], axis=0)
    return pd.DataFrame(
        {
            "spent_joules": grid,
            "score": middle,
            "low": low,
            "high": high,
            "band_over": over,
            "band_draws": len(means),
        }
    )


def _means(curves: Figures, drawn: NDArray[np.int64]) -> Figures:
    """Return the mean of the curves in each draw, of shape (draws, points)."""
    draws = max(_MOST_DRAWN // curves.size, 1)  # that are taken at once
    blocks = [drawn[first : first + draws] for first in range(0, len(drawn), draws)]
    return np.concatenate([curves[rows].mean(axis=1) for rows in blocks])


def _points(end_joules: float) -> Figures:
    return np.linspace(0.0, end_joules, _POINTS + 1)[1:]
