"""What a search came to, and what one will cost, in sentences."""

from collections.abc import Callable, Iterator

from greensweep.energy.units import (
    duration_text,
    emissions_text,
    energy_span_text,
    joules_text,
)
from greensweep.errors import plural, rounded
from greensweep.search.cost import SearchCost
from greensweep.search.cost_model import Forecast


def cost_sentences(cost: SearchCost) -> list[str]:
    """Return what a search cost, what pruning saved, what is left, and why it ended."""
    asked = plural(cost.trials_total, "trial")
    ended = f"The search ended before its {asked}: {cost.ended}."
    sentences = [] if cost.ended is None else [ended]
    if cost.spent_joules is None:
        counts = ", ".join(f"{count} {name}" for name, count in cost.trials_by_status.items())
        told = f": {counts}" if counts else ""
        return [*sentences, f"{plural(cost.trials, 'trial')}{told}; not metered."]
    return [*sentences, _bill(cost), *_pruned(cost), *_forecast(cost), *_left(cost)]


def _bill(cost: SearchCost) -> str:
    trials = {
        "finished": cost.finished_joules,
        "pruned": cost.pruned_joules,
        "stopped": cost.stopped_joules,
        "failed": cost.failed_joules,
    }
    is_metered = any(trials.values()) or not cost.search_joules  # else the search alone is
    spent: list[str] = []
    for status, joules in trials.items():
        count = cost.trials_by_status.get(status, 0)
        if count or joules:
            kind = status if spent else f"{status} trial{'' if count == 1 else 's'}"
            amount = _energy(joules) if joules or is_metered else "nothing metered"
            spent.append(f"{amount} in {f'{count} {kind}' if count else kind}")
    others = {"what still runs": cost.running_joules, "the search itself": cost.search_joules}
    spent += [f"{_energy(joules)} in {what}" for what, joules in others.items() if joules]
    told = f": {', '.join(spent)}" if spent else ""
    ratio = ""
    if cost.search_ratio is not None and cost.best_trials:
        ratio = f", {rounded(cost.search_ratio)} times the training of trial {cost.best_trials[0]}"
    emitted = "" if cost.spent_kg is None else f", {emissions_text(cost.spent_kg)}"
    return f"The bill: {_energy(cost.spent_joules)} ({cost.quality}){emitted}{ratio}{told}."


def _energy(joules: float | None) -> str:
    return joules_text(joules, digits=3)


def _pruned(cost: SearchCost) -> Iterator[str]:
    if cost.saved_joules > 0:
        yield (
            f"Pruning saved about {joules_text(cost.saved_joules, digits=2)} and "
            f"{duration_text(cost.saved_seconds, digits=2)}."
        )


def _forecast(cost: SearchCost) -> Iterator[str]:
    """Say what the early forecast was worth; an interval of equal ends is none."""
    known = cost.forecast_trials
    if cost.forecast_joules is None or not 0 < known < cost.trials_total:
        return
    low, high = cost.forecast_low, cost.forecast_high
    told = _energy(cost.forecast_joules)
    if low is not None and high is not None and low < high:
        told = energy_span_text(cost.forecast_joules, low, high)
    yield (
        f"Forecast after {known} of {plural(cost.trials_total, 'trial')}: {told}; they came to "
        f"{_energy(cost.trials_joules)}."
    )


def _left(cost: SearchCost) -> Iterator[str]:
    not_run = cost.trials_total - cost.trials
    if cost.ended is not None and not_run > 0 and cost.trials and cost.spent_joules:
        unspent = cost.spent_joules / cost.trials * not_run
        yield (
            f"Left unspent: {plural(not_run, 'trial')}, about "
            f"{joules_text(unspent, digits=2)} at what the others cost."
        )
    if cost.left_joules is not None:
        budget, left = joules_text(cost.budget_joules), joules_text(cost.left_joules)
        yield f"Left of the budget of {budget}: {left}."
    if cost.left_hours is not None and cost.budget_hours is not None:
        left = duration_text(3600 * cost.left_hours)
        yield f"Left of the budget of {cost.budget_hours:g} h: {left}."


def preview_sentences(
    joules: Forecast | None,
    seconds: Forecast,
    *,
    trials: int,
    points: int,
    cost: float,
    kg_per_joule: float | None,
) -> list[str]:
    """Return what a sweep is forecast to cost.

    Args:
        joules, seconds: of all trials; no energy where nothing is metered.
        points: how many were run for it.
        cost: of running them, joules.
        kg_per_joule: of the declared grid.
    """
    spans = [_span(seconds, lambda each: duration_text(each, digits=2))]
    if joules is not None:
        spans.append(energy_span_text(joules.cost, joules.low, joules.high))
        if kg_per_joule is not None:
            spans.append(_span(joules, lambda each: emissions_text(kg_per_joule * each)))
    spent = f" for {_energy(cost)}" if cost else ""
    seen = f"from the first epochs of {plural(points, 'random point')}{spent}"
    intervals = f"The 90 % intervals are estimated {seen}"
    if seconds.low == seconds.high:
        intervals = f"It is estimated {seen}, too few to say how far it may be off"
    return [
        f"Forecast for {plural(trials, 'trial')}, one at a time and without pruning: "
        f"{', '.join(spans)}.",
        f"{intervals}; a search moves away from them, and pruning makes it cheaper.",
    ]


def _span(forecast: Forecast, text: Callable[[float], str]) -> str:
    if forecast.low == forecast.high:
        return text(forecast.cost)
    return f"{text(forecast.cost)} ({text(forecast.low)} to {text(forecast.high)})"
