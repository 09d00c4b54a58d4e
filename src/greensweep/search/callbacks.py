"""What a program does once its search is known to be able to run, before the first trial."""

from collections.abc import Callable

_step: Callable[[], None] | None = None


def before_first_trial(step: Callable[[], None] | None) -> None:
    """Let the next search of this process begin with a step of the program's own, or with none."""
    global _step
    _step = step


def call_before_first_trial() -> None:
    """Take the step, once.

    Raises:
        Exception: what the step raises.
    """
    global _step
    step, _step = _step, None
    if step is not None:
        step()
