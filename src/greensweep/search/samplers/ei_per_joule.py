"""Expected improvement per predicted joule: Bayesian optimisation that knows the cost."""

from typing import Any

from optuna.distributions import BaseDistribution
from optuna.study import Study
from optuna.trial import FrozenTrial

from greensweep.search.samplers.acquisition import Acquisition, maximize_acquisition
from greensweep.search.samplers.observations import Observations
from greensweep.search.samplers.seeded import SingleObjectiveSampler
from greensweep.search.space import Conditions

_CANDIDATES = 1024  # spread over the whole space
_REACHES = (0.1, 0.03, 0.01)  # of the neighbours that follow, round after round


class ExpectedImprovementPerJouleSampler(SingleObjectiveSampler):
    """Draws the point that is expected to improve most per joule it is predicted to cost.

    Expected improvement, divided by the predicted cost (Snoek, Larochelle and Adams 2012, section
    3.2), where the cost is the energy of a trial, and its logarithm has a model of its own, learnt
    from the trials that have an energy. Without any it is plain expected improvement.

    Args:
        seed: of the whole search.
        n_startup_trials: drawn evenly over the space before the model is asked.
        log_decades: positive ranges that span at least so many powers of ten are searched in
            their logarithm, whatever the space says; None leaves the space as it is.
        even_start: the first trials are points of an evenly spread sequence, instead of random.
        cost_exponent: 1 divides by the predicted joules, 0 leaves them out, between is a mixture
            (Lee et al. 2020 cool it from 1 to 0).
        conditions: as a `Space` has them.
    """

    name = "ei_per_joule"
    learns_from_pruned = True

    def __init__(
        self,
        *,
        seed: int | None = None,
        n_startup_trials: int = 4,
        log_decades: float | None = 3.0,
        even_start: bool = True,
        cost_exponent: float = 1.0,
        conditions: Conditions | None = None,
    ) -> None:
        if n_startup_trials < 1 or not 0.0 <= cost_exponent <= 1.0:
            raise ValueError(
                "n_startup_trials must be at least 1 and cost_exponent from 0 to 1, got "
                f"{n_startup_trials} and {cost_exponent}"
            )
        super().__init__(seed=seed, conditions=conditions)
        self._n_startup_trials = n_startup_trials
        self._log_decades, self._even_start = log_decades, even_start
        self._cost_exponent = cost_exponent

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Draw all options together, once there is something to learn from."""
        state = self._random_state(study, trial)
        if not search_space or state.n_observed() < self._n_startup_trials:
            return {}
        encoder = self._encoder(search_space)
        observations = Observations(state.trials, encoder, study.direction)
        if not len(observations.scores):
            return {}
        point = maximize_acquisition(
            Acquisition(observations, self._cost_exponent).of_whole_runs,
            observations,
            state.generator,
            candidates=_CANDIDATES,
            reaches=_REACHES,
        )
        return encoder.decode(point)
