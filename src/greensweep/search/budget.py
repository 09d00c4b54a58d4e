"""What a search has spent, what it may spend, and what a trial is forecast to cost."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import FrozenTrial
from sklearn.linear_model import BayesianRidge

from greensweep.search.fidelity import fidelity_of
from greensweep.search.records import (
    SEARCH_ENERGY,
    flops_of,
    outcome_of,
    owner_of,
    seconds_of,
    spent_of,
    whole_joules,
)
from greensweep.search.spec import SearchSpec

_SECONDS_PER_HOUR = 3600.0
_FEWEST = 3  # finished trials below which a forecast is their mean
_LATEST = 3  # trials that tell what the next one takes beside its epochs


@dataclass(frozen=True)
class Forecast:
    """What a trial will cost, joules or seconds, and the ends of a 90 % interval."""

    cost: float
    low: float
    high: float


class CostModel:
    """Cost of a trial from its parameters, learnt from trials that ran.

    A Bayesian ridge regression of the logarithm of the cost on the logarithm of every positive
    numeric option and an indicator of each choice: energy is nearly a product of powers (epochs,
    images, width), which this form holds exactly. Where the FLOPs of all trials are known, it is
    the logarithm of the cost per FLOP that is learnt, so that one trial tells of others that
    compute more or less. Trials that ended early are learnt from as if they had gone on as they
    began.

    Args:
        distributions: the searched options.
        trials: of any state.
        cost_of: joules or seconds of a whole trial; None of one that tells nothing.
    """

    def __init__(
        self,
        distributions: Mapping[str, BaseDistribution],
        trials: Sequence[FrozenTrial],
        cost_of: Callable[[FrozenTrial], float | None] = whole_joules,
    ) -> None:
        self._distributions = distributions
        known = [(trial, cost) for trial in trials if (cost := cost_of(trial))]
        self._ways = max((fidelity_of(trial) for trial, _ in known), default=0)
        self._logs = numpy.log([cost for _, cost in known])
        flops = [flops_of(trial) or 0.0 for trial, _ in known]
        self._per_flop = bool(flops) and min(flops) > 0
        if self._per_flop:
            self._logs -= numpy.log(flops)
        self._typical_flops = float(numpy.median(flops)) if flops else 0.0
        self._model: BayesianRidge | None = None
        if len(known) >= _FEWEST:
            rows = [
                self._features(trial.params, fidelity_of(trial), computed)
                for (trial, _), computed in zip(known, flops, strict=True)
            ]
            self._model = BayesianRidge().fit(numpy.array(rows), self._logs)

    def forecast(
        self, params: Mapping[str, object], fidelity: int = 0, flops: float | None = None
    ) -> Forecast | None:
        """Return what a trial will cost; None before any has run.

        Args:
            fidelity: which of the cheaper ways it runs in; 0 is the whole run.
            flops: of the whole trial, where they are known.
        """
        if not len(self._logs):
            return None
        flops = flops or self._typical_flops
        if self._model is None:
            mean, deviation = float(self._logs.mean()), 1.0
        else:
            row = self._features(params, fidelity, flops)
            means, deviations = self._model.predict([row], return_std=True)
            mean, deviation = float(means[0]), float(deviations[0])
        if self._per_flop:
            mean += float(numpy.log(flops))
        low, high = mean - 1.645 * deviation, mean + 1.645 * deviation
        return Forecast(float(numpy.exp(mean)), float(numpy.exp(low)), float(numpy.exp(high)))

    def _features(self, params: Mapping[str, object], fidelity: int, flops: float) -> list[float]:
        features = [float(fidelity == way) for way in range(1, self._ways + 1)]
        if self._per_flop:
            features.append(float(numpy.log(flops)))
        for name, distribution in self._distributions.items():
            value = params.get(name)
            if isinstance(distribution, CategoricalDistribution):
                # A trial that lacks the option has none of its choices, null among them.
                features += [
                    float(name in params and value == choice) for choice in distribution.choices[1:]
                ]
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


def drawing_joules(trials: Sequence[FrozenTrial]) -> float:
    """Return what it will take, in joules, to draw one more trial and keep its records.

    It is the most of the latest trials that say it, 0 before any: a budget must have room for it.
    """
    known = [
        outcome.search_joules
        for trial in trials
        if (outcome := outcome_of(trial)) and outcome.search_joules is not None
    ]
    return max(known[-_LATEST:], default=0.0)


def over_budget(
    spec: SearchSpec, used: Spent, next_joules: float = 0.0, next_seconds: float = 0.0
) -> str | None:
    """Say which budget is used up, or would be by a step that costs so much; None when it fits."""
    limit, hours = spec.budget_joules, spec.budget.hours
    if limit is not None and (used.joules >= limit or used.joules + next_joules > limit):
        left = max(limit - used.joules, 0.0)
        if used.joules >= limit or not next_joules:
            return f"the budget of {spec.budget_text} is spent"
        return f"{left:.4g} J are left of the budget, and {next_joules:.4g} J are forecast"
    if hours is None:
        return None
    if used.hours >= hours:
        return f"the budget of {hours:g} h is spent"
    if used.hours + next_seconds / _SECONDS_PER_HOUR > hours:
        left = (hours - used.hours) * _SECONDS_PER_HOUR
        return f"{left:.3g} s are left of the budget, and {next_seconds:.3g} s are forecast"
    return None


def _hours(trials: Sequence[FrozenTrial]) -> float:
    """Time in which at least one trial ran, hours; pauses between commands do not count.

    Trials of one machine are laid beside each other by a clock that nobody sets. Its beginning,
    as those that do not tell, are placed by the date of the first.
    """
    beginnings: dict[tuple[str, str], float] = {}
    spans = []
    for trial in trials:
        if trial.datetime_start is None:
            continue
        begin, owner = trial.datetime_start.timestamp(), owner_of(trial)
        if owner is not None and owner.since is not None:
            begin = beginnings.setdefault(owner.clock, begin - owner.since) + owner.since
        spans.append((begin, begin + seconds_of(trial)))
    total, until = 0.0, float("-inf")
    for begin, end in sorted(spans):
        total += max(end - max(begin, until), 0.0)
        until = max(until, end)
    return total / _SECONDS_PER_HOUR
