"""End a search when what it can still gain is not worth its energy."""

from collections.abc import Sequence

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState

from greensweep.search.encoder import SpaceEncoder, log_scaled_space
from greensweep.search.records import in_fidelity
from greensweep.search.samplers.acquisition import Acquisition
from greensweep.search.samplers.bounded import MOST_FOR_GP
from greensweep.search.samplers.observations import Observations
from greensweep.search.spec import SearchSpec
from greensweep.search.trials_so_far import TrialsSoFar

_CANDIDATES = 4096
_WIDE_DECADES = 3.0
_JOULES_PER_KILOJOULE = 1000.0


def not_worth_it(spec: SearchSpec, study: optuna.Study, so_far: TrialsSoFar) -> str | None:
    """Say why further trials are not worth their energy, or None.

    The search ends when no point is expected to improve on the best by as much per joule as the
    user asks: the stopping rule of Xie et al. (2026, arXiv 2507.12453) for expected improvement
    per cost, with the user's rate as the price of energy. It holds whatever sampler draws, and
    learns from as many trials as one with a Gaussian process does.
    """
    least = least_gain_per_joule(spec)
    if least is None or so_far.states[TrialState.COMPLETE] < spec.stop.min_finished:
        return None
    gain = best_gain_per_joule(spec, study, so_far.window(MOST_FOR_GP).trials)
    if gain is None or gain >= least:
        return None
    return (
        "no point is expected to gain more than "
        f"{gain * _JOULES_PER_KILOJOULE:.2g} per kilojoule, and at least "
        f"{least * _JOULES_PER_KILOJOULE:.2g} was asked for"
    )


def least_gain_per_joule(spec: SearchSpec) -> float | None:
    """Return the gain that a joule has to be worth: the larger of those asked for."""
    asked = []
    if spec.stop.min_gain_per_kilojoule is not None:
        asked.append(spec.stop.min_gain_per_kilojoule / _JOULES_PER_KILOJOULE)
    if spec.stop.min_gain_per_kg_co2e is not None and spec.kg_per_joule is not None:
        asked.append(spec.stop.min_gain_per_kg_co2e * spec.kg_per_joule)
    return max(asked, default=None)


def best_gain_per_joule(
    spec: SearchSpec, study: optuna.Study, trials: Sequence[FrozenTrial]
) -> float | None:
    """Return the largest expected improvement per predicted joule of any point.

    None where nothing is metered, or too few trials have finished.
    """
    space = {name: each for name, each in spec.distributions.items() if not each.single()}
    encoder = SpaceEncoder(log_scaled_space(space, _WIDE_DECADES), spec.conditions)
    observations = Observations(in_fidelity(trials, 0), encoder, study.direction)
    if len(observations.scores) < 2 or len(observations.metered[1]) < 2:
        return None
    generator = np.random.default_rng([spec.seed, len(observations.scores)])
    best = observations.points[int(observations.scores.argmax())]
    near = best + generator.normal(0.0, 0.05, (_CANDIDATES // 4, encoder.dimensions))
    points = np.concatenate([generator.random((_CANDIDATES, encoder.dimensions)), near])
    return float(np.exp(Acquisition(observations).of_whole_runs(encoder.rounded(points)).max()))
