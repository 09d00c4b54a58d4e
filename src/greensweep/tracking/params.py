"""Nested data under dotted names, as MLflow shows params."""

from collections.abc import Mapping
from typing import Any


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


def flat(config: Mapping[str, Any]) -> dict[str, str]:
    """Return nested plain data as dotted names and text."""
    return {name: str(value) for name, value in dotted(config).items()}
