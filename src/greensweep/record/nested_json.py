"""Nested frozen dataclasses as JSON, each way: names and nesting are those of the fields.

A dataclass that is not there, None, is an empty mapping.
"""

from collections.abc import Callable, Mapping
from dataclasses import is_dataclass
from functools import cache
from types import NoneType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

T = TypeVar("T")

_fields: Callable[[Any], dict[str, Any]] = cache(get_type_hints)


def to_json(value: Any) -> Any:
    """Return plain data; a class may do it by its own `to_json`."""
    if hasattr(value, "to_json"):
        return value.to_json()
    if is_dataclass(value):
        kinds = _fields(type(value))
        found = {name: to_json(getattr(value, name)) for name in kinds}
        absent = (name for name, each in found.items() if each is None and _optional(kinds[name]))
        return found | {name: {} for name in absent}
    if isinstance(value, Mapping):
        return {name: to_json(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(each) for each in value]
    return value


def from_json(kind: type[T], values: Any) -> T:
    """Read plain data into a dataclass, or by the class's own `from_json`.

    What the class does not know is left out, and what the data lack has its default.

    Raises:
        TypeError: the data are of another form, or lack what has no default.
    """
    if not isinstance(values, Mapping):
        raise TypeError(f"{values!r} stands where {kind.__name__} was expected")
    read = getattr(kind, "from_json", None)
    if read is not None:
        return read(values)  # type: ignore[no-any-return]
    kinds = _fields(kind)
    return kind(**{name: _read(kinds[name], values[name]) for name in kinds if name in values})


def _read(kind: Any, value: Any) -> Any:
    """Read what a field of some type holds; plain values are not looked at."""
    if isinstance(kind, type):
        return from_json(kind, value) if is_dataclass(kind) else value
    if inner := _optional(kind):
        return from_json(inner, value) if value else None
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Mapping:
        if not isinstance(value, Mapping):
            raise TypeError(f"{value!r} stands where names and values were expected")
        there = {name: each for name, each in value.items() if each or not is_dataclass(parts[1])}
        return {name: _read(parts[1], each) for name, each in there.items()}
    if origin is tuple:
        if not isinstance(value, list):
            raise TypeError(f"{value!r} stands where a list was expected")
        return tuple(_read(parts[0], each) for each in value)
    return value


@cache  # types do not change
def _optional(kind: Any) -> type | None:
    """Return the dataclass of one that may be None; None for any other type."""
    parts = get_args(kind)
    inner = parts[0] if NoneType in parts else None
    return inner if isinstance(inner, type) and is_dataclass(inner) else None
