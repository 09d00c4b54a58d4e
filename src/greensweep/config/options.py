"""Options that carry their rule: it stands where the option is declared, and is checked once."""

import math
from collections.abc import Callable, Iterator
from dataclasses import MISSING, Field, field, fields, is_dataclass
from itertools import chain
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

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
    must: tuple[str, Callable[[Any], Any]] | None = None,
    example: Any = None,
    path: bool = False,
) -> Any:
    """Declare a dataclass field with its default, its description and its range.

    A callable default is a factory. `largest` is no end of the range, but more than any machine can
    do, and shown only to who asks for it; every whole number has one. `must` says what a value has
    to be, and tells whether it is. `example` is a value that the error message proposes, instead of
    the default. A `path` is meant from the folder of the command.
    """
    bounds = {"above": above, "at_least": at_least, "below": below, "at_most": at_most}
    metadata = {
        "doc": doc,
        "bounds": {name: bound for name, bound in bounds.items() if bound is not None},
        "largest": largest,
        "must": must,
        "example": example,
        "path": path,
    }
    if default is MISSING:
        return field(metadata=metadata)
    if callable(default):
        return field(default_factory=default, metadata=metadata)
    return field(default=default, metadata=metadata)


def option_faults(config: Any, prefix: str = "") -> Iterator[str]:
    """Yield one sentence per option of a (nested) config dataclass that breaks its rule.

    What several options of a class say together, its own `faults(prefix)` checks.
    """
    types = get_type_hints(type(config))
    for declared in fields(config):
        value = getattr(config, declared.name)
        key = f"{prefix}{declared.name}"
        must = declared.metadata.get("must")
        choices = literals_of(types[declared.name])
        if choices and value not in choices:  # OmegaConf 2.4 would have refused it
            yield f"{key} must be {' or '.join(map(_shown, choices))}, got {value}"
        if must is not None and not must[1](value):
            yield _sentence(key, value, must[0], declared)
        elif is_dataclass(value) and not isinstance(value, type):
            yield from option_faults(value, prefix=f"{key}.")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield from _range_faults(key, value, declared)
    if hasattr(config, "faults"):
        yield from config.faults(prefix)


def literals_of(hint: Any) -> tuple[Any, ...]:
    """Return the values that a `Literal`, or one or None, allows; none of other types."""
    if get_origin(hint) is Literal:
        return get_args(hint)
    parts = [(None,) if each is NoneType else literals_of(each) for each in get_args(hint)]
    return tuple(chain(*parts)) if all(parts) else ()


def _range_faults(key: str, value: float, declared: Field[Any]) -> Iterator[str]:
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
        yield _sentence(key, value, " and ".join(rules), declared)


def _sentence(key: str, value: Any, rule: str, declared: Field[Any]) -> str:
    example = declared.metadata.get("example")
    example = declared.default if example is None else example
    return f"{key} must be {rule}, got {_shown(value)}: set {key}={_shown(example)}"


def _shown(value: Any) -> str:
    if value in (None, ""):
        return "null" if value is None else "''"
    return f"{value:g}" if isinstance(value, float) else str(value)
