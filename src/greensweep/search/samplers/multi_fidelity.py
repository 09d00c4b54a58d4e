"""Expected improvement per joule over cheaper ways to train, too."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from greensweep.search.fidelity import fidelity_of, in_fidelity, set_fidelity
from greensweep.search.records import outcome_of
from greensweep.search.samplers.ei_per_joule import ExpectedImprovementPerJouleSampler, around
from greensweep.search.samplers.past import Past
from greensweep.search.samplers.process import (
    Figures,
    Process,
    log_expected_improvement,
    log_probability_below,
)
from greensweep.search.samplers.scales import Box, scaled_space

_CANDIDATES = 512
_REACHES = (0.1, 0.03)
_FEWEST_WHOLE = 2  # whole runs before the model is asked
# How far a cheaper run is from the whole one on its side of the box: before any trial, their
# figures, but for a constant, are then believed to correlate by 0.8.
_APART = 0.25


class MultiFidelitySampler(ExpectedImprovementPerJouleSampler):
    """Draws a point and the way to train it: whole, or cheaper, with fewer epochs or images.

    The first points are trained in the cheaper ways; the best of each are then trained whole.
    From there on a way s of training a point x is worth EI(x) · ρ(x, s) / joules(x, s), where EI
    is the improvement expected of its whole run, and ρ the correlation between what the cheaper
    run would show and that whole run, given all trials so far (Huang, Allen, Notz and Miller
    2006, equation 13; ρ of a whole run is 1). One Gaussian process holds all trials: a way of
    training is a side of its box, and a constant that sets it apart, told from the points that
    were trained both ways, is taken off beforehand.

    Cheaper runs get no more than half of the energy, so that a search which they mislead, as
    where what learns fast ends low, takes no more than twice what it would without them.

    Args:
        fidelities: cheaper ways.
        further: as for expected improvement per joule; `n_startup_trials` are those in the
            cheaper ways.
    """

    def __init__(self, *, fidelities: int, **further: Any) -> None:
        super().__init__(**further)
        self._fidelities = fidelities

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Draw the way to train, and all options together once there is something to learn from."""
        if trial.params or "fixed_params" in trial.system_attrs:
            return {}  # a point to start from is trained whole, a repeat as before
        draw = self._draw
        assert draw is not None
        cheaper = sum(fidelity_of(each) > 0 for each in draw.trials)
        if cheaper < max(self._n_startup_trials, self._fidelities):
            set_fidelity(trial._trial_id, study._storage, 1 + cheaper % self._fidelities)
            return {}
        if not search_space:
            return {}
        box = Box(scaled_space(search_space, self._log_decades))
        maximize = study.direction == StudyDirection.MAXIMIZE
        ways = [
            Past(in_fidelity(draw.trials, fidelity), box, search_space, maximize)
            for fidelity in range(self._fidelities + 1)
        ]
        promoted = to_promote(ways)
        if promoted is not None:
            return box.values(promoted)
        if len(ways[0].scores) < _FEWEST_WHOLE:
            return {}
        cheaply, whole = _cost(draw.trials, True), _cost(draw.trials, False)
        acquisition = WayAcquisition(ways, self._cost_exponent, only_whole=cheaply > whole)
        place, fidelity = self._best(acquisition, ways[0], box)
        if fidelity:
            set_fidelity(trial._trial_id, study._storage, fidelity)
        return box.values(place)

    def _best(self, acquisition: "WayAcquisition", whole: Past, box: Box) -> tuple[Figures, int]:
        assert self._draw is not None
        generator = self._draw.generator
        spread = generator.random((_CANDIDATES, box.sides))
        incumbents = whole.places[np.argsort(-whole.scores)[:3]]
        places = box.snapped(np.concatenate([spread, *around(incumbents, 0.05, generator)]))
        worths = acquisition.at(places)
        for reach in _REACHES:
            leaders = places[np.argsort(-worths.max(axis=1))[:3]]
            near = box.snapped(np.concatenate(around(leaders, reach, generator)))
            places = np.concatenate([leaders, near])
            worths = acquisition.at(places)
        row, fidelity = np.unravel_index(int(worths.argmax()), worths.shape)
        return places[row], int(fidelity)


