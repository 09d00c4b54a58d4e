"""What a search has spent, what it may spend, and what a trial is forecast to cost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import FrozenTrial, TrialState
from sklearn.linear_model import BayesianRidge

from greensweep.search.records import SEARCH_ENERGY, outcome_of, seconds_of, spent_of
from greensweep.search.spec import SearchSpec

_SECONDS_PER_HOUR = 3600.0
_FEWEST = 3  # finished trials below which a forecast is their mean


@dataclass(frozen=True)
class Forecast:
    """What a trial will cost: its joules, and the ends of a 90 % interval of them."""

    joules: float
    low: float
    high: float


class CostModel:
    """Energy of a trial from its parameters, learnt from trials that ran to their end.

    A Bayesian ridge regression of the logarithm of the joules on the logarithm of every positive
    numeric option and an indicator of each choice: energy is nearly a product of powers (epochs,
    images, width), which this form holds exactly.

    Args:
        distributions: the searched options.
        trials: of any state; only finished ones with energy are learnt from.
    """

    def __init__(
        self, distributions: Mapping[str, BaseDistribution], trials: Sequence[FrozenTrial]
    ) -> None:
        self._distributions = distributions
        known = [
            (trial.params, outcome.spent_joules)
            for trial in trials
            if trial.state == TrialState.COMPLETE
            and (outcome := outcome_of(trial)) is not None
            and outcome.spent_joules
        ]
        self._logs = numpy.log([joules for _, joules in known])
        self._model: BayesianRidge | None = None
        if len(known) >= _FEWEST:
            rows = numpy.array([self._features(params) for params, _ in known])
            self._model = BayesianRidge().fit(rows, self._logs)

    def forecast(self, params: Mapping[str, object]) -> Forecast | None:
        """Return what a trial will cost; None before any has finished."""
        if not len(self._logs):
            return None
        if self._model is None:
            mean, deviation = float(self._logs.mean()), 1.0
        else:
            means, deviations = self._model.predict([self._features(params)], return_std=True)
            mean, deviation = float(means[0]), float(deviations[0])
        low, high = mean - 1.645 * deviation, mean + 1.645 * deviation
        return Forecast(float(numpy.exp(mean)), float(numpy.exp(low)), float(numpy.exp(high)))

    def _features(self, params: Mapping[str, object]) -> list[float]:
        features: list[float] = []
        for name, distribution in self._distributions.items():
            value = params.get(name)
            if isinstance(distribution, CategoricalDistribution):
                features += [float(value == choice) for choice in distribution.choices[1:]]
            else:
                number = float(value) if isinstance(value, int | float) else 0.0
                features.append(numpy.log(number) if number > 0 else number)
        return features


@dataclass(frozen=True)
class Spent:
    """What a search has cost so far: joules of all trials and of the search, and hours."""

    joules: float
    hours: float


def spent(
    study: optuna.Study, trials: Sequence[FrozenTrial], *, without: int | None = None
) -> Spent:
    """Add up what a search has cost, running trials by their last report.

    Args:
        trials: all of the study's.
        without: number of a trial to leave out of the joules.
    """
    joules = sum(spent_of(trial) for trial in trials if trial.number != without)
    return Spent(joules + between_trials(study), _hours(trials))


def between_trials(study: optuna.Study) -> float:
    """Return the joules that no trial is charged: of processes that looked for one more."""
    attributes = study.user_attrs
    return float(sum(v for name, v in attributes.items() if name.startswith(SEARCH_ENERGY)))


def over_budget(spec: SearchSpec, used: Spent, next_joules: float = 0.0) -> str | None:
    """Say which budget is used up, or would be by a step of `next_joules`; None when it fits."""
    limit, hours = spec.budget_joules, spec.budget.hours
    if limit is not None and (used.joules >= limit or used.joules + next_joules > limit):
        left = max(limit - used.joules, 0.0)
        if used.joules >= limit or not next_joules:
            return f"the budget of {limit:.6g} J is spent"
        return f"{left:.4g} J are left of the budget, and {next_joules:.4g} J are forecast"
    if hours is not None and used.hours >= hours:
        return f"the budget of {hours:g} h is spent"
    return None


def _hours(trials: Sequence[FrozenTrial]) -> float:
    """Time in which at least one trial ran, hours; pauses between commands do not count."""
    spans = sorted(
        (_seconds(trial.datetime_start), _seconds(trial.datetime_start) + seconds_of(trial))
        for trial in trials
        if trial.datetime_start is not None
    )
    total, until = 0.0, float("-inf")
    for begin, end in spans:
        total += max(end - max(begin, until), 0.0)
        until = max(until, end)
    return total / _SECONDS_PER_HOUR


def _seconds(moment: datetime | None) -> float:
    assert moment is not None
    return moment.timestamp()
