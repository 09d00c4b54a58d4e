"""What a search has spent, and what its budgets leave."""

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

import optuna
from optuna.trial import FrozenTrial

from greensweep.energy.units import duration_text, joules_text
from greensweep.search.records import (
    OUTCOME,
    SEARCH_ENERGY,
    kept,
    kept_of_study,
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


class Spending:
    """What trials have cost, added up as they end: to ask for it takes no look at them again."""

    def __init__(self) -> None:
        self._joules = 0.0
        self._hours = BusyHours()
        self._drawing: deque[float] = deque(maxlen=_LATEST)

    def add(self, trial: FrozenTrial) -> None:
        """Count a trial that ended."""
        self._joules += spent_of(trial)
        self._hours.add(trial)
        joules = (kept(trial, OUTCOME) or {}).get("search_joules")
        if joules is not None:
            self._drawing.append(joules)

    def with_running(self, study: optuna.Study, running: Iterable[FrozenTrial] = ()) -> Spent:
        """Return what a search has cost in all its trials, running ones by their last report."""
        trials = [*running]
        joules = self._joules + sum(map(spent_of, trials)) + between_trials(study)
        return Spent(joules, self._hours.with_running(trials))

    @property
    def drawing_joules(self) -> float:
        """What it will take, in joules, to draw one more trial and keep its records.

        It is the most of the latest trials that say it, 0 before any: a budget must have room for
        it.
        """
        return max(self._drawing, default=0.0)


def spent(study: optuna.Study, trials: Iterable[FrozenTrial]) -> Spent:
    """Add up what a search has cost in all its trials, running ones by their last report."""
    return Spending().with_running(study, trials)


def between_trials(study: optuna.Study) -> float:
    """Return the joules that no trial is charged: of processes that looked for one more."""
    attributes = kept_of_study(study).items()
    return float(sum(value for name, value in attributes if name.startswith(SEARCH_ENERGY)))


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


class BusyHours:
    """Time in which at least one trial ran, hours; pauses between commands do not count.

    Trials of one machine are laid beside each other by a clock that nobody sets. Its beginning,
    as those of unknown clocks, are placed by the date of the first.
    """

    def __init__(self) -> None:
        self._beginnings: dict[tuple[str, str], float] = {}  # of clocks
        # Spans of time, seconds, apart from each other and in order.
        self._begins: list[float] = []
        self._ends: list[float] = []
        self._seconds = 0.0

    def add(self, trial: FrozenTrial) -> None:
        """Count a trial that ended."""
        if trial.datetime_start is None:
            return
        begin, end = self._span(trial)
        first = bisect_left(self._ends, begin)  # of those that it touches
        beyond = bisect_right(self._begins, end)
        if first < beyond:
            begin, end = min(begin, self._begins[first]), max(end, self._ends[beyond - 1])
        touched = zip(self._begins[first:beyond], self._ends[first:beyond], strict=True)
        self._seconds += end - begin - sum(until - since for since, until in touched)
        self._begins[first:beyond], self._ends[first:beyond] = [begin], [end]

    def with_running(self, running: Iterable[FrozenTrial]) -> float:
        """Return the hours until now, running trials by their last report."""
        total, until = self._seconds, float("-inf")
        for begin, end in sorted(map(self._span, filter(_has_begun, running))):
            begin, until = max(begin, until), max(end, until)
            total += max(end - begin, 0.0)
            first, beyond = bisect_right(self._ends, begin), bisect_left(self._begins, end)
            for place in range(first, beyond):  # known already
                total -= max(min(end, self._ends[place]) - max(begin, self._begins[place]), 0.0)
        return total / _SECONDS_PER_HOUR

    def _span(self, trial: FrozenTrial) -> tuple[float, float]:
        assert trial.datetime_start is not None
        begin, owner = trial.datetime_start.timestamp(), owner_of(trial)
        if owner is not None and owner.since is not None:
            begin = self._beginnings.setdefault(owner.clock, begin - owner.since) + owner.since
        return begin, begin + seconds_of(trial)


def _has_begun(trial: FrozenTrial) -> bool:
    return trial.datetime_start is not None
