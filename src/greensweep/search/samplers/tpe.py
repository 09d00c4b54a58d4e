"""Optuna's TPE, which looks for wide positive ranges in their logarithm and begins evenly."""

from typing import Any

from optuna.distributions import BaseDistribution
from optuna.study import Study
from optuna.trial import FrozenTrial

from greensweep.search.encoder import log_scaled, log_scaled_space
from greensweep.search.optuna_internals import AdaptableTPESampler
from greensweep.search.samplers.seeded import TrialRandomState, seed_or_any


class ScaledTPESampler(AdaptableTPESampler):
    """TPE in the coordinates that suit its options.

    Args:
        seed: of the whole search.
        log_decades: positive ranges that span at least so many powers of ten are searched in
            their logarithm, whatever the space says; None leaves the space as it is.
        even_start: the first trials are points of an evenly spread sequence, instead of random.
        further: as Optuna's sampler takes them.
    """

    keeps_seed = True

    def __init__(
        self,
        *,
        seed: int | None = None,
        n_startup_trials: int = 4,
        log_decades: float | None = 3.0,
        even_start: bool = True,
        **further: Any,
    ) -> None:
        self._study_seed = seed_or_any(seed)
        self._log_decades, self._even_start = log_decades, even_start
        self._startup = n_startup_trials
        self._random_state: TrialRandomState | None = None
        super().__init__(seed=seed, n_startup_trials=n_startup_trials, multivariate=True, **further)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Begin a draw: its randomness is that of its place in the search."""
        self._random_state = TrialRandomState(self._study_seed, study, trial.number)
        self.reseed(self._random_state.seed)
        super().before_trial(study, trial)

    def drawn_from(self, space: dict[str, BaseDistribution]) -> dict[str, BaseDistribution]:
        """Return the options that are drawn together, in the scales that suit them."""
        return log_scaled_space(space, self._log_decades)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, name: str, distribution: BaseDistribution
    ) -> Any:
        """Draw one option by itself: of the first trials."""
        distribution = log_scaled(distribution, self._log_decades)
        state = self._random_state
        if state is not None and self._even_start and state.n_observed() < self._startup:
            return state.sobol(distribution)
        return super().sample_independent(study, trial, name, distribution)
