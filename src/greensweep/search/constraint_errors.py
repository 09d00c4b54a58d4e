"""What is wrong with the constraints of a search, found before anything is trained."""

import math
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from greensweep.errors import unknown
from greensweep.search.constraints import (
    METRIC_FIGURES,
    OPTION,
    SHORT_NAMES,
    figure_names,
    figure_of,
    parse_constraints,
)
from greensweep.search.planned_run import PlannedRun

# What is above 0 in every run.
_POSITIVE = {
    *("parameters", "epochs", "seconds", "joules", "spent_joules"),
    *("energy_joules", "energy_spent_joules", "energy_kwh", "inference.seconds_per_1000"),
}


# A name of a program's own metric is this much like one of ours at most, `mape` like `mae` say.
_MISSPELT = 0.9


def constraint_errors(constraints: Mapping[str, Any], run: PlannedRun | None) -> Iterator[str]:
    """Say of each constraint what is wrong with it, in a sentence.

    Args:
        constraints: by name, as the user gave them.
        run: as the present configuration plans it; None of a program of one's own, which may
            report metrics by any name: what it does not have shows at its first trial's end.
    """
    figures = figure_names()
    sound: dict[str, float] = {}
    for constraint, bound in constraints.items():
        side, _, name = constraint.partition("_")
        figure = figure_of(name)
        near = get_close_matches(name, [*figures, *SHORT_NAMES], 1, _MISSPELT)
        if side not in ("max", "min") or not name:
            yield (
                f"{OPTION} takes max_NAME or min_NAME and a number, got {constraint}: {bound}: "
                f"set '{OPTION}={{max_joules_per_run: 500}}', say"
            )
        elif figure not in figures and (run is not None or near):
            figures += [short for short, figure in SHORT_NAMES.items() if figure in figures]
            close = unknown("figure", name, figures)
            listed = f"no figure is called {name!r}: there are {', '.join(figures)}"
            yield f"{OPTION}: {close if 'did you mean' in close else listed}"
        elif isinstance(bound, bool) or not isinstance(bound, int | float):
            yield (
                f"{OPTION}: {constraint} must be a number, got {bound!r}: write "
                f"'{OPTION}={{{constraint}: 1}}', say"
            )
        elif fault := _range_fault(constraint, figure, bound, figure in figures):
            yield f"{OPTION}: {fault}"
        elif run is not None and (missing := run.missing(figure)) is not None:
            yield f"{OPTION}: these runs have no figure of {figure}: {missing}"
        else:
            sound[constraint] = float(bound)
    least = {each.figure: each for each in parse_constraints(sound) if not each.is_maximum}
    for most in parse_constraints(sound):
        low = least.get(most.figure)
        if most.is_maximum and low is not None and low.limit > most.limit:
            yield (
                f"{OPTION}: nothing keeps both {low.name}={low.limit:g} and "
                f"{most.name}={most.limit:g}: swap them"
            )


def _range_fault(constraint: str, figure: str, bound: float, is_known: bool) -> str | None:
    if not math.isfinite(bound):
        return f"{constraint} must be finite, got {bound}: leave it out where there is no bound"
    if not is_known:
        return None
    metric = METRIC_FIGURES.get(figure)
    is_share = figure.endswith(("accuracy", "_share")) or (metric is not None and metric.is_share)
    if is_share and not 0 <= bound <= 1:
        example = bound / 100 if 1 < bound <= 100 else 0.9
        return (
            f"{constraint} must be from 0 to 1, as {figure} is, got {bound:g}: "
            f"set {constraint}: {example:g}"
        )
    is_signed = figure == "energy_net_joules" or (metric is not None and metric.low < 0)
    if bound < 0 and not is_signed:
        return f"{constraint} must be at least 0, as {figure} is, got {bound:g}: set a larger one"
    if bound == 0 and constraint.startswith("max_") and figure in _POSITIVE:
        return f"no run keeps {constraint}=0, as {figure} is above that: set a larger one"
    return None
