"""The Bayesian search of Yarally et al. (CAIN 2023), section 4.1: a baseline, not advice.

As far as the paper describes it: a Gaussian process, and of 10,000 random candidates the one with
the highest probability of improvement. It names neither the kernel nor how the search begins.
Here the kernel is what scikit-learn's default was at the time (a squared exponential whose length
scale, 1 on sides from 0 to 1, is not fitted; today's is), and one trial is random: in the paper's
recorded trials the second already is none.
"""

import warnings
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial
from scipy.special import ndtr

from greensweep.search.samplers.one_objective import OneObjectiveSampler
from greensweep.search.samplers.past import Past
from greensweep.search.samplers.scales import Box
from greensweep.search.space import Conditions

_CANDIDATES = 10_000
_NOISE = 1e-6  # keeps the matrix of nearly equal points regular
_LEAST_DEVIATION = 1e-9


class PaperGpSampler(OneObjectiveSampler):
    """Probability of improvement over random candidates, on the scales of the space.

    It learns from finished trials only.

    Args:
        seed: of the whole search.
        conditions: as a `Space` has them.
    """

    name = "paper_gp"
    learns_from_pruned = False

    def __init__(self, *, seed: int | None = None, conditions: Conditions | None = None) -> None:
        super().__init__(seed, conditions)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Draw all options together, once a trial has finished."""
        from sklearn.gaussian_process import GaussianProcessRegressor
        from sklearn.gaussian_process.kernels import RBF

        draw = self._draw_of(study, trial)
        if not search_space:
            return {}
        box = Box(search_space, self._conditions)
        past = Past(draw.trials, box, search_space, study.direction == StudyDirection.MAXIMIZE)
        places, scores = past.places[past.finished], past.scores[past.finished]
        if not len(scores):
            return {}
        model = GaussianProcessRegressor(RBF(1.0), alpha=_NOISE, optimizer=None, normalize_y=True)
        model.fit(places, scores)
        candidates = box.snapped(draw.generator.random((_CANDIDATES, box.sides)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of variances that round to below 0
            means, deviations = model.predict(candidates, return_std=True)
        chance = ndtr((means - scores.max()) / (deviations + _LEAST_DEVIATION))
        return box.values(candidates[int(chance.argmax())])

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Draw one option by itself: of the first trial."""
        return self._draw_of(study, trial).at_random(param_distribution)
