"""Any strategy over finitely many points: it draws no point again while others are untried."""

import sys
from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from greensweep.search.optuna_internals import trial_of
from greensweep.search.records import fidelity_of
from greensweep.search.space import Params, Space
from greensweep.search.trials_so_far import TrialsSoFar

_FAR = 50  # tries after which the whole space is near
_TRIES = 1000  # where what a point to start from leaves open may all have been tried


class DeduplicatingSampler(BaseSampler):
    """Draws as another sampler does, and looks around where that draws what a trial has had.

    It looks further away with each try, until a point is free: what a model has found good is not
    left far, and where little is left all of the space is looked at.

    Args:
        sampler: the strategy.
        taken: what other trials had.
        seed: of this state.
    """

    def __init__(
        self, sampler: BaseSampler, space: Space, taken: "TakenPoints", seed: Sequence[int]
    ) -> None:
        self._sampler, self._space, self._taken = sampler, space, taken
        self._generator = np.random.default_rng(seed)

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Return the whole space: a point is drawn as one."""
        return dict(self._space.distributions)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Draw a point that no trial has."""
        sampler, distributions = self._sampler, self._space.distributions
        given = {**trial.system_attrs.get("fixed_params", {}), **trial.params}
        drawn = sampler.sample_relative(
            study, trial, sampler.infer_relative_search_space(study, trial)
        )

        def draw(name: str) -> Any:
            if distributions[name].single():
                return self._space.levels[name][0]
            if name in drawn:
                return drawn[name]
            return sampler.sample_independent(study, trial, name, distributions[name])

        point = self._space.filled(lambda name: given[name] if name in given else draw(name))
        # As it is stored: the strategy may just have chosen a fidelity.
        own = fidelity_of(trial_of(study, trial.number))
        taken = self._taken.in_fidelity(own)
        if self._space.key(point) not in taken or len(taken) >= self._space.size:
            return point
        for tried in range(_TRIES if given else sys.maxsize):
            near = self._near(study, trial, {**point, **given}, tried / _FAR, given)
            if self._space.key(near) not in taken:
                return near
        return point

    def _near(
        self, study: Study, trial: FrozenTrial, point: Params, reach: float, given: Params
    ) -> dict[str, Any]:
        """Return a point about `reach` from another, 1 being from end to end of each option.

        Beyond that it is any point.
        """
        space, rare = self._space, 1 / len(self._space.names)

        def draw(name: str) -> Any:
            levels, is_choice = space.levels.get(name), space.is_choice(name)
            if levels is None:
                distribution = space.distributions[name]
                return self._sampler.sample_independent(study, trial, name, distribution)
            if (
                name not in point
                or reach > 1  # further steps would end at the ends of a range
                or (is_choice and self._generator.random() < max(reach, rare))
            ):
                return levels[int(self._generator.integers(len(levels)))]
            if is_choice:
                return point[name]
            steps = self._generator.normal(0.0, max(reach * len(levels), 1.0))
            level = round(space.level_of(name, point[name]) + steps)
            return levels[min(max(level, 0), len(levels) - 1)]

        return space.filled(lambda name: given[name] if name in given else draw(name))

    def sample_independent(
        self, study: Study, trial: FrozenTrial, name: str, distribution: BaseDistribution
    ) -> Any:
        """Draw one option by itself."""
        return self._sampler.sample_independent(study, trial, name, distribution)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Begin a draw."""
        self._sampler.before_trial(study, trial)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Any) -> None:
        """End a trial."""
        self._sampler.after_trial(study, trial, state, values)


class TakenPoints:
    """The points of a space that trials have had, in each fidelity, of those trials that count."""

    def __init__(self, space: Space) -> None:
        self._space = space
        # By fidelity, then by `Space.key`: how many trials had it.
        self._taken: dict[int, Counter[Any]] = defaultdict(Counter)
        self._of_ended: dict[int, tuple[int, Any]] = {}  # by number
        self._of_running: list[tuple[int, Any]] = []
        self._ended = self._repeated = 0  # so many are known

    def read(self, so_far: TrialsSoFar) -> "TakenPoints":
        """Take the trials as they are now."""
        for each in self._of_running:
            self._free(each)
        for trial in filter(so_far.counts, so_far.ended[self._ended :]):
            self._of_ended[trial.number] = self._take(trial)
        for number in so_far.repeated[self._repeated :]:
            if number in self._of_ended:
                self._free(self._of_ended.pop(number))
        self._of_running = [*map(self._take, filter(so_far.counts, so_far.running))]
        self._ended, self._repeated = len(so_far.ended), len(so_far.repeated)
        return self

    def in_fidelity(self, fidelity: int) -> Collection[Any]:
        """Return the keys of the points that trials of one fidelity had."""
        return self._taken[fidelity]

    def _take(self, trial: FrozenTrial) -> tuple[int, Any]:
        fidelity, key = fidelity_of(trial), self._space.key(trial.params)
        self._taken[fidelity][key] += 1
        return fidelity, key

    def _free(self, taken: tuple[int, Any]) -> None:
        fidelity, key = taken
        self._taken[fidelity][key] -= 1
        if not self._taken[fidelity][key]:
            del self._taken[fidelity][key]
