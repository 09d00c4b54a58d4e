"""What a draw of a trial depends on: the search's seed, the trial's place in it, and its past."""

from collections.abc import Sequence

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import FrozenTrial, TrialState
from scipy.stats import qmc

from greensweep.search.optuna_internals import trials_at_draw
from greensweep.search.records import counted
from greensweep.search.samplers.scales import Box

# Options that the even sequence covers; further ones are drawn at random.
_EVEN_SIDES = 32


class Draw:
    """One trial that is being drawn.

    A search that was interrupted goes on as it would have: everything random comes from the
    seed and from how many trials counted before this one, nothing from the sampler's own past.

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
        self._side = 0

    @property
    def generator(self) -> np.random.Generator:
        """A random generator, anew."""
        return np.random.default_rng(self.state)

    @property
    def seed(self) -> int:
        """A number for samplers that want one."""
        return int(self.state.generate_state(1)[0])

    def side_generator(self) -> np.random.Generator:
        """A random generator for the next option of this draw."""
        side, self._side = self._side, self._side + 1
        return np.random.default_rng([self._seed, self.index, side])

    def tried(self) -> int:
        """Return how many trials there is a figure of."""
        return sum(t.state in (TrialState.COMPLETE, TrialState.PRUNED) for t in self.trials)

    def at_random(self, distribution: BaseDistribution) -> object:
        """Return the next option's value, drawn at random."""
        box = Box({"": distribution})
        return box.values(self.side_generator().random(box.sides))[""]

    def even(self, distribution: BaseDistribution) -> object:
        """Return the next option's value of an evenly spread sequence over all trials (Sobol).

        Its options are told apart by the order in which they are asked for.
        """
        if self._side < _EVEN_SIDES:
            side, self._side = self._side, self._side + 1
            sequence = qmc.Sobol(_EVEN_SIDES, rng=np.random.default_rng(self._seed))
            if self.index:
                sequence.fast_forward(self.index)
            share = float(sequence.random(1)[0, side])
        else:
            share = float(self.side_generator().random())
        if isinstance(distribution, CategoricalDistribution):
            count = len(distribution.choices)
            return distribution.choices[min(int(share * count), count - 1)]
        return Box({"": distribution}).values(np.array([share]))[""]


def seed_or_any(seed: int | None) -> int:
    """Return a seed, drawn where none is given."""
    return int(np.random.SeedSequence().generate_state(1)[0]) if seed is None else seed


def finite(values: Sequence[float] | None) -> bool:
    """Tell whether a trial has values, all of them finite."""
    return values is not None and bool(np.isfinite(values).all())
