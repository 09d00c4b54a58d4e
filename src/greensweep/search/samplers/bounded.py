"""Any strategy in a long search: it learns from some of the trials, so that a draw costs no more.

TPE and Gaussian processes see the best trials, which they sharpen, and of the rest every so
many-th, which tells them where it is worse: a subset of data, which is hard to beat at a given
cost (Chalupka, Williams and Murray 2013). Evolutionary strategies see the best trials, which are
their elite, and the latest, which are their last generations.
"""

from typing import Any

from optuna.distributions import BaseDistribution
from optuna.samplers import (
    BaseSampler,
    BruteForceSampler,
    CmaEsSampler,
    GPSampler,
    GridSampler,
    NSGAIIISampler,
    NSGAIISampler,
    PartialFixedSampler,
    QMCSampler,
    RandomSampler,
)
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from greensweep.search.optuna_internals import StudyWindow
from greensweep.search.samplers.multi_fidelity import MultiFidelitySampler
from greensweep.search.samplers.seeded import SingleObjectiveSampler
from greensweep.search.trials_so_far import TrialsSoFar, Window

MOST = 1000  # trials that ended, for a strategy to learn from
MOST_FOR_GP = 500  # a Gaussian process costs their cube
_GENERATIONS = 4  # at least, of an evolutionary strategy

_LEARN_NOTHING = (
    BruteForceSampler,
    GridSampler,
    PartialFixedSampler,
    QMCSampler,
    RandomSampler,
)


def bounded(sampler: BaseSampler, so_far: TrialsSoFar) -> BaseSampler:
    """Return a strategy that learns from a window of the trials so far, once they are many."""
    if isinstance(sampler, _LEARN_NOTHING):
        return sampler
    window = _window(sampler, so_far)
    return BoundedSampler(sampler, window) if window.hidden else sampler


def _window(sampler: BaseSampler, so_far: TrialsSoFar) -> Window:
    if isinstance(sampler, NSGAIISampler | NSGAIIISampler):
        most = max(MOST, 2 * _GENERATIONS * (sampler.population_size or 0))
        return so_far.window(most, latest=True)
    if isinstance(sampler, CmaEsSampler):
        return so_far.window(MOST, latest=True)
    if isinstance(sampler, MultiFidelitySampler):  # the best would distort what kinds of runs cost
        return so_far.window(MOST_FOR_GP, best=1)
    if isinstance(sampler, GPSampler | SingleObjectiveSampler):
        return so_far.window(MOST_FOR_GP)
    return so_far.window(MOST)


class BoundedSampler(BaseSampler):
    """Draws as another sampler does that is shown some of the trials only."""

    def __init__(self, sampler: BaseSampler, window: Window) -> None:
        self._sampler, self._window = sampler, window

    def _shown(self, study: Study) -> StudyWindow:
        return StudyWindow(study, *self._window)

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Return the options to draw together."""
        return self._sampler.infer_relative_search_space(self._shown(study), trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Draw options together."""
        return self._sampler.sample_relative(self._shown(study), trial, search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, name: str, distribution: BaseDistribution
    ) -> Any:
        """Draw one option by itself."""
        return self._sampler.sample_independent(self._shown(study), trial, name, distribution)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Begin a draw."""
        self._sampler.before_trial(self._shown(study), trial)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Any) -> None:
        """End a trial."""
        self._sampler.after_trial(study, trial, state, values)
