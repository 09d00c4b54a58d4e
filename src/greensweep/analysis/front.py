"""Accuracy against energy: what no other configuration beats, and what the rest of it costs."""

import numpy as np
from numpy.typing import NDArray

from greensweep.analysis.searches import Figures


def front(accuracies: Figures, joules: Figures) -> NDArray[np.intp]:
    """Return the places of the Pareto front, from the cheapest to the most accurate.

    On it no other is at least as accurate for no more energy, and better in one of them; of equals
    the first counts.
    """
    order = np.lexsort((-accuracies, joules))
    before = np.concatenate([[-np.inf], np.maximum.accumulate(accuracies[order])[:-1]])
    found: NDArray[np.intp] = order[accuracies[order] > before]
    return found


def hypervolume(accuracies: Figures, joules: Figures, reference_joules: float) -> float:
    """Return the area that the front dominates, as a share of accuracy 1 for 0 J.

    The reference point is accuracy 0 at `reference_joules`.
    """
    kept = front(accuracies, joules)
    cheap = joules[kept] <= reference_joules
    energy, height = joules[kept][cheap], accuracies[kept][cheap]
    widths = np.diff(np.append(energy, reference_joules))
    return float((widths * height).sum() / reference_joules) if reference_joules > 0 else 0.0


def knee(accuracies: Figures, joules: Figures) -> int | None:
    """Return the place, on a front, that is farthest above the line between its ends.

    Both axes are scaled to the front's own range: the maximum-distance knee, as of Kneedle
    (Satopää et al. 2011). None where the front has fewer than three points, or none is above.
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

    Args:
        accuracies, joules: of all runs.
        units: number of the configuration that each run repeats, from 0.
    """
    generator = np.random.default_rng(seed)
    groups = [np.flatnonzero(units == unit) for unit in range(units.max() + 1)]
    times = np.zeros(len(groups))
    for _ in range(resamples):
        drawn = [generator.choice(group, len(group)) for group in groups]
        accuracy = np.array([accuracies[each].mean() for each in drawn])
        energy = np.array([joules[each].mean() for each in drawn])
        times[front(accuracy, energy)] += 1
    return times / resamples


def best_below(accuracies: Figures, joules: Figures, limit_joules: float) -> int | None:
    """Return the place of the most accurate that costs no more; None without one."""
    allowed = np.flatnonzero(joules <= limit_joules)
    if not len(allowed):
        return None
    return int(allowed[np.lexsort((joules[allowed], -accuracies[allowed]))[0]])


def points_lost(accuracies: Figures, joules: Figures, share: float) -> float:
    """Return the accuracy that is lost by spending at most a share of the most accurate's energy.

    Infinite where nothing is that cheap.
    """
    best = accuracies.max()
    allowed = joules <= share * joules[accuracies == best].min()
    return float(best - accuracies[allowed].max()) if allowed.any() else float("inf")
