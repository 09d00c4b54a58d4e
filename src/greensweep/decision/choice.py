"""The choice: the configuration of the highest utility, at a stated price of half the energy.

The utility of a configuration is its metric in points, less so many points for each doubling of its
energy: linear in the metric, logarithmic in the energy, so that half the energy is worth as much
whatever it is half of. With weights that a user states this is additive multi-attribute utility
(Keeney and Raiffa 1976). The choice is always on the Pareto front, at a corner of its convex hull
in points and doublings, and each corner is the choice in a range of prices.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from greensweep.config.metrics import Metric
from greensweep.decision.candidate import Candidate
from greensweep.intervals import HALF_WIDTH, Interval, difference_interval
from greensweep.pareto import pareto_front

DRAWS = 1000
_LEAST_JOULES = 1e-12
_Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Decision:
    """What to take, what it gives up, what it saves, and how sure that is.

    Attributes:
        points_per_halving: the price: how many points half the energy may cost.
        start: what the search began from; None where that is not known, or broke a constraint.
        chosen, best: equal where nothing cheaper is worth what it gives up.
        point: one point of the metric: a hundredth of its range; of one without ends a hundredth of
            the best value.
        points_lost, points_lost_interval: of the chosen one against the best; the 95 % interval is
            None where that of one of them is not known.
        saved_share, saved_uncertainty: of the best one's energy; None where not metered.
        holds_from, holds_to: prices between which it is the choice.
        stability: share of draws of all metrics and energies, within their uncertainties, in which
            it is the choice; None where one of the front has a metric without an interval.
        weighed: how many candidates were weighed against the best by their energy.
    """

    metric: Metric
    points_per_halving: float
    chosen: Candidate
    best: Candidate
    point: float
    start: Candidate | None = None
    points_lost: float = 0.0
    points_lost_interval: Interval | None = None
    saved_share: float | None = None
    saved_uncertainty: float | None = None
    holds_from: float | None = None
    holds_to: float | None = None
    stability: float | None = None
    weighed: int = 0

    def figures(self) -> dict[str, float | None]:
        """Return its numbers by name, as files hold them: None for unknown and for no limit."""
        low, high = self.points_lost_interval or (None, None)
        bounded = self.holds_to is not None and math.isfinite(self.holds_to)
        return {
            "points_per_halving": self.points_per_halving,
            "points_lost": self.points_lost,
            "points_lost_low": low,
            "points_lost_high": high,
            "energy_saved_share": self.saved_share,
            "energy_saved_uncertainty": self.saved_uncertainty,
            "holds_from": self.holds_from,
            "holds_to": self.holds_to if bounded else None,
            "stability": self.stability,
        }


def decide(
    candidates: Sequence[Candidate], metric: Metric, points_per_halving: float, seed: int = 0
) -> Decision | None:
    """Choose between configurations; None where there is none.

    Where the best one's energy is not known, or does not compare, it is taken: nothing can be
    weighed against it.

    Args:
        points_per_halving: how many points of the metric half the energy may cost.
        seed: of the draws for its stability.
    """
    if not candidates:
        return None
    costs = np.array([math.inf if each.joules is None else each.joules for each in candidates])
    scores = np.array([metric.score(each.value) for each in candidates], dtype=float)
    best = int(np.lexsort((costs, -scores))[0])
    point = 0.01 * (metric.range or abs(scores[best]) or 1.0)
    first = candidates[best]
    start = next((each for each in candidates if each.is_start), None)
    if not math.isfinite(costs[best]):
        return Decision(metric, points_per_halving, first, first, point, start)
    known = np.flatnonzero(np.isfinite(costs))
    unsure = [candidates[int(place)].uncertainty_joules for place in known]
    front = known[pareto_front(costs[known], scores[known], unsure)]
    on_front = [candidates[int(each)] for each in front]
    # Energy counts for no less than that of the cheapest may be off by.
    floor = max(on_front[0].uncertainty_joules or 0.0, _LEAST_JOULES)
    joules = np.maximum(costs[front], floor)
    points, doublings = scores[front] / point, np.log2(joules)
    place = _choice(points, doublings, points_per_halving)
    chosen = on_front[place]
    holds_from, holds_to = _prices(points, doublings, place)
    saved, saved_uncertainty = _saved(chosen, first)
    return Decision(
        metric,
        points_per_halving,
        chosen,
        first,
        point,
        start,
        points_lost=float(scores[best] - scores[front[place]]) / point,
        points_lost_interval=_lost_interval(chosen, first, metric, point),
        saved_share=saved,
        saved_uncertainty=saved_uncertainty,
        holds_from=holds_from,
        holds_to=holds_to,
        stability=_stability(on_front, joules, metric, point, points_per_halving, place, seed),
        weighed=len(known),
    )


def _choice(points: _Floats, doublings: _Floats, price: float) -> int:
    """Return the place of the highest utility, on a front from the cheapest; of equals the best."""
    utility = points - price * doublings
    return len(utility) - 1 - int(utility[::-1].argmax())


def _prices(points: _Floats, doublings: _Floats, place: int) -> tuple[float, float]:
    """Return the prices of half the energy between which a place of the front is the choice."""
    dearer, cheaper = slice(place + 1, None), slice(place)
    slopes = [
        (points[part] - points[place]) / (doublings[part] - doublings[place])
        for part in (dearer, cheaper)
    ]
    return float(max(slopes[0], default=0.0)), float(min(slopes[1], default=math.inf))


def _saved(chosen: Candidate, best: Candidate) -> tuple[float | None, float | None]:
    """Return the share of the best one's energy that is saved, and how far it may be off."""
    if chosen.joules is None or not best.joules:
        return None, None
    ratio = chosen.joules / best.joules
    off = chosen.uncertainty_joules, best.uncertainty_joules
    if chosen is best or off[0] is None or off[1] is None:
        return 1 - ratio, None
    return 1 - ratio, math.hypot(off[0], ratio * off[1]) / best.joules


def _lost_interval(
    chosen: Candidate, best: Candidate, metric: Metric, point: float
) -> Interval | None:
    if chosen is best or chosen.interval is None or best.interval is None:
        return None
    low, high = difference_interval(best.value, best.interval, chosen.value, chosen.interval)
    if metric.direction == "minimize":
        low, high = -high, -low
    return low / point, high / point


def _stability(
    front: Sequence[Candidate],
    joules: _Floats,
    metric: Metric,
    point: float,
    price: float,
    place: int,
    seed: int,
) -> float | None:
    intervals = [each.interval for each in front]
    if len(front) < 2 or None in intervals:
        return None
    generator = np.random.default_rng(seed)
    values = np.array([each.value for each in front])
    lows, highs = np.array(intervals, dtype=float).T
    off = np.array([each.uncertainty_joules or 0.0 for each in front])
    noise = generator.standard_normal((DRAWS, len(front)))
    spread = np.where(noise < 0, values - lows, highs - values) / HALF_WIDTH
    points = np.asarray(metric.score(values + noise * spread)) / point
    # Of a share that may be off by so much; energies are positive.
    doublings = np.log2(joules) + generator.standard_normal(noise.shape) * np.log2(1 + off / joules)
    chosen = (points - price * doublings).argmax(axis=1)
    return float((chosen == place).mean())
