"""What is wrong with the constraints of a search, told before anything is trained."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from greensweep.config import TrainConfig
from greensweep.errors import unknown
from greensweep.search.constraints import OPTION, SHORT_NAMES, bounds_of, figure_names

# What is above 0 in every run.
_POSITIVE = {
    *("parameters", "epochs", "seconds", "joules", "spent_joules"),
    *("energy_joules", "energy_spent_joules", "energy_kwh", "inference.seconds_per_1000"),
}


def constraint_faults(
    constraints: Mapping[str, Any], run: TrainConfig | None, *, has_results: bool
) -> Iterator[str]:
    """Say of each constraint what is wrong with it, in a sentence.

    Args:
        constraints: by name, as the user gave them.
        run: the present configuration; None of a program other than ours.
        has_results: each trial leaves a `result.json`, whose figures count too.
    """
    figures = figure_names(has_results=has_results)
    sound: dict[str, float] = {}
    for constraint, bound in constraints.items():
        side, _, name = constraint.partition("_")
        figure = SHORT_NAMES.get(name, name)
        if side not in ("max", "min") or not name:
            yield (
                f"{OPTION} takes max_NAME or min_NAME and a number, got {constraint}: {bound}: "
                f"set '{OPTION}={{max_joules_per_run: 500}}', say"
            )
        elif figure not in figures:
            figures += [short for short, figure in SHORT_NAMES.items() if figure in figures]
            close = unknown("figure", name, figures)
            listed = f"no figure is called {name!r}: there are {', '.join(figures)}"
            yield f"{OPTION}: {close if 'did you mean' in close else listed}"
        elif isinstance(bound, bool) or not isinstance(bound, int | float):
            yield (
                f"{OPTION}: {constraint} must be a number, got {bound!r}: write "
                f"'{OPTION}={{{constraint}: 1}}', say"
            )
        elif fault := _range_fault(constraint, figure, bound) or _missing(figure, run):
            yield f"{OPTION}: {fault}"
        else:
            sound[constraint] = float(bound)
    least = {each.figure: each for each in bounds_of(sound) if not each.is_maximum}
    for most in bounds_of(sound):
        low = least.get(most.figure)
        if most.is_maximum and low is not None and low.limit > most.limit:
            yield (
                f"{OPTION}: nothing keeps both {low.constraint}={low.limit:g} and "
                f"{most.constraint}={most.limit:g}: swap them"
            )


def _range_fault(constraint: str, figure: str, bound: float) -> str | None:
    if not math.isfinite(bound):
        return f"{constraint} must be finite, got {bound}: leave it out where there is no bound"
    if figure.endswith(("accuracy", "_share")) and not 0 <= bound <= 1:
        example = bound / 100 if 1 < bound <= 100 else 0.9
        return (
            f"{constraint} must be from 0 to 1, as {figure} is, got {bound:g}: "
            f"set {constraint}: {example:g}"
        )
    if bound < 0 and figure != "energy_net_joules":
        return f"{constraint} must be at least 0, as {figure} is, got {bound:g}: set a larger one"
    if bound == 0 and constraint.startswith("max_") and figure in _POSITIVE:
        return f"no run keeps {constraint}=0, as {figure} is above that: set a larger one"
    return None


def _missing(figure: str, run: TrainConfig | None) -> str | None:
    """Say why no run of this configuration has a figure; None where it has, or may have, one."""
    if run is None:
        return None
    replayed = run.replay is not None
    energy, way = run.energy, None
    if replayed and figure.startswith(("inference.", "parameters", "trainable", "flops")):
        way = "train instead of training=replay"
    elif figure.startswith("inference.") and run.inference.seconds == 0:
        way = "set inference.seconds=0.1"
    elif figure.startswith("spread.") and run.repeats == 1:
        way = "set repeats=3"
    elif figure == "energy_net_joules" and (
        replayed or getattr(energy, "baseline", "none") != "measure"
    ):
        way = "set energy.baseline=measure"
    elif figure == "emissions_kg" and energy.country is None and energy.grams_co2e_per_kwh is None:
        way = "set energy.country=NLD, say"
    elif "test_accuracy" in figure and run.select_on != "test":
        way = "bound validation_accuracy, since a search does not see the test split"
    elif replayed and run.select_on == "test" and figure == "validation_accuracy":
        way = "bound test_accuracy"
    return None if way is None else f"these runs have no figure of {figure}: {way}"
