"""What a trial is worth per joule, and where that is most."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from greensweep.search.samplers.past import Past
from greensweep.search.samplers.process import (
    Figures,
    Process,
    log_expected_improvement,
    log_probability_below,
)
from greensweep.search.samplers.scales import Box

_FEWEST = 2  # metered trials below which costs are not told apart
_NEIGHBOURS = 256  # around each of the most promising places
Rows = NDArray[np.intp]

# How far a cheaper run is from the whole one on its side of the box: before any trial, their
# figures, but for a constant, are then believed to correlate by 0.8.
_APART = 0.25


class Acquisition:
    """The logarithm of what a trial is worth per joule.

    One Gaussian process holds all trials. A cheaper way to train is a side of its box; a constant
    that sets it apart, told from the points that were trained both ways, is taken off beforehand.

    Args:
        whole: what the whole runs teach.
        cost_exponent: of the predicted joules.
        cheaper: what the runs of each cheaper way teach.
    """

    def __init__(
        self, whole: Past, cost_exponent: float = 1.0, cheaper: Sequence[Past] = ()
    ) -> None:
        ways = [whole, *cheaper]
        self._count, self._exponent = len(ways), cost_exponent
        scores = [
            way.scores
            + mean_gap(
                (way.places[way.finished], way.scores[way.finished]),
                (whole.places[whole.finished], whole.scores[whole.finished]),
            )
            for way in cheaper
        ]
        places = self._placed([way.places for way in ways])
        self._gain = Process(places, np.concatenate([whole.scores, *scores]))
        # Logarithms of how much more a whole run costs.
        self._dearer = [
            0.0,
            *(
                mean_gap(
                    (way.metered_places, way.log_joules), (whole.metered_places, whole.log_joules)
                )
                for way in cheaper
            ),
        ]
        joules = [way.log_joules + dearer for way, dearer in zip(ways, self._dearer, strict=True)]
        metered = np.concatenate(joules)
        self._costs: Process | None = None
        if cost_exponent and len(metered) >= _FEWEST:
            self._costs = Process(self._placed([way.metered_places for way in ways]), metered)
        self._limits = [Process(whole.judged_places, figures) for figures in whole.broken_by]
        self._best: float | None = None
        if whole.feasible.any():
            # The best figure of a noisy objective is a lucky one: the model's view of it counts.
            feasible = self._in_way(whole.places[whole.feasible], 0)
            self._best = float(self._gain.at(feasible)[0].max())
        running = self._placed([way.running for way in ways])
        if len(running):
            self._gain.believe(running)
        if len(whole.running):
            for limit in self._limits:
                limit.believe(whole.running)

    def at(self, places: Figures) -> Figures:
        """Return the worth of whole runs; with none feasible yet, the odds of it, per joule."""
        return self._priced(self._promise(places), places, 0)

    def by_way(self, places: Figures) -> Figures:
        """Return the worth of places, a column for each way to train them, whole runs first.

        What a cheaper run is worth is the promise of its whole run times the correlation of the
        two (Huang, Allen, Notz and Miller 2006, equation 13), per joule of the cheaper run.
        """
        promise, whole = self._promise(places), self._in_way(places, 0)
        columns = [self._priced(promise, places, 0)]
        for way in range(1, self._count):
            told = self._gain.correlations(self._in_way(places, way), whole)
            columns.append(self._priced(promise + np.log(np.maximum(told, 1e-12)), places, way))
        return np.stack(columns, axis=1)

    def _promise(self, places: Figures) -> Figures:
        worth = np.zeros(len(places))
        if self._best is not None:
            gains = self._gain.at(self._in_way(places, 0))
            worth += log_expected_improvement(*gains, self._best)
        for limit in self._limits:
            worth += log_probability_below(*limit.at(places))
        return worth

    def _priced(self, promise: Figures, places: Figures, way: int) -> Figures:
        if self._costs is None:
            return promise
        log_joules = self._costs.at(self._in_way(places, way))[0] - self._dearer[way]
        return np.asarray(promise - self._exponent * log_joules)

    def _in_way(self, places: Figures, way: int) -> Figures:
        sides = np.zeros((len(places), self._count - 1))
        if way:
            sides[:, way - 1] = _APART
        return np.concatenate([places, sides], axis=1)

    def _placed(self, places: Sequence[Figures]) -> Figures:
        return np.concatenate([self._in_way(each, way) for way, each in enumerate(places)])


def mean_gap(own: tuple[Figures, Figures], other: tuple[Figures, Figures]) -> float:
    """Return by how much other figures are higher, at the places that both have.

    Without a common place it is the difference of their means; without figures 0.

    Args:
        own, other: places, and the figures at them.
    """
    (places, figures), (other_places, other_figures) = own, other
    rows, other_rows = common_rows(places, other_places)
    if len(rows):
        return float((other_figures[other_rows] - figures[rows]).mean())
    if not len(figures) or not len(other_figures):
        return 0.0
    return float(other_figures.mean() - figures.mean())


def common_rows(places: Figures, others: Figures) -> tuple[Rows, Rows]:
    """Return the rows of places, and of others, that are the same place, pair by pair."""
    same = np.isclose(places[:, None], others[None], atol=1e-9).all(axis=2)
    rows, other_rows = np.nonzero(same)
    return rows, other_rows


def best_place(
    worth_of: Callable[[Figures], Figures],
    past: Past,
    box: Box,
    generator: np.random.Generator,
    *,
    candidates: int,
    reaches: Sequence[float],
) -> Figures:
    """Return the place of most worth: of many, then, round after round, near the best of them.

    Args:
        candidates: spread over the whole box.
        reaches: how far the neighbours of each round are.
    """
    spread = generator.random((candidates, box.sides))
    incumbents = past.places[np.argsort(-past.scores)[:3]]
    places = box.snapped(np.concatenate([spread, *_around(incumbents, 0.05, generator)]))
    worths = worth_of(places)
    for reach in reaches:
        leaders = places[np.argsort(-worths)[:3]]
        near = box.snapped(np.concatenate(_around(leaders, reach, generator)))
        places = np.concatenate([leaders, near])
        worths = worth_of(places)
    best: Figures = places[int(worths.argmax())]
    return best


def _around(centres: Figures, reach: float, generator: np.random.Generator) -> Sequence[Figures]:
    """Return places about `reach` from each centre; half of the sides of each stay as they are."""
    found = []
    for centre in centres:
        steps = generator.normal(0.0, reach, (_NEIGHBOURS, len(centre)))
        steps *= generator.random(steps.shape) < 0.5
        found.append(centre + steps)
    return found
