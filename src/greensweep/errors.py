"""Errors that a user can mend. Each message is one sentence: the rule, the value, the way out."""

from collections.abc import Iterable
from difflib import get_close_matches


class GreensweepError(Exception):
    """A fault with a one-sentence message for people; commands end with exit status 1 on it."""


class ConfigError(GreensweepError):
    """The configuration asks for something impossible."""


class DataError(GreensweepError):
    """A data set is missing, broken or does not fit."""


class ModelError(GreensweepError):
    """A network cannot be built or does not fit the data."""


class TrainingError(GreensweepError):
    """Training broke off: diverged, out of memory, or the model's own code failed."""


class EnergyError(GreensweepError):
    """Energy or emissions cannot be given as asked."""


class TrackingError(GreensweepError):
    """Results cannot be recorded or sent."""


class StudyError(GreensweepError):
    """A sweep cannot be run or summarised."""


def unknown(kind: str, name: str, options: Iterable[str]) -> str:
    """Say that `name` is no `kind`, with the closest of the `options` (or all, when few).

    >>> unknown("optimizer", "adm", ["adam", "sgd"])
    "no optimizer is called 'adm': did you mean adam?"
    """
    options = sorted(options)
    close = get_close_matches(name, options, n=3, cutoff=0.5)
    if close:
        return f"no {kind} is called {name!r}: did you mean {' or '.join(close)}?"
    if len(options) <= 12:
        return f"no {kind} is called {name!r}: there are {', '.join(options)}"
    return f"no {kind} is called {name!r}, nor anything close to it"


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text, or its type's name when it has none."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
