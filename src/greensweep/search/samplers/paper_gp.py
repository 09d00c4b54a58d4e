"""The Bayesian search of Yarally et al. (CAIN 2023), section 4.1: a baseline, not advice.

As far as the paper describes it: a Gaussian process, and of 10,000 random candidates the one with
the highest probability of improvement. It names neither the kernel nor how the search begins.
Here the kernel is what scikit-learn's default was at the time (a squared exponential whose length
scale, 1 in the unit cube, is not fitted; today's is), and one trial is random: in the paper's
recorded trials the second already is none.
"""

import warnings
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.study import Study
from optuna.trial import FrozenTrial
from scipy.special import ndtr

from greensweep.search.samplers.observations import Observations
from greensweep.search.samplers.seeded import SingleObjectiveSampler

_CANDIDATES = 10_000
_NOISE = 1e-6  # keeps the matrix of nearly equal points regular
_LEAST_DEVIATION = 1e-9


class PaperGpSampler(SingleObjectiveSampler):
    """Probability of improvement over random candidates, on the scales of the space.

    It learns from finished trials only.

    Args:
        seed: of the whole search.
        conditions: as a `Space` has them.
    """

    name = "paper_gp"
    learns_from_pruned = False

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Draw all options together, once a trial has finished."""
        from sklearn.gaussian_process import GaussianProcessRegressor
        from sklearn.gaussian_process.kernels import RBF

        state = self._random_state(study, trial)
        if not search_space:
            return {}
        encoder = self._encoder(search_space)
        points, scores = Observations(state.trials, encoder, study.direction).ended
        if not len(scores):
            return {}
        model = GaussianProcessRegressor(RBF(1.0), alpha=_NOISE, optimizer=None, normalize_y=True)
        model.fit(points, scores)
        candidates = encoder.rounded(state.generator.random((_CANDIDATES, encoder.dimensions)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of variances that round to below 0
            means, deviations = model.predict(candidates, return_std=True)
        chance = ndtr((means - scores.max()) / (deviations + _LEAST_DEVIATION))
        return encoder.decode(candidates[int(chance.argmax())])
