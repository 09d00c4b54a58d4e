"""Accuracy against energy: what no other configuration beats, and what the rest of it costs."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from greensweep.analysis.searches import Figures
from greensweep.pareto import is_pareto_optimal, pareto_front

_BLOCK = 50_000  # values of the draws that are taken at once


def hypervolume(accuracies: Figures, joules: Figures, reference_joules: float) -> float:
    """Return the area that the front dominates, as a share of accuracy 1 for 0 J.

    The reference point is accuracy 0 at `reference_joules`.
    """
    kept = pareto_front(joules, accuracies)
    cheap = joules[kept] <= reference_joules
    energy, height = joules[kept][cheap], accuracies[kept][cheap]
    widths = np.diff(np.append(energy, reference_joules))
    return float((widths * height).sum() / reference_joules) if reference_joules > 0 else 0.0


def knee(accuracies: Figures, joules: Figures) -> int | None:
    """Return the place, on a front, that is farthest above the chord between its ends.

    Both axes are scaled to the front's own range, as in the first step of Kneedle (Satopää et al.
    2011). None where the front has fewer than three points, or none is above.
    """
    if len(joules) < 3:
        return None
    across = (joules - joules[0]) / (joules[-1] - joules[0])
    up = (accuracies - accuracies[0]) / (accuracies[-1] - accuracies[0])
    best = int((up - across).argmax())
    return best if up[best] - across[best] > 1e-12 else None


def on_front_probability(
    accuracies: Figures, joules: Figures, units: NDArray[np.intp], resamples: int, seed: int
) -> Figures:
    """Return how often each configuration is on the front when its repeats are drawn anew.

    Equals are all on the front. A configuration with one run is drawn as it is.

    Args:
        accuracies, joules: of all runs.
        units: number of the configuration that each run repeats, from 0.
    """
    generator = np.random.default_rng(seed)
    order = np.argsort(units, kind="stable")
    counts = np.bincount(units)
    starts = np.cumsum(counts) - counts
    first, size = np.repeat(starts, counts), np.repeat(counts, counts)
    times = np.zeros(len(counts))
    for draws in _blocks(resamples, len(units)):
        drawn = order[first + (generator.random((draws, len(units))) * size).astype(np.intp)]
        accuracy = _means(accuracies, drawn, order, starts, counts)
        energy = _means(joules, drawn, order, starts, counts)
        times += sum(map(is_pareto_optimal, np.stack([-accuracy, energy], axis=-1)))
    return times / resamples


def _means(
    values: Figures,
    drawn: NDArray[np.intp],
    order: NDArray[np.intp],
    starts: NDArray[np.intp],
    counts: NDArray[np.intp],
) -> Figures:
    """Return the mean of each configuration in each draw, of shape (draws, configurations)."""
    # As differences from the first repeat: equal repeats have exactly that mean, however many.
    first = values[order[starts]]
    differences = values[drawn] - np.repeat(first, counts)
    means: Figures = first + np.add.reduceat(differences, starts, axis=1) / counts
    return means


def _blocks(draws: int, values: int) -> Iterator[int]:
    """Yield numbers of draws that add up to all, each with so many values as fit in a cache."""
    most = max(_BLOCK // values, 1)
    while draws > 0:
        yield min(draws, most)
        draws -= most


def best_below(accuracies: Figures, joules: Figures, limit_joules: float) -> int | None:
    """Return the place of the most accurate that costs no more; None without one."""
    allowed = np.flatnonzero(joules <= limit_joules)
    if not len(allowed):
        return None
    return int(allowed[np.lexsort((joules[allowed], -accuracies[allowed]))[0]])


def points_lost(accuracies: Figures, joules: Figures, share: float) -> Figures:
    """Return the accuracy that is lost by spending at most a share of the most accurate's energy.

    Args:
        accuracies, joules: of shape (..., configurations).

    Returns:
        Of shape (...); infinite where nothing is that cheap.
    """
    best = accuracies.max(axis=-1, keepdims=True)
    cheapest = np.where(accuracies == best, joules, np.inf).min(axis=-1, keepdims=True)
    allowed = np.where(joules <= share * cheapest, accuracies, -np.inf)
    lost: Figures = best[..., 0] - allowed.max(axis=-1)
    return lost


def points_lost_in_draws(
    accuracies: Figures, joules: Figures, shares: Sequence[float], resamples: int, seed: int
) -> Figures:
    """Return the accuracy lost in bootstrap draws of the configurations.

    Returns:
        Of shape (shares, draws).
    """
    generator = np.random.default_rng(seed)
    size = len(accuracies)
    parts = []
    for draws in _blocks(resamples, size):
        drawn = generator.integers(0, size, (draws, size))
        accuracy, energy = accuracies[drawn], joules[drawn]
        parts.append([points_lost(accuracy, energy, share) for share in shares])
    return np.concatenate(parts, axis=1)
