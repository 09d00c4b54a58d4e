"""The random state of one trial's draw: of the search's seed and the trials before it alone."""

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import FrozenTrial, TrialState
from scipy.stats import qmc

from greensweep.search.encoder import SpaceEncoder
from greensweep.search.optuna_internals import trials_at_draw
from greensweep.search.records import counted

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

    def __init__(self, seed: int, study: optuna.Study, number: int) -> None:
        trials = trials_at_draw(study)
        self.trials: list[FrozenTrial] = [each for each in trials if each.number != number]
        self.index = len(counted(self.trials))
        self.state = np.random.SeedSequence([seed, self.index])
        self._seed = seed
        self._option = 0  # the next to be drawn by itself

    @property
    def generator(self) -> np.random.Generator:
        """A random generator, anew."""
        return np.random.default_rng(self.state)

    @property
    def seed(self) -> int:
        """A number for samplers that want one."""
        return int(self.state.generate_state(1)[0])

    def next_generator(self) -> np.random.Generator:
        """A random generator for the next option of this draw."""
        option, self._option = self._option, self._option + 1
        return np.random.default_rng([self._seed, self.index, option])

    def n_observed(self) -> int:
        """Return how many trials have finished or were pruned."""
        return sum(t.state in (TrialState.COMPLETE, TrialState.PRUNED) for t in self.trials)

    def uniform(self, distribution: BaseDistribution) -> object:
        """Return the next option's value, drawn at random."""
        encoder = SpaceEncoder({"": distribution})
        return encoder.decode(self.next_generator().random(encoder.dimensions))[""]

    def sobol(self, distribution: BaseDistribution) -> object:
        """Return the next option's value in the search's Sobol sequence, of which this is a point.

        The options are its dimensions in the order in which they are asked for.
        """
        if self._option < _SOBOL_DIMENSIONS:
            option, self._option = self._option, self._option + 1
            sequence = qmc.Sobol(_SOBOL_DIMENSIONS, rng=np.random.default_rng(self._seed))
            if self.index:
                sequence.fast_forward(self.index)
            share = float(sequence.random(1)[0, option])
        else:
            share = float(self.next_generator().random())
        if isinstance(distribution, CategoricalDistribution):
            count = len(distribution.choices)
            return distribution.choices[min(int(share * count), count - 1)]
        return SpaceEncoder({"": distribution}).decode(np.array([share]))[""]


def seed_or_any(seed: int | None) -> int:
    """Return a seed, drawn where none is given."""
    return int(np.random.SeedSequence().generate_state(1)[0]) if seed is None else seed
