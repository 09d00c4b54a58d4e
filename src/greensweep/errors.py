"""Errors that a user can mend. Each message is one sentence: the rule, the value, the way out."""

import math
import re
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from functools import partial
from typing import Any, Literal

# Which extra of the package brings what is imported only where it is needed.
_EXTRAS = {
    "torch": "train",
    "torchvision": "train",
    "timm": "train",
    "PIL": "train",
    "mlflow": "mlflow",
    "requests": "mlflow",
    "matplotlib": "report",
    "jinja2": "report",
    "pyarrow": "parquet",
    "ruamel": "dvc",
    "psycopg": "postgresql",
    "psycopg2": "postgresql",
    "pymysql": "mysql",
    "ray": "ray",
    "submitit": "slurm",
    "hydra/sweeper=optuna": "optuna",
    "hydra/launcher=joblib": "train",
    "hydra/launcher=ray": "ray",
    "hydra/launcher=submitit_local": "slurm",
    "hydra/launcher=submitit_slurm": "slurm",
}
_MOST_WRITTEN_OUT = 1e9

# Of terminals (ECMA-48): colours and the like, titles, and what else is no text.
_CODES = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|.)|[\0-\x08\x0e-\x1f\x7f]"
)


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


class SeveralObjectivesError(StudyError, ValueError):
    """A strategy of one objective is to seek several; a `ValueError`, as of Optuna's samplers."""


class StorageLost(StudyError):
    """The storage of a study is away, or failed: what was measured is in the trials' folders."""


class ConstraintError(StudyError):
    """A budget or constraint cannot be kept to, or no trial can run, which ends the search."""


class MissingFigure(ConstraintError):
    """A trial has no figure that is searched for or bounded: the search ends where no other had."""


class ProcessLost(StudyError):
    """What ran a trial ended without a word: its process died, for want of memory, say."""


class MachineLost(ProcessLost):
    """What ran a trial was lost with its machine, which is no fault of the trial."""


class CommandError(GreensweepError):
    """A command cannot be started, or did not end well.

    Attributes:
        status: that it ended with, as a shell tells it: 128 + N of one that signal N killed.
    """

    def __init__(self, reason: str, status: int) -> None:
        super().__init__(reason)
        self.status = status

    def __reduce__(self) -> tuple[Any, ...]:
        return CommandError, (str(self), self.status)


class AnalysisError(GreensweepError):
    """A table of runs cannot be read, or does not answer what is asked."""


class TrialEnded(BaseException):
    """A search ends one of its runs early, which is no fault of the run.

    No `Exception`, as asyncio's `CancelledError` is none: it passes a program's `except Exception`.

    >>> try:
    ...     raise TrialEnded("pruned", "behind the median of epoch 3")
    ... except TrialEnded as ended:
    ...     print(f"{ended.status}: {ended}")
    pruned: behind the median of epoch 3

    Attributes:
        status: pruned: it will not be among the best. stopped: the sweep ends.
        interrupted: it was stopped from outside, and may run again later.
    """

    def __init__(
        self, status: Literal["pruned", "stopped"], reason: str, *, interrupted: bool = False
    ) -> None:
        super().__init__(reason)
        self.status: Literal["pruned", "stopped"] = status
        self.interrupted = interrupted

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(TrialEnded, interrupted=self.interrupted), (self.status, str(self))


def not_installed(needed: str | None) -> str | None:
    """Say how to install a module, or a plugin of Hydra's; None of what no extra brings.

    >>> not_installed("torch.nn")
    "torch is not installed: pip install 'greensweep[train]'"
    """
    command = install_command(needed)
    return f"{_top(needed)} is not installed: {command}" if command else None


def install_command(needed: str | None) -> str | None:
    """Return the command that installs what an extra of ours brings; None of anything else."""
    extra = _EXTRAS.get(_top(needed))
    return f"pip install 'greensweep[{extra}]'" if extra else None


def _top(needed: str | None) -> str:
    text = needed or ""
    return text if "=" in text else text.partition(".")[0]


def unknown(kind: str, name: str, options: Iterable[str]) -> str:
    """Say that `name` is no `kind`, with the closest of the `options` (or all, when few).

    >>> unknown("optimizer", "adm", ["adam", "sgd"])
    "no optimizer is called 'adm': did you mean adam?"
    """
    options = sorted(options)
    said = f"no {kind} is called {name!r}"
    if close := get_close_matches(name, options, n=3, cutoff=0.5):
        return f"{said}: did you mean {' or '.join(close)}?"
    if len(options) <= 12:
        return f"{said}: there are {', '.join(options)}"
    return f"{said}, nor anything close to it"


def listed(names: Iterable[object], most: int = 8) -> str:
    """Return the first of some names for a sentence, with … where there are more.

    >>> listed([0, 5, 9]), listed("abcd", most=2)
    ('0, 5, 9', 'a, b, …')
    """
    shown = [str(name) for name in names]
    return ", ".join([*shown[:most], *(["…"] if len(shown) > most else [])])


def plural(count: int, noun: str) -> str:
    """Return a number of things for a sentence.

    >>> plural(1, "run"), plural(3, "run")
    ('1 run', '3 runs')
    """
    return f"{count} {noun}{'' if count == 1 else 's'}"


def rounded(number: float, digits: int = 3) -> str:
    """Return a number with so many digits for a sentence; large ones without an exponent.

    >>> rounded(20230.4), rounded(0.25), rounded(-0.0), rounded(float("inf"))
    ('20200', '0.25', '0', 'infinite')
    """
    if not math.isfinite(number):
        return "not known" if math.isnan(number) else f"{'-' if number < 0 else ''}infinite"
    text = f"{number + 0.0:.{digits}g}"  # -0.0 is 0
    return f"{float(text):.0f}" if "e+" in text and abs(number) < _MOST_WRITTEN_OUT else text


def first_sentence(error: BaseException) -> str:
    """Return an error's type and the first sentence of its text: libraries go on with advice."""
    if isinstance(error, ModuleNotFoundError) and (said := not_installed(error.name)):
        return said
    return f"{type(error).__name__}: {first_line(error).partition('. ')[0]}"


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error, and one after another those because of which it was raised."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def describe(error: BaseException) -> str:
    """Return an error's type and the first line of its text; how to install what is missing."""
    if isinstance(error, ModuleNotFoundError) and (said := not_installed(error.name)):
        return said
    file = getattr(error, "filename", None) if isinstance(error, OSError) else None
    return f"{type(error).__name__}: {first_line(error)}{f': {file}' if file else ''}"


def plain_text(error: object) -> str:
    """Return an error's text without the codes of terminals: colours, say."""
    return _CODES.sub("", str(error))


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text, or its type's name when it has none.

    Of the system's errors it is the reason, without a number and without the file.

    >>> first_line(FileNotFoundError(2, "No such file or directory", "digits.npy"))
    'No such file or directory'
    """
    reason = error.strerror if isinstance(error, OSError) else None
    lines = plain_text(reason or error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def nondeterministic(error: BaseException) -> str | None:
    """Return what to do about an operation that `training.deterministic` refuses, if that is it."""
    before, refused, _ = str(error).partition(" does not have a deterministic implementation")
    if not refused:
        return None
    return (
        f"PyTorch has no deterministic form of {before.split()[-1]}: set "
        "training.deterministic=false, or take another network"
    )
