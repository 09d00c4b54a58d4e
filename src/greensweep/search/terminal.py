"""A search in words, for the terminal: how it stands, and what it came to."""

import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import optuna
from optuna.trial import FrozenTrial, TrialState
from rich.console import Console
from rich.live import Live

from greensweep.energy.units import emissions_text, joules_text
from greensweep.errors import plural
from greensweep.search.budget import spent
from greensweep.search.cost import SearchCost, best_trials
from greensweep.search.cost_model import Forecast, seconds_left
from greensweep.search.records import counted
from greensweep.search.spec import SearchSpec

_EVERY_SECONDS = 1.0  # between two looks at a search that runs


def progress_line(
    spec: SearchSpec,
    study: optuna.Study,
    trials: list[FrozenTrial],
    seconds: float,
    since_last: float = 0.0,
    earlier: int = 0,
) -> str:
    """Return how a search stands: trials, the best, energy of the budget, time left.

    Args:
        seconds: since this command began, in which it ran trials; from which the time left follows.
        since_last: of these, those since a trial ended: the trials that run have come so far.
        earlier: trials that had ended before this command.
    """
    states = Counter(trial.state for trial in counted(trials))
    done, total = _ended(trials), spec.total
    parts = [f"{done}/{total} trials"]
    names = {TrialState.RUNNING: "running", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"}
    parts += [f"{states[state]} {name}" for state, name in names.items() if states[state]]
    best = best_trials(trials, study)
    if best:
        values = ", ".join(f"{value:.4g}" for value in best[0].values)
        parts.append(f"best {values} (trial {best[0].number})")
    used, limit = spent(study, trials).joules, spec.budget_joules
    if used or limit:
        parts.append(joules_text(used) + (f" of {joules_text(limit)}" if limit else ""))
    if done > earlier and total > done:
        left = seconds_left(done - earlier, total - done, seconds, since_last)
        parts.append(f"about {duration_text(left)} left")
    return ", ".join(parts)


def _ended(trials: list[FrozenTrial]) -> int:
    return sum(trial.state != TrialState.RUNNING for trial in counted(trials))


@contextmanager
def progress_shown(spec: SearchSpec, study: optuna.Study) -> Iterator[None]:
    """Show the status line on a terminal while the block runs; nothing where there is none."""
    if not sys.stderr.isatty():
        yield
        return
    began, over = time.monotonic(), threading.Event()
    earlier = _ended(study.get_trials(deepcopy=False))

    def watch(live: Live) -> None:
        ended, last = 0, 0.0
        while not over.wait(_EVERY_SECONDS):
            trials = study.get_trials(deepcopy=False)
            seconds = time.monotonic() - began
            now_ended = sum(trial.state.is_finished() for trial in trials)
            if now_ended != ended:
                ended, last = now_ended, seconds
            line = progress_line(spec, study, trials, seconds, seconds - last, earlier)
            live.update(line)

    with Live(console=Console(stderr=True, highlight=False), transient=True) as live:
        thread = threading.Thread(target=watch, args=(live,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


def cost_sentences(cost: SearchCost) -> list[str]:
    """Return what a search cost, what pruning saved, what is left, and why it ended."""
    by_status = ", ".join(f"{count} {name}" for name, count in cost.trials_by_status.items())
    sentences = []
    if cost.ended is not None:
        sentences = [f"The search ended before its {cost.trials_total} trials: {cost.ended}."]
    if cost.spent_joules is None:
        return [*sentences, f"{plural(cost.trials, 'trial')}: {by_status or 'none'}; not metered."]
    parts = {
        "finished trials": cost.finished_joules,
        "pruned ones": cost.pruned_joules,
        "stopped ones": cost.stopped_joules,
        "failed ones": cost.failed_joules,
        "those that still run": cost.running_joules,
        "the search itself": cost.search_joules,
    }
    spent = [f"{joules_text(joules)} in {name}" for name, joules in parts.items() if joules]
    ratio = ""
    if cost.search_ratio is not None:
        ratio = f", {cost.search_ratio:.3g} times the training of trial {cost.best_trials[0]}"
    emitted = "" if cost.spent_kg is None else f", {emissions_text(cost.spent_kg)}"
    sentences.append(
        f"The bill: {joules_text(cost.spent_joules)} ({cost.quality}){emitted}{ratio}: "
        f"{', '.join(spent)} ({by_status})."
    )
    if cost.saved_joules:
        sentences.append(
            f"Pruning saved about {joules_text(cost.saved_joules)} and {cost.saved_seconds:.3g} s, "
            "estimated from the epochs that the pruned trials had left."
        )
    if cost.forecast_joules is not None and cost.forecast_trials:
        sentences.append(
            f"After {cost.forecast_trials} of {cost.trials_total} trials the forecast was "
            f"{joules_text(cost.forecast_joules)} ({joules_text(cost.forecast_low)} to "
            f"{joules_text(cost.forecast_high)}); the trials came to "
            f"{joules_text(cost.trials_joules)}."
        )
    not_run = cost.trials_total - cost.trials
    if cost.ended is not None and not_run > 0 and cost.trials:
        unspent = cost.spent_joules / cost.trials * not_run
        sentences.append(
            f"Left unspent: {plural(not_run, 'trial')}, about {joules_text(unspent)} at "
            "what the others cost."
        )
    if cost.left_joules is not None:
        sentences.append(
            f"Of the budget of {joules_text(cost.budget_joules)} {joules_text(cost.left_joules)} "
            "are left."
        )
    if cost.left_hours is not None and cost.budget_hours is not None:
        sentences.append(
            f"Of the budget of {cost.budget_hours:g} h {cost.left_hours:.3g} h are left."
        )
    return sentences


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
    spans = [_span(seconds, duration_text)]
    if joules is not None:
        spans.append(_span(joules, joules_text))
        if kg_per_joule is not None:
            grams = 1000.0 * kg_per_joule
            spans.append(_span(joules, lambda value: f"{grams * value:.3g} g", " CO2e"))
    spent = f" for {joules_text(cost)}" if cost else ""
    return [
        f"Forecast for {plural(trials, 'trial')}, one at a time and without pruning: "
        f"{', '.join(spans)}.",
        f"The 90 % intervals are estimated from the first epochs of {points} random points{spent}; "
        "a search moves away from them, and pruning makes it cheaper.",
    ]


def duration_text(seconds: float) -> str:
    """Return a length of time in the unit that suits it."""
    if seconds < 90:
        return f"{seconds:.3g} s"
    if seconds < 5400:
        return f"{seconds / 60:.3g} min"
    return f"{seconds / 3600:.3g} h" if seconds < 172_800 else f"{seconds / 86_400:.3g} days"


def _span(forecast: Forecast, text: Callable[[float], str], what: str = "") -> str:
    low, high = text(forecast.low), text(forecast.high)
    return f"{text(forecast.cost)}{what} ({low} to {high})"
