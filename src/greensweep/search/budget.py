"""What a search has spent, and what its budgets leave."""

from collections.abc import Sequence
from dataclasses import dataclass

import optuna
from optuna.trial import FrozenTrial

from greensweep.energy.units import duration_text, joules_text
from greensweep.search.records import (
    SEARCH_ENERGY,
    kept_of_study,
    outcome_of,
    owner_of,
    seconds_of,
    spent_of,
)
from greensweep.search.spec import SearchSpec

_SECONDS_PER_HOUR = 3600.0
_LATEST = 3  # trials that show what the next one takes beside its epochs


@dataclass(frozen=True)
class Spent:
    """What a search has cost so far: joules of all trials and of the search, and hours."""

    joules: float
    hours: float


def spent(study: optuna.Study, trials: Sequence[FrozenTrial]) -> Spent:
    """Add up what a search has cost in all its trials, running ones by their last report."""
    return Spent(sum(map(spent_of, trials)) + between_trials(study), _hours(trials))


def between_trials(study: optuna.Study) -> float:
    """Return the joules that no trial is charged: of processes that looked for one more."""
    attributes = kept_of_study(study).items()
    return float(sum(value for name, value in attributes if name.startswith(SEARCH_ENERGY)))


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
        if used.joules >= limit or not next_joules:
            return f"the budget of {spec.budget_text} is spent"
        return _exceeds(joules_text(next_joules, digits=3), spec.budget_text)
    if hours is None:
        return None
    if used.hours >= hours:
        return f"the budget of {hours:g} h is spent"
    if used.hours + next_seconds / _SECONDS_PER_HOUR > hours:
        return _exceeds(duration_text(next_seconds), f"{hours:g} h")
    return None


def _exceeds(forecast: str, budget: str) -> str:
    """Leave what is left of a budget to the bill: until then the search itself takes some of it."""
    return f"{forecast} more, as forecast, would exceed the budget of {budget}"


def _hours(trials: Sequence[FrozenTrial]) -> float:
    """Time in which at least one trial ran, hours; pauses between commands do not count.

    Trials of one machine are laid beside each other by a clock that nobody sets. Its beginning,
    as those of unknown clocks, are placed by the date of the first.
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
