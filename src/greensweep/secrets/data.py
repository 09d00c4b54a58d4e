"""Nested plain data, and texts, without their secrets."""

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from greensweep.secrets.known import MASK, forget_values, know, mask_known, mask_of
from greensweep.secrets.names import is_harmless, is_secret_name
from greensweep.secrets.texts import mask_forms

_VALUES = re.compile(r"[^\s,()\[\]{}'\"]+")
_DRAWN = re.compile(r"(?=.*[A-Za-z])(?=.*\d)\S{8,}")
_WORDS = re.compile(r"[A-Za-z]+(?:[_.-][A-Za-z]+)*[_.-]?\d{0,4}")
_DIRECTORIES = ("PWD", "OLDPWD")

_by_name: dict[str, Any] = {}  # the secrets of this process's configuration, by dotted name


def mask_text(text: str, *, restorable: bool = False) -> str:
    """Replace what is known to be secret in a text, and what has the form of a secret.

    >>> mask_text("postgresql://ada:s3cret@db/study")
    'postgresql://ada:***@db/study'
    >>> mask_text("host=db user=ada password=s3cret sslmode=require")
    'host=db user=ada password=*** sslmode=require'
    """
    return mask_forms(mask_known(text, restorable=restorable))


def mask_override(text: str) -> str:
    """Return an override of a command line without secrets.

    >>> mask_override("+model.kwargs.api_key=choice(a,b)"), mask_override("seed=1")
    ('+model.kwargs.api_key=***', 'seed=1')
    """
    name, separator, value = text.partition("=")
    if separator and is_secret_name(name) and not is_harmless(value):
        return f"{name}={MASK}"
    return mask_text(text)


def masked(data: Any, name: str = "", *, restorable: bool = False) -> Any:
    """Return nested plain data, which stands under a dotted name, without secrets.

    Args:
        restorable: as of `mask_of`.
    """
    if isinstance(data, Mapping):
        return {
            _shown(key, name): masked(value, f"{name}.{key}", restorable=restorable)
            for key, value in data.items()
        }
    if isinstance(data, list | tuple):
        return [masked(value, each, restorable=restorable) for each, value in _listed(data, name)]
    if not isinstance(data, str | int | bytes) or isinstance(data, bool):
        return data
    if name and is_secret_name(name) and not is_harmless(data):
        return mask_of(str(data), restorable=restorable)
    return mask_text(data, restorable=restorable) if isinstance(data, str) else data


def forget() -> None:
    """Forget all secrets: those of an earlier command in this process."""
    forget_values()
    _by_name.clear()


def learn(data: Any) -> None:
    """Know the secrets in nested plain data from now on, and under which names they stand."""
    leaves = [
        (each, value)
        for each, value in _leaves(data, "")
        if not (isinstance(value, str) and "${" in value)  # not resolved yet
    ]
    for each, value in leaves:
        if is_secret_name(each) and not is_harmless(value):
            know(str(value))
        elif isinstance(value, str):
            mask_forms(value, know)
    # A value that is known by one name may stand under others, too.
    _by_name.update({each: value for each, value in leaves if masked(value, each) != value})


def learn_overrides(overrides: Iterable[str]) -> None:
    """Know the secrets of a command line from now on."""
    for text in overrides:
        name, _, value = text.partition("=")
        if is_secret_name(name) and "${" not in value:
            for each in [value, *_VALUES.findall(value)]:
                if not is_harmless(each):
                    know(each.strip("'\""))
        mask_forms(text, know)


def learn_environment() -> None:
    """Know the secrets of the environment from now on."""
    for name, value in os.environ.items():
        if is_secret_name(name) and name not in _DIRECTORIES and not is_harmless(value):
            know(value, name)
        mask_forms(value, know)


def restored(data: Any, name: str = "") -> Any:
    """Return masked data with those secrets that this process's own configuration holds."""
    if isinstance(data, Mapping):
        return {key: restored(value, f"{name}.{key}".lstrip(".")) for key, value in data.items()}
    if isinstance(data, list):
        return [restored(value, each) for each, value in _listed(data, name)]
    known = _by_name.get(name)
    return known if isinstance(data, str) and MASK in data and masked(known, name) == data else data


def has_secrets(data: Any, name: str) -> bool:
    """Tell whether nested plain data, which stands under this name, holds a secret."""
    return any(masked(value, each) != value for each, value in _leaves(data, name))


def still_masked(data: Any) -> list[str]:
    """Return the dotted names of what is masked in nested data."""
    return [each for each, value in _leaves(data, "") if isinstance(value, str) and MASK in value]


def _shown(key: Any, name: str) -> Any:
    return MASK if _is_secret_key(key, name) else mask_text(key) if isinstance(key, str) else key


def _is_secret_key(key: Any, name: str) -> bool:
    """Tell whether a key of a mapping that stands under a secret name is drawn, as tokens are."""
    is_drawn = isinstance(key, str) and _DRAWN.fullmatch(key) and not _WORDS.fullmatch(key)
    return bool(is_drawn) and is_secret_name(name)


def _leaves(data: Any, name: str) -> Iterator[tuple[str, Any]]:
    if isinstance(data, Mapping):
        for key, value in data.items():
            if _is_secret_key(key, name) or MASK in str(key):
                yield name, key
            yield from _leaves(value, f"{name}.{key}".lstrip("."))
    elif isinstance(data, list | tuple):
        for each, value in _listed(data, name):
            yield from _leaves(value, each)
    else:
        yield name, data


def _listed(data: Sequence[Any], name: str) -> Iterator[tuple[str, Any]]:
    """Yield the values of a list with their names: places, and flags as in `[--password, PW]`."""
    for place, (before, value) in enumerate(zip(["", *data], data, strict=False)):
        is_flag = isinstance(before, str) and before.startswith("--") and "=" not in before
        yield f"{name}.{place}{f'.{before[2:]}' if is_flag else ''}", value
