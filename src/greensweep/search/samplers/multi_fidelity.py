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
from greensweep.search.samplers.acquisition import Acquisition, best_place, common_rows
from greensweep.search.samplers.ei_per_joule import ExpectedImprovementPerJouleSampler
from greensweep.search.samplers.past import Past
from greensweep.search.samplers.process import Figures
from greensweep.search.samplers.scales import Box, scaled_space

_CANDIDATES = 512
_REACHES = (0.1, 0.03)
_FEWEST_WHOLE = 2  # whole runs before the model is asked


class MultiFidelitySampler(ExpectedImprovementPerJouleSampler):
    """Draws a point and the way to train it: whole, or cheaper, with fewer epochs or images.

    The first points are trained in the cheaper ways; the best of each are then trained whole.
    From there on a way s of training a point x is worth EI(x) · ρ(x, s) / joules(x, s), where EI
    is the improvement expected of its whole run, and ρ the correlation between what the cheaper
    run would show and that whole run, given all trials so far (Huang, Allen, Notz and Miller
    2006, equation 13; ρ of a whole run is 1).

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
        draw = self._draw_of(study, trial)
        cheaper = sum(fidelity_of(each) > 0 for each in draw.trials)
        if cheaper < max(self._n_startup_trials, self._fidelities):
            set_fidelity(study, trial, 1 + cheaper % self._fidelities)
            return {}
        if not search_space:
            return {}
        box = Box(scaled_space(search_space, self._log_decades), self._conditions)
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
        acquisition = Acquisition(ways[0], self._cost_exponent, ways[1:])
        only_whole = _cost(draw.trials, True) > _cost(draw.trials, False)

        def worth_of(places: Figures) -> Figures:
            return acquisition.at(places) if only_whole else acquisition.by_way(places).max(axis=1)

        place = best_place(
            worth_of, ways[0], box, draw.generator, candidates=_CANDIDATES, reaches=_REACHES
        )
        fidelity = 0 if only_whole else int(acquisition.by_way(place[None]).argmax())
        if fidelity:
            set_fidelity(study, trial, fidelity)
        return box.values(place)


def to_promote(ways: Sequence[Past]) -> Figures | None:
    """Return the place to train whole next, so that each cheaper way has a point trained both ways.

    It is the best of that way's; None when nothing is to do before the model is asked.
    """
    whole = ways[0]
    taken = whole.tried
    for way in ways[1:]:
        order = np.argsort(-way.scores)
        done, _ = common_rows(way.places, taken)
        if len(taken) >= _FEWEST_WHOLE and len(done):
            continue
        for row in order:
            if row not in done:
                place: Figures = way.places[row]
                return place
    return None


def _cost(trials: Iterable[FrozenTrial], cheaper: bool) -> float:
    """Return what all cheaper, or all whole, runs have cost: joules, or seconds where unmetered."""
    outcomes = [outcome_of(each) for each in trials if (fidelity_of(each) > 0) == cheaper]
    return sum(each.spent_joules or each.seconds for each in outcomes if each is not None)
