"""Score against energy: what no other configuration beats, and what the rest of it costs."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from greensweep.analysis.searches import Figures
from greensweep.pareto import is_pareto_optimal, pareto_front

_BLOCK = 50_000  # values of the draws that are taken at once


def hypervolume(
    scores: Figures,
    joules: Figures,
    reference_joules: float,
    ends: tuple[float, float] = (0.0, 1.0),
) -> float:
    """Return the area that the front dominates, as a share of the best score for 0 J.

    The reference point is the worst score at `reference_joules`.

    Args:
        ends: the worst score and the best.
    """
    worst, best = ends
    if best <= worst:
        return 0.0
    kept = pareto_front(joules, scores)
    cheap = joules[kept] <= reference_joules
    energy, height = joules[kept][cheap], (scores[kept][cheap] - worst) / (best - worst)
    widths = np.diff(np.append(energy, reference_joules))
    return float((widths * height).sum() / reference_joules) if reference_joules > 0 else 0.0


def knee(scores: Figures, joules: Figures) -> int | None:
    """Return the place, on a front, that is farthest above the chord between its ends.

    Both axes are scaled to the front's own range, as in the first step of Kneedle (Satopää et al.
    2011). None where the front has fewer than three points, or none is above.
    """
    if len(joules) < 3:
        return None
    across = (joules - joules[0]) / (joules[-1] - joules[0])
    up = (scores - scores[0]) / (scores[-1] - scores[0])
    best = int((up - across).argmax())
    return best if up[best] - across[best] > 1e-12 else None


def on_front_probability(
    scores: Figures, joules: Figures, units: NDArray[np.intp], resamples: int, seed: int
) -> Figures:
    """Return how often each configuration is on the front when its repeats are drawn anew.

    Equals are all on the front. A configuration with one run is drawn as it is.

    Args:
        scores, joules: of all runs.
        units: number of the configuration that each run repeats, from 0.
    """
    generator = np.random.default_rng(seed)
    order = np.argsort(units, kind="stable")
    counts = np.bincount(units)
    starts = np.cumsum(counts) - counts
    first, size = np.repeat(starts, counts), np.repeat(counts, counts)
    times = np.zeros(len(counts))

    def means(values: Figures, drawn: NDArray[np.intp]) -> Figures:
        """Return the mean of each configuration in each draw, of shape (draws, configurations)."""
        # As differences from the first repeat: equal repeats have exactly that mean, however many.
        one = values[order[starts]]
        differences = values[drawn] - np.repeat(one, counts)
        found: Figures = one + np.add.reduceat(differences, starts, axis=1) / counts
        return found

    for draws in _blocks(resamples, len(units)):
        drawn = order[first + (generator.random((draws, len(units))) * size).astype(np.intp)]
        score, energy = means(scores, drawn), means(joules, drawn)
        times += sum(map(is_pareto_optimal, np.stack([-score, energy], axis=-1)))
    return times / resamples


def _blocks(draws: int, values: int) -> Iterator[int]:
    """Yield numbers of draws that add up to all, each with so many values as fit in a cache."""
    most = max(_BLOCK // values, 1)
    while draws > 0:
        yield min(draws, most)
        draws -= most


def best_below(scores: Figures, joules: Figures, limit_joules: float) -> int | None:
    """Return the place of the best that costs no more; None without one."""
    allowed = np.flatnonzero(joules <= limit_joules)
    if not len(allowed):
        return None
    return int(allowed[np.lexsort((joules[allowed], -scores[allowed]))[0]])


def points_lost(scores: Figures, joules: Figures, share: float) -> Figures:
    """Return the score that is lost by spending at most a share of the best one's energy.

    Args:
        scores, joules: of shape (..., configurations).

    Returns:
        Of shape (...); infinite where nothing is that cheap.
    """
    best = scores.max(axis=-1, keepdims=True)
    cheapest = np.where(scores == best, joules, np.inf).min(axis=-1, keepdims=True)
    allowed = np.where(joules <= share * cheapest, scores, -np.inf)
    lost: Figures = best[..., 0] - allowed.max(axis=-1)
    return lost


def points_lost_in_draws(
    scores: Figures, joules: Figures, shares: Sequence[float], resamples: int, seed: int
) -> Figures:
    """Return the score lost in bootstrap draws of the configurations.

    Returns:
        Of shape (shares, draws).
    """
    generator = np.random.default_rng(seed)
    size = len(scores)
    parts = []
    for draws in _blocks(resamples, size):
        drawn = generator.integers(0, size, (draws, size))
        score, energy = scores[drawn], joules[drawn]
        parts.append([points_lost(score, energy, share) for share in shares])
    return np.concatenate(parts, axis=1)
