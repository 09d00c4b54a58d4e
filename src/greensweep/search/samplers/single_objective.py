"""What samplers of one objective that draw all options together have in common."""

from collections.abc import Sequence
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.search_space import IntersectionSearchSpace
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from greensweep.errors import SeveralObjectivesError
from greensweep.search.encoder import SpaceEncoder, log_scaled, log_scaled_space
from greensweep.search.optuna_internals import trials_at_draw
from greensweep.search.samplers.random_state import TrialRandomState, seed_or_any
from greensweep.search.space import Conditions


class SingleObjectiveSampler(BaseSampler):
    """A sampler whose draws hang on the search's seed and its earlier trials alone.

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
