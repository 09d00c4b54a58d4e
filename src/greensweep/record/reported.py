"""Metrics as a loop of one's own reports them: by name, with the split in it where it has one."""

from collections.abc import Iterable, Mapping
from math import isfinite
from typing import Any

from greensweep.config.metrics import Direction, metric_called
from greensweep.energy.notices import warn_once

_VALIDATION = ("validation", "valid", "val", "eval")
_MINIMIZED = ("loss", "error", "perplexity")

# What a program returns to its search, where it reports no metric that says it.
OBJECTIVE = "objective"


def split_of(name: str) -> tuple[str, str]:
    """Part a reported name into its split and its metric; what names no split is of validation.

    >>> split_of("val_loss"), split_of("macro_f1"), split_of("test_loss")
    (('validation', 'loss'), ('validation', 'macro_f1'), ('test', 'loss'))
    """
    split, _, metric = name.partition("_")
    if metric and split in _VALIDATION:
        return "validation", metric
    return (split, metric) if metric and split in ("train", "test") else ("validation", name)


def by_split(figures: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Part reported figures into those of validation, by metric, and the others, as reported."""
    parted = {name: split_of(name) for name in figures}
    own = {metric: figures[name] for name, (of, metric) in parted.items() if of == "validation"}
    return own, {name: figures[name] for name, (of, _) in parted.items() if of != "validation"}


def known_direction(name: str) -> Direction | None:
    """Return in which direction a metric is better, by its name; None where that does not tell.

    >>> known_direction("hinge_loss"), known_direction("top5_accuracy"), known_direction("margin")
    ('minimize', 'maximize', None)
    """
    if name.endswith(_MINIMIZED):
        return "minimize"
    known = metric_called(name)
    return known.direction if known else None


def choose_metric(names: Iterable[str], direction: Direction | None) -> str | None:
    """Return the metric that trials are compared by: accuracy where reported, else the first.

    Args:
        direction: of the search; a metric that is known to be better the other way is none of its.
    """
    fitting = [
        name for name in names if direction is None or known_direction(name) in (None, direction)
    ]
    return "accuracy" if "accuracy" in fitting else next(iter(fitting), None)


def as_number(name: str, value: Any) -> float | None:
    """Return a reported figure as a number; None of one that is undefined, or is no number."""
    try:
        number = float(value) if not isinstance(value, str) else None
    except (TypeError, ValueError):
        number = None
    if number is None:
        if value is not None:
            warn_once(f"{name}={value!r} is no number, and left out of the record.")
        return None
    return number if isfinite(number) else None