class WayAcquisition:
    """The logarithm of what a point is worth per joule, for each way to train it.

    Args:
        ways: what the trials teach, of whole runs first, then of each cheaper way.
        only_whole: a cheaper run is worth nothing now.
    """

    def __init__(
        self, ways: Sequence[Past], cost_exponent: float = 1.0, *, only_whole: bool = False
    ) -> None:
        self._offered = 1 if only_whole else len(ways)
        self._count, self._exponent = len(ways), cost_exponent
        whole = ways[0]
        scores = [way.scores + _shift(whole, way) for way in ways]
        self._gain = Process(self._placed([way.places for way in ways]), np.concatenate(scores))
        self._log_rates = [-_cost_shift(whole, way) for way in ways]
        joules = [way.log_joules - rate for way, rate in zip(ways, self._log_rates, strict=True)]
        metered = np.concatenate(joules)
        self._costs: Process | None = None
        if cost_exponent and len(metered) >= _FEWEST_WHOLE:
            self._costs = Process(self._placed([way.metered_places for way in ways]), metered)
        self._limits = [Process(whole.judged_places, figures) for figures in whole.broken_by]
        known = whole.places[whole.feasible] if whole.feasible.any() else None
        self._best = (
            None if known is None else float(self._gain.at(self._in_way(known, 0))[0].max())
        )
        running = self._placed([way.running for way in ways])
        if len(running):
            self._gain.believe(running)

    def at(self, places: Figures) -> Figures:
        """Return the worth of places, a column for each way that is offered."""
        whole = self._in_way(places, 0)
        worth = np.zeros(len(places))
        if self._best is not None:
            worth += log_expected_improvement(*self._gain.at(whole), self._best)
        for limit in self._limits:
            worth += log_probability_below(*limit.at(places))
        columns = []
        for way in range(self._offered):
            there = self._in_way(places, way)
            column = worth.copy()
            if way:
                column += np.log(np.maximum(self._gain.correlations(there, whole), 1e-12))
            if self._costs is not None:
                column -= self._exponent * (self._costs.at(there)[0] + self._log_rates[way])
            columns.append(column)
        return np.stack(columns, axis=1)

    def _in_way(self, places: Figures, way: int) -> Figures:
        sides = np.zeros((len(places), self._count - 1))
        if way:
            sides[:, way - 1] = _APART
        return np.concatenate([places, sides], axis=1)

    def _placed(self, places: Sequence[Figures]) -> Figures:
        return np.concatenate([self._in_way(each, way) for way, each in enumerate(places)])


def to_promote(ways: Sequence[Past]) -> Figures | None:
    """Return the place to train whole next, so that each cheaper way has a point trained both ways.

    It is the best of that way's; None when nothing is to do before the model is asked.
    """
    whole = ways[0]
    taken = whole.tried
    for way in ways[1:]:
        order = np.argsort(-way.scores)
        if not len(order) or (len(taken) >= _FEWEST_WHOLE and _pairs(way.places, taken)):
            continue
        for row in order:
            if not _pairs(way.places[row : row + 1], taken):
                place: Figures = way.places[row]
                return place
    return None


def _cost(trials: Iterable[FrozenTrial], cheaper: bool) -> float:
    """Return what all cheaper, or all whole, runs have cost: joules, or seconds where unmetered."""
    outcomes = [outcome_of(each) for each in trials if (fidelity_of(each) > 0) == cheaper]
    return sum(each.spent_joules or each.seconds for each in outcomes if each is not None)


def _shift(whole: Past, way: Past) -> float:
    """Return how much better a whole run is than a cheaper one of the same point."""
    pairs = _pairs(way.places[way.finished], whole.places[whole.finished])
    own, other = way.scores[way.finished], whole.scores[whole.finished]
    if not pairs:
        return float(other.mean() - own.mean()) if len(own) and len(other) else 0.0
    return float(np.mean([other[j] - own[i] for i, j in pairs]))


def _cost_shift(whole: Past, way: Past) -> float:
    """Return the logarithm of how much more a whole run costs than a cheaper one."""
    pairs = _pairs(way.metered_places, whole.metered_places)
    own, other = way.log_joules, whole.log_joules
    if not pairs:
        return float(other.mean() - own.mean()) if len(own) and len(other) else 0.0
    return float(np.mean([other[j] - own[i] for i, j in pairs]))


def _pairs(places: Figures, others: Figures) -> list[tuple[int, int]]:
    """Return which of the first places are which of the others."""
    return [
        (i, j)
        for i, place in enumerate(places)
        for j, other in enumerate(others)
        if np.allclose(place, other, atol=1e-9)
    ]
