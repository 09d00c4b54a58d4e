"""Samplers whose draws hang on the search's seed and its earlier trials alone."""

from collections.abc import Sequence
from itertools import count
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import BaseSampler
from optuna.search_space import IntersectionSearchSpace
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState
from scipy.stats import qmc

from greensweep.errors import SeveralObjectivesError
from greensweep.search.encoder import SpaceEncoder, log_scaled, log_scaled_space
from greensweep.search.optuna_internals import hidden_trials, trials_at_draw
from greensweep.search.records import counted
from greensweep.search.space import Conditions

# Options that the Sobol sequence covers; further ones are drawn at random.
_SOBOL_DIMENSIONS = 32


class TrialRandomState:
    """What is random in the draw of one trial, and the trials that it learns from.

    A search that was interrupted goes on as it would have: everything random comes from the seed
    and from how many trials counted before this one, nothing from the sampler's own past.

    Args:
        seed: of the whole search.
        number: of the trial.
    """

    def __init__(self, seed: int, study: Study, number: int) -> None:
        trials = trials_at_draw(study)
        self.trials: list[FrozenTrial] = [each for each in trials if each.number != number]
        self.index = len(counted(self.trials)) + hidden_trials(study)
        self.state = np.random.SeedSequence([seed, self.index])
        self._seed = seed
        self._options = count()  # that are drawn by themselves

    @property
    def generator(self) -> np.random.Generator:
        """A random generator, anew."""
        return np.random.default_rng(self.state)

    @property
    def seed(self) -> int:
        """A number for samplers that want one."""
        return int(self.state.generate_state(1)[0])

    def n_observed(self) -> int:
        """Return how many trials have finished or were pruned."""
        return sum(t.state in (TrialState.COMPLETE, TrialState.PRUNED) for t in self.trials)

    def uniform(self, distribution: BaseDistribution) -> object:
        """Return the next option's value, drawn at random."""
        encoder = SpaceEncoder({"": distribution})
        generator = np.random.default_rng([self._seed, self.index, next(self._options)])
        return encoder.decode(generator.random(encoder.dimensions))[""]

    def sobol(self, distribution: BaseDistribution) -> object:
        """Return the next option's value in the search's Sobol sequence, of which this is a point.

        The options are its dimensions in the order in which they are asked for.
        """
        option = next(self._options)
        if option < _SOBOL_DIMENSIONS:
            sequence = qmc.Sobol(_SOBOL_DIMENSIONS, rng=np.random.default_rng(self._seed))
            if self.index:
                sequence.fast_forward(self.index)
            share = float(sequence.random(1)[0, option])
        else:
            share = float(np.random.default_rng([self._seed, self.index, option]).random())
        if isinstance(distribution, CategoricalDistribution):
            choices = distribution.choices
            return choices[min(int(share * len(choices)), len(choices) - 1)]
        return SpaceEncoder({"": distribution}).decode(np.array([share]))[""]


def seed_or_any(seed: int | None) -> int:
    """Return a seed, drawn where none is given."""
    return int(np.random.SeedSequence().generate_state(1)[0]) if seed is None else seed


class SingleObjectiveSampler(BaseSampler):
    """A sampler of one objective that draws all options together.

    Args:
        seed: of the whole search.
        conditions: of options that are there with certain values of others, as a `Space` has them.

    Attributes:
        name: under which the sweeper offers it.
        learns_from_pruned: pruned trials count for the space too.
    """

    keeps_seed = True
    name: str
    learns_from_pruned: bool
    _log_decades: float | None = None  # the space stays as it is
    _even_start = False

    def __init__(self, *, seed: int | None = None, conditions: Conditions | None = None) -> None:
        self._seed, self._conditions = seed_or_any(seed), conditions or {}
        # By number, of the trials that are being drawn.
        self._random_states: dict[int, TrialRandomState] = {}

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Begin a draw.

        Raises:
            SeveralObjectivesError: the study has several objectives.
        """
        self._random_states.pop(trial.number, None)
        self._random_state(study, trial)

    def after_trial(
        self,
        study: Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        """End a trial."""
        self._random_states.pop(trial.number, None)

    def _random_state(self, study: Study, trial: FrozenTrial) -> TrialRandomState:
        """Return the random state of a trial's draw, made here where nobody has begun it."""
        if len(study.directions) != 1:
            raise SeveralObjectivesError(
                f"hydra/sweeper/sampler={self.name} seeks one objective, and there are "
                f"{len(study.directions)}: set objective=accuracy, or hydra/sweeper/sampler=tpe"
            )
        if trial.number not in self._random_states:
            self._random_states[trial.number] = TrialRandomState(self._seed, study, trial.number)
        return self._random_states[trial.number]

    def _encoder(self, space: dict[str, BaseDistribution]) -> SpaceEncoder:
        return SpaceEncoder(log_scaled_space(space, self._log_decades), self._conditions)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, name: str, distribution: BaseDistribution
    ) -> Any:
        """Draw one option by itself: of the first trials."""
        state = self._random_state(study, trial)
        distribution = log_scaled(distribution, self._log_decades)
        return state.sobol(distribution) if self._even_start else state.uniform(distribution)

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Return the options that all trials to learn from have, from the second trial on.

        And those that are there with certain values of others, where one of the trials has them.
        """
        space = IntersectionSearchSpace(include_pruned=self.learns_from_pruned).calculate(study)
        for known in trials_at_draw(study) if self._conditions else ():
            for name in known.distributions.keys() & self._conditions.keys():
                if self._conditions[name].keys() <= space.keys():
                    space[name] = known.distributions[name]
        return {name: space[name] for name in sorted(space) if not space[name].single()}
