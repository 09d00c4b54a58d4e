"""Nested dataclasses as plain data, each way, and plain data by dotted names."""

from collections.abc import Callable, Mapping
from dataclasses import is_dataclass
from functools import cache, partial
from types import NoneType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

T = TypeVar("T")

# Kept: types do not change, and the ledger of metered runs is read in each lap.
_fields: Callable[[Any], dict[str, Any]] = cache(get_type_hints)


def to_json(value: Any) -> Any:
    """Return plain data, by the names of fields; a class may do it by its own `to_json`.

    A dataclass that is not there, None, is an empty mapping.
    """
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
    return sorted(value) if isinstance(value, frozenset) else value


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
    there = {name: each for name, each in _readers(kind).items() if name in values}
    if values and not there:
        raise TypeError(f"{kind.__name__} has none of {', '.join(values)}")
    return kind(
        **{name: read(values[name]) if read else values[name] for name, read in there.items()}
    )


@cache  # types do not change
def _reader(kind: Any) -> Callable[[Any], Any] | None:
    """Return what reads a field of some type; None of plain values, which are not looked at."""
    if isinstance(kind, type):
        if issubclass(kind, tuple):  # a NamedTuple, of whichever version
            return lambda value: kind(*value[: len(_fields(kind))])
        return partial(from_json, kind) if is_dataclass(kind) else None
    if inner := _optional(kind):
        return lambda value: from_json(inner, value) if value else None
    origin, parts = get_origin(kind), get_args(kind)
    if origin in (Mapping, dict):
        return partial(_read_mapping, parts[1])
    return partial(_read_list, origin, parts[0]) if origin in (tuple, list, frozenset) else None


_readers: Callable[[Any], dict[str, Callable[[Any], Any] | None]] = cache(
    lambda kind: {name: _reader(each) for name, each in _fields(kind).items()}
)


def _read_mapping(kind: Any, value: Any) -> Any:
    if not isinstance(value, Mapping):
        raise TypeError(f"{value!r} stands where names and values were expected")
    read = _reader(kind)
    there = {name: each for name, each in value.items() if each or not is_dataclass(kind)}
    return {name: read(each) for name, each in there.items()} if read else there


def _read_list(origin: Any, kind: Any, value: Any) -> Any:
    if not isinstance(value, list):
        raise TypeError(f"{value!r} stands where a list was expected")
    read = _reader(kind)
    return origin(map(read, value) if read else value)


@cache  # types do not change
def _optional(kind: Any) -> type | None:
    """Return the dataclass of one that may be None; None for any other type."""
    parts = get_args(kind)
    inner = parts[0] if NoneType in parts else None
    return inner if isinstance(inner, type) and is_dataclass(inner) else None


def dotted(nested: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested plain data by dotted names; an empty mapping is a value.

    >>> dotted({"inference": {"seconds": 1.0}, "kwargs": {}})
    {'inference.seconds': 1.0, 'kwargs': {}}
    """
    found: dict[str, Any] = {}
    for name, value in nested.items():
        if isinstance(value, Mapping) and value:
            found |= dotted(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = value
    return found
