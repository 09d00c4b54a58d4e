"""What a program does once its search is known to be able to run, before the first trial."""

from collections.abc import Callable
from contextvars import ContextVar

_step: ContextVar[Callable[[], None] | None] = ContextVar("_step", default=None)


def before_first_trial(step: Callable[[], None] | None) -> None:
    """Let the next search of this process begin with a step of the program's own, or with none."""
    _step.set(step)


def call_before_first_trial() -> None:
    """Take the step, once; what it raises passes."""
    step = _step.get()
    _step.set(None)
    if step is not None:
        step()
