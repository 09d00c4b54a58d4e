"""The first screen of the page: which configuration, what is lost and saved, how sure, for whom."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from greensweep.analysis import Result, RunTable
from greensweep.analysis.units import joules
from greensweep.config.metrics import Metric
from greensweep.decision.choice import DRAWS
from greensweep.decision.sentences import (
    option_texts,
    percent_text,
    points_text,
    rounded_text,
    worse_by_text,
)
from greensweep.energy.units import energy_text, watt_hours_text
from greensweep.rendering.page import Fact
from greensweep.sources import run_columns as col
from greensweep.sources.table import ENERGY, qualities

_MOST_NAMED = 4  # data sets, models or machines
_QUALITIES = {
    "measured": "measured by hardware counters",
    "estimated": "estimated by models, not measured",
    "mixed": "mixed: each is made of parts of more than one quality",
    "attributed": "attributed: a share of a machine that did other work too",
    "replayed": "replayed from a record, not used by these runs",
    "unknown": "of unknown quality: the table does not say how they were obtained",
}
_HASH = re.compile(r"[0-9a-f]{7,}(\.dir)?")
_ORIGINS = {"commit": "commit", "data": "data"}


def facts_of(
    tradeoff: Result | None, runs: RunTable, spent_joules: float, links: Sequence[Mapping[str, str]]
) -> list[Fact]:
    """Return what the first screen says at a glance.

    Args:
        spent_joules: of all runs and their searches.
        links: of each run on the front, to what leads to it.
    """
    facts = [] if tradeoff is None else [*_choice(tradeoff, links)]
    return [*facts, *_holds_for(runs, spent_joules)]


def _choice(tradeoff: Result, links: Sequence[Mapping[str, str]]) -> Iterator[Fact]:
    """Yield the four questions, where one answer is given."""
    groups = tradeoff.figures["groups"]
    front = tradeoff.tables["front"]
    if len(groups) != 1 or not front["is_chosen"].any():
        return
    (figures,) = groups.values()
    decision, metric = figures["decision"], tradeoff.runs.metric
    place = int(np.flatnonzero(front["is_chosen"])[0])
    chosen, best = front.iloc[place], front.iloc[-1]
    options = option_texts(
        {name: chosen[name] for name in tradeoff.runs.configuration if name in front}
    )
    named = ", ".join(f"{name} {value}" for name, value in options.items())
    yield Fact("Take", f"{chosen['configuration']}{f': {named}' if named else ''}", links[place])
    is_best = place == len(front) - 1
    yield Fact("Gives up", _lost(decision, metric, is_best=is_best))
    yield Fact("Saves", _saved(decision, chosen, best, is_best=is_best))
    if figures["against_start"] is not None:
        yield Fact("Against the start", figures["against_start"])
    yield Fact("How sure", _how_sure(decision, metric, weighed=len(front)))


def _lost(decision: Mapping[str, Any], metric: Metric, *, is_best: bool) -> str:
    if is_best:
        return f"nothing: it is {metric.best_words}"
    low, high = decision["points_lost_low"], decision["points_lost_high"]
    interval = "" if low is None else f" (95 %: {rounded_text(low)} to {rounded_text(high)})"
    return f"{worse_by_text(decision['points_lost'], metric)} than the best{interval}"


def _saved(
    decision: Mapping[str, Any], chosen: "pd.Series[Any]", best: "pd.Series[Any]", *, is_best: bool
) -> str:
    if is_best:
        off = chosen.get("energy_uncertainty_joules", 0.0)
        energy = energy_text(chosen[ENERGY], off or None)
        return f"nothing against the best, which it is: {energy} a training"
    share, off = decision["energy_saved_share"], decision["energy_saved_uncertainty"]
    around = "" if off is None else f" (±{percent_text(off)})"
    return (
        f"{percent_text(share)} of the energy{around}: {joules(chosen[ENERGY])} a training instead "
        f"of {joules(best[ENERGY])}"
    )


def _how_sure(decision: Mapping[str, Any], metric: Metric, weighed: int) -> str:
    if weighed == 1:
        return "no other is on the front"
    low, high = decision["holds_from"] or 0.0, decision["holds_to"]
    asked = "half the energy may cost"
    if high is None:
        prices = f"{points_text(low, metric)} or more"
    elif low == 0.0:
        prices = f"up to {points_text(high, metric)}"
    else:
        prices = f"{rounded_text(low)} to {points_text(high, metric)}"
    holds = f"it holds where {asked} {prices}"
    stability = decision["stability"]
    if stability is None:
        return f"{holds}; what chance does is not known, since the metric has no interval"
    return (
        f"{percent_text(stability)} of {DRAWS} draws within the uncertainties choose the same; "
        f"{holds}"
    )


def _holds_for(runs: RunTable, spent_joules: float) -> Iterator[Fact]:
    frame = runs.frame
    known = frame.where(frame != col.UNKNOWN)
    on = [_listed(known[name]) for name in ("dataset", "model") if name in frame]
    if on := [each for each in on if each]:
        yield Fact("Holds for", "; ".join(on))
    machines = frame.loc[frame[col.MACHINE] != col.UNKNOWN, col.MACHINE]
    yield Fact("Machine", _listed(machines, "; ") or "not stated")
    found = qualities(frame)
    yield Fact("Joules", "; ".join(_QUALITIES.get(each, each) for each in found))
    yield Fact("Runs", _counts(runs))
    yield Fact("Spent in all", f"{joules(spent_joules)} ({watt_hours_text(spent_joules)})")
    origins = [
        f"{words} {str(frame[name].iloc[0])[:8]}"
        for name, words in _ORIGINS.items()
        if name in frame
        and frame[name].nunique(dropna=False) == 1
        and _HASH.fullmatch(str(frame[name].iloc[0]))  # and not an option of a loop's own
    ]
    if origins:
        yield Fact("Code and data", ", ".join(origins))


def _counts(runs: RunTable) -> str:
    ended = runs.frame[col.STATUS].value_counts()
    states = ", ".join(f"{count} {state}" for state, count in ended.items())
    total = f"{len(runs.frame)}: {states}" if len(ended) > 1 else states
    repeats = runs.frame.get("repeats", pd.Series(dtype=float))
    known = pd.to_numeric(repeats, errors="coerce").dropna()
    if known.empty:
        return total
    if known.max() <= 1:
        return f"{total}; each trained once"
    low, high = int(known.min()), int(known.max())
    return f"{total}; each the mean of {low if low == high else f'{low} to {high}'} trainings"


def _listed(values: "pd.Series[Any]", between: str = ", ") -> str:
    found = [str(each) for each in values.dropna().unique()]
    left = len(found) - _MOST_NAMED
    return between.join(found[:_MOST_NAMED]) + (f" and {left} more" if left > 0 else "")
