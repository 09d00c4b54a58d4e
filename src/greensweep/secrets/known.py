"""Values once known to be secret: they are masked wherever they turn up, in whatever writing."""

import json
import os
import re
from functools import lru_cache
from urllib.parse import quote, quote_plus, unquote

MASK = "***"

# Shorter ones, and words that the program itself writes, would make texts unreadable.
_LEAST = 6
_LEAST_DIGITS = 8
_ORDINARY = frozenset(
    {
        "admin", "cifar10", "default", "digits", "greensweep", "localhost", "mlflow", "mysql",
        "optuna", "passphrase", "password", "postgres", "random", "secret", "sqlite", "string",
    }
)  # fmt: skip

_known: dict[str, str | None] = {}  # to the environment variable that holds it, if one does


def know(value: str, variable: str | None = None) -> None:
    """Mask this value from now on, which an environment variable may hold."""
    value = value.strip()
    least = _LEAST_DIGITS if value.isdigit() else _LEAST
    if len(value) < least or value.lower() in _ORDINARY or _known.get(value):
        return
    if os.path.exists(value):  # noqa: PTH110 - the file that holds a secret is none
        return
    _known[value] = variable


def forget_values() -> None:
    """Forget all values."""
    _known.clear()


def mask_of(value: str, *, restorable: bool = False) -> str:
    """Return what stands for a secret: `MASK`.

    Args:
        restorable: instead, refer to the environment variable that holds it, where one does, as
            OmegaConf reads it: `${oc.env:DB_PASSWORD}`.
    """
    variable = _known.get(value) if restorable else None
    return f"${{oc.env:{variable}}}" if variable else MASK


def mask_known(text: str, *, restorable: bool = False) -> str:
    """Replace every known value in a text by `mask_of` it."""
    if not _known:
        return text
    pattern = _pattern(tuple(_known))
    return pattern.sub(lambda found: mask_of(found[0], restorable=restorable), text)


@lru_cache(maxsize=1)  # until another value is known
def _pattern(values: tuple[str, ...]) -> re.Pattern[str]:
    written = {each for value in values for each in _writings(value)}
    return re.compile("|".join(map(_whole, sorted(written, key=len, reverse=True))))


def _writings(value: str) -> set[str]:
    """Return a value as URLs, JSON, YAML and Python write it, and decoded."""
    plain = {value, unquote(value)}
    written = set(plain)
    for each in plain:
        written |= {quote(each, safe=""), quote(each), quote_plus(each)}
        written |= {json.dumps(each)[1:-1], json.dumps(each, ensure_ascii=False)[1:-1]}
        written |= {repr(each)[1:-1], each.replace("'", "''"), each.replace("'", "\\'")}
    return {each for each in written if len(each) >= _LEAST}


def _whole(value: str) -> str:
    """Return the pattern of a value; of one that looks like a word or a number, whole ones."""
    escaped = re.escape(value)
    if value.isdigit() or (value.isalpha() and value in (value.lower(), value.capitalize())):
        return rf"(?<![A-Za-z0-9]){escaped}(?![A-Za-z0-9])"
    return escaped
