"""Multi-fidelity Bayesian optimisation: expected improvement per joule, over cheaper runs too."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.study import Study
from optuna.trial import FrozenTrial

from greensweep.gaussian_process import FloatArray
from greensweep.search.records import fidelity_of, in_fidelity, outcome_of, set_fidelity
from greensweep.search.samplers.acquisition import Acquisition, common_rows, maximize_acquisition
from greensweep.search.samplers.ei_per_joule import ExpectedImprovementPerJouleSampler
from greensweep.search.samplers.observations import Observations

_CANDIDATES = 512
_REACHES = (0.1, 0.03)
_FEWEST_WHOLE = 2  # whole runs before the model is asked


class MultiFidelitySampler(ExpectedImprovementPerJouleSampler):
    """Draws a point and its fidelity: trained whole, or cheaper, with fewer epochs or images.

    The first points are trained in the cheaper fidelities; the best of each are then trained
    whole. From there on the acquisition of a point x at fidelity s is
    EI(x) · ρ(x, s) / joules(x, s), where EI is the improvement expected of its whole run, and ρ
    the correlation between what the cheaper run would show and that whole run, given all trials
    so far (Huang, Allen, Notz and Miller 2006, equation 13; ρ of a whole run is 1).

    Cheaper runs get no more than half of the energy, so that a search which they mislead, as
    where what learns fast ends low, takes no more than twice what it would without them.

    Args:
        fidelities: how many there are beside the whole run.
        further: as for expected improvement per joule; `n_startup_trials` are those in the
            cheaper fidelities.
    """

    def __init__(self, *, fidelities: int, **further: Any) -> None:
        super().__init__(**further)
        self._fidelities = fidelities

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Draw the fidelity, and all options together once there is something to learn from."""
        if trial.params or "fixed_params" in trial.system_attrs:
            return {}  # a point to start from is trained whole, a repeat as before
        state = self._random_state(study, trial)
        cheaper = sum(fidelity_of(each) > 0 for each in state.trials)
        if cheaper < max(self._n_startup_trials, self._fidelities):
            set_fidelity(study, trial, 1 + cheaper % self._fidelities)
            return {}
        if not search_space:
            return {}
        encoder = self._encoder(search_space)
        whole, *others = (
            Observations(in_fidelity(state.trials, fidelity), encoder, study.direction)
            for fidelity in range(self._fidelities + 1)
        )
        promoted = to_promote(whole, others)
        if promoted is not None:
            return encoder.decode(promoted)
        if len(whole.scores) < _FEWEST_WHOLE:
            return {}
        acquisition = Acquisition(whole, self._cost_exponent, others)
        only_whole = _cost(state.trials, True) > _cost(state.trials, False)

        def best_of_fidelities(points: FloatArray) -> FloatArray:
            return np.asarray(acquisition.by_fidelity(points).max(axis=1))

        point = maximize_acquisition(
            acquisition.of_whole_runs if only_whole else best_of_fidelities,
            whole,
            state.generator,
            candidates=_CANDIDATES,
            reaches=_REACHES,
        )
        fidelity = 0 if only_whole else int(acquisition.by_fidelity(point[None]).argmax())
        if fidelity:
            set_fidelity(study, trial, fidelity)
        return encoder.decode(point)


def to_promote(whole: Observations, cheaper: Sequence[Observations]) -> FloatArray | None:
    """Return the point to train whole next, so that each fidelity has one that was trained so too.

    It is the best of that fidelity; None when nothing is to do before the model is asked.
    """
    for each in cheaper:
        promoted, _ = common_rows(each.points, whole.tried)
        if len(whole.tried) >= _FEWEST_WHOLE and len(promoted):
            continue
        for row in np.argsort(-each.scores):
            if row not in promoted:
                point: FloatArray = each.points[row]
                return point
    return None


def _cost(trials: Iterable[FrozenTrial], cheaper: bool) -> float:
    """Return what all cheaper, or all whole, runs have cost: joules, or seconds where unmetered."""
    outcomes = [outcome_of(each) for each in trials if (fidelity_of(each) > 0) == cheaper]
    return sum(each.spent_joules or each.seconds for each in outcomes if each is not None)
