"""Options that carry their rule: a range stands where the option is declared, checked once."""

import math
from collections.abc import Iterator
from dataclasses import MISSING, Field, field, fields, is_dataclass
from typing import Any

_RULES = {
    "above": ("above", lambda value, bound: value > bound),
    "at_least": ("at least", lambda value, bound: value >= bound),
    "below": ("below", lambda value, bound: value < bound),
    "at_most": ("at most", lambda value, bound: value <= bound),
}
# Of a whole number without a limit of its own: what counts and indices of libraries hold.
_LARGEST = 10**9


def option(
    default: Any = MISSING,
    *,
    doc: str,
    above: float | None = None,
    at_least: float | None = None,
    below: float | None = None,
    at_most: float | None = None,
    largest: float | None = None,
    example: Any = None,
    path: bool = False,
) -> Any:
    """Declare a dataclass field with its default, its description and its range.

    A callable default is a factory. `largest` is no end of the range, but more than any machine can
    do, and shown only to who asks for it; every whole number has one. `example` is a value that the
    error message proposes; the default is proposed without it. A `path` is meant from the folder
    of the command.
    """
    bounds = {"above": above, "at_least": at_least, "below": below, "at_most": at_most}
    metadata = {
        "doc": doc,
        "bounds": {name: bound for name, bound in bounds.items() if bound is not None},
        "largest": largest,
        "example": example,
        "path": path,
    }
    if default is MISSING:
        return field(metadata=metadata)
    if callable(default):
        return field(default_factory=default, metadata=metadata)
    return field(default=default, metadata=metadata)


def range_faults(config: Any, prefix: str = "") -> Iterator[str]:
    """Yield one sentence per option of a (nested) config dataclass that is out of its range."""
    for declared in fields(config):
        value = getattr(config, declared.name)
        key = f"{prefix}{declared.name}"
        if is_dataclass(value) and not isinstance(value, type):
            yield from range_faults(value, prefix=f"{key}.")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield from _value_faults(key, value, declared)


def _value_faults(key: str, value: float, declared: Field[Any]) -> Iterator[str]:
    bounds = declared.metadata.get("bounds", {})
    rules = [f"{_RULES[name][0]} {_shown(bound)}" for name, bound in bounds.items()]
    kept = all(_RULES[name][1](value, bound) for name, bound in bounds.items())
    largest = declared.metadata.get("largest")
    if largest is None and isinstance(value, int) and "at_most" not in bounds:
        largest = _LARGEST
    if largest is not None and largest < value < math.inf:
        rules, kept = [f"at most {_shown(largest)}"], False
    elif not math.isfinite(value):
        rules, kept = ["finite", *rules], False
    if not kept:
        example = declared.metadata.get("example")
        if example is None:
            example = declared.default
        rule = " and ".join(rules)
        yield f"{key} must be {rule}, got {_shown(value)}: set {key}={_shown(example)}"


def _shown(value: Any) -> str:
    return "null" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
