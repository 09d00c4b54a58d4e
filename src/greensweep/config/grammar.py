"""Values in Hydra's override grammar, the part after `=`: written so that they are read back."""

import math
import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import (
    ChoiceSweep,
    IntervalSweep,
    Override,
    Quote,
    QuotedString,
    RangeSweep,
    Transformer,
)
from hydra.errors import HydraException

from greensweep.config.hydra_internals import let_choices_be_null
from greensweep.errors import ConfigError

_PLAIN = re.compile(r"[A-Za-z0-9_./-]+")
_SPECIAL = re.compile(r"[\\()\[\]{}:=, \t]")  # to be escaped where no quotes are
_INTERPOLATION = re.compile(r"(\\*)\$\{")

# Begins what Optuna keeps of a choice that it has no type for; Hydra's text follows.
_WRITTEN = "="


def as_override(value: Any) -> str:
    """Return a value as Hydra's grammar writes it, with its type: text in quotes where needed.

    Raises:
        ConfigError: the grammar cannot write it.
    """
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return repr(value)
        case QuotedString():
            return value.with_quotes()
        case str():
            return value if _is_plain(value) else QuotedString(value, Quote.single).with_quotes()
        case Mapping():
            pairs = (f"{_key(key)}:{as_override(each)}" for key, each in value.items())
            return f"{{{','.join(pairs)}}}"
        case Sequence() if not isinstance(value, bytes | bytearray):
            return f"[{','.join(map(as_override, value))}]"
    raise ConfigError(
        f"no option can be set to {value!r}, which is neither text, number, true, false, null, "
        "list nor mapping: write it as one of these"
    )


def read_value(text: str) -> Any:
    """Return the value that Hydra's grammar reads in a text.

    Raises:
        ConfigError: it is none, or several.
    """
    try:
        override = OverridesParser.create().parse_override(f"key={text}")
    except HydraException as error:
        raise ConfigError(f"{text} is no value in Hydra's grammar: put it in quotes") from error
    if override.is_sweep_override():
        raise ConfigError(f"{text} is several values in Hydra's grammar: put it in quotes")
    return override.value()


def choices_of(override: Override) -> list[Any]:
    """Return the values of a choice, in the order that they were given in."""
    values = override.value()
    # Not by the iterator: a shuffled choice differs each time.
    each = values.list if isinstance(values, ChoiceSweep) else override.sweep_iterator()
    return [_unquoted(value) for value in each]


def ends_of(override: Override) -> list[Any]:
    """Return the values of a choice, or the least and the most of a range."""
    value = override.value()
    if isinstance(value, IntervalSweep):
        return [value.start, value.end]
    if isinstance(value, RangeSweep):
        whole = value.range()
        numbers = whole if isinstance(whole, range) else list(value)  # which may be long
        return [*numbers[:1], *numbers[1:][-1:]]
    return choices_of(override)


def escape_interpolations(value: Any) -> Any:
    """Return a resolved value so that composing takes no text in it for an interpolation."""
    if isinstance(value, str):
        return _INTERPOLATION.sub(r"\1\1\\${", value)
    if isinstance(value, Mapping):
        return {
            escape_interpolations(key): escape_interpolations(each) for key, each in value.items()
        }
    if isinstance(value, list | tuple):
        return [escape_interpolations(each) for each in value]
    return value


def kept_choices(values: Sequence[Any]) -> list[bool | int | float | str | None]:
    """Return choices as Optuna keeps them: each once, and no two of them equal.

    It has no lists and mappings, and takes true, 1 and 1.0 for the same. Such a choice is kept as
    the end of its override, `=[1,2]`, which `read_kept` and `kept_as_override` know.
    """
    values = list({as_override(value): value for value in values}.values())
    return [
        value
        if isinstance(value, str | None | bool | int | float)
        and not (isinstance(value, str) and value.startswith(_WRITTEN))
        and not (isinstance(value, float) and not math.isfinite(value))
        and sum(value == other for other in values) == 1
        else f"{_WRITTEN}{as_override(value)}"
        for value in values
    ]


def kept_choice(kept: Sequence[Any], value: Any) -> Any:
    """Return which of the kept choices a value is; what is none of them, where it is none."""
    text = as_override(value)
    texts = {kept_as_override(each): each for each in kept}
    if text in texts:
        return texts[text]
    # A float option has 1.0 where its choices say 1.
    numbers = [each for each in kept if _is_number(each) and _is_number(value) and each == value]
    return numbers[0] if numbers else f"{_WRITTEN}{text}"


def kept_as_override(kept: Any) -> str:
    """Return what Optuna keeps of a value as Hydra's grammar writes it."""
    if isinstance(kept, str) and kept.startswith(_WRITTEN):
        return kept.removeprefix(_WRITTEN)
    return as_override(kept)


def read_kept(kept: Any) -> Any:
    """Return the value that Optuna keeps."""
    if isinstance(kept, str) and kept.startswith(_WRITTEN):
        return read_value(kept.removeprefix(_WRITTEN))
    return kept


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _key(key: Any) -> str:
    """Return a mapping's key, which the grammar cannot quote."""
    text = "null" if key is None else _SPECIAL.sub(r"\\\g<0>", str(key))
    try:
        read = list(read_value(f"{{{text}:0}}"))
    except ConfigError:
        read = []
    if read != [key] or type(read[0]) is not type(key):
        raise ConfigError(
            f"no option can be set to a mapping with the key {key!r}, which Hydra's grammar "
            "cannot write: give another key"
        )
    return text


@cache  # a grammar does not change
def _is_plain(text: str) -> bool:
    """Tell whether Hydra's grammar reads a text without quotes as that text, wherever it stands."""
    return bool(_PLAIN.fullmatch(text)) and isinstance(read_value(text), str)


def _unquoted(value: Any) -> Any:
    """Return a parsed value without the quotes that a text in it stood in."""
    match value:
        case QuotedString():
            return value.text
        case list():
            return [_unquoted(each) for each in value]
        case dict():
            return {_unquoted(key): _unquoted(each) for key, each in value.items()}
    return value


let_choices_be_null()
# Hydra's functions take off the quotes that keep a text a text, so that the stock sweepers set
# 'true' as true and take 'a,b' for two.
Transformer.str = staticmethod(as_override)  # type: ignore[method-assign, assignment]
Transformer.encode = staticmethod(  # type: ignore[method-assign, assignment]
    lambda value: value if isinstance(value, int | float) else as_override(value)
)
