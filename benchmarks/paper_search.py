"""The search of Yarally et al. (CAIN 2023), as far as it is described: a baseline, not advice.

A Gaussian process, and of 10,000 random candidates the one with the highest probability of
improvement. The text names neither kernel nor how it begins; here these are scikit-learn's
default (a squared exponential whose length scale, 1 on sides from 0 to 1, is not fitted), and
one random trial, since in the recorded trials the second already is no random one.
"""

import warnings
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import FrozenTrial, TrialState
from scipy.special import ndtr
from sklearn.gaussian_process import GaussianProcessRegressor

_CANDIDATES = 10_000
_NOISE = 1e-6  # keeps the matrix of nearly equal points regular


class PaperSampler(BaseSampler):
    """Probability of improvement over random candidates, in the coordinates of the space."""

    def __init__(self, seed: int) -> None:
        self._generator = np.random.default_rng(seed)
        self._random = RandomSampler(seed=seed)

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return optuna.search_space.intersection_search_space(study.get_trials(deepcopy=False))

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        known = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        if not known or not search_space:
            return {}
        sides = [each for each in search_space.values() if isinstance(each, FloatDistribution)]
        lows = np.array([_scale(each, each.low) for each in sides])
        highs = np.array([_scale(each, each.high) for each in sides])
        rows = np.array(
            [
                [_scale(d, t.params[n]) for n, d in zip(search_space, sides, strict=True)]
                for t in known
            ]
        )
        values = np.array([trial.value for trial in known])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = GaussianProcessRegressor(alpha=_NOISE, normalize_y=True)
            model.fit((rows - lows) / (highs - lows), values)
            candidates = self._generator.random((_CANDIDATES, len(sides)))
            means, deviations = model.predict(candidates, return_std=True)
        chance = ndtr((means - values.max()) / (deviations + 1e-9))
        chosen = lows + candidates[int(chance.argmax())] * (highs - lows)
        return {
            name: float(np.clip(np.exp(value) if each.log else value, each.low, each.high))
            for name, each, value in zip(search_space, sides, chosen, strict=True)
        }

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        return self._random.sample_independent(study, trial, param_name, param_distribution)


def _scale(distribution: FloatDistribution, value: float) -> float:
    return float(np.log(value)) if distribution.log else value
