"""Ctrl-C in a sweep: once ends the running trials after their epoch, twice ends them at once."""

import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import FrameType

_BURST_SECONDS = 2.0  # in which batch systems send SIGTERM for a job and for its steps

_asked = False  # of the process, as a signal is
_terminated = False  # likewise
_graceful: ContextVar[bool] = ContextVar("_graceful", default=False)


def interrupted() -> bool:
    """Tell whether the sweep was asked to end."""
    return _asked


def terminated() -> bool:
    """Tell whether a SIGTERM asked, which batch systems send to all that a job has started."""
    return _terminated


def interrupt() -> None:
    """Ask the sweep of this process to end after the running epoch."""
    global _asked
    _asked = True


def is_graceful() -> bool:
    """Tell whether somebody else sees to Ctrl-C: `graceful` around, or the main thread."""
    return _graceful.get() or threading.current_thread() is not threading.main_thread()


@contextmanager
def graceful(
    on_first: Callable[[], None] | None = None,
    *,
    quiet: bool = False,
) -> Iterator[None]:
    """Let the first SIGINT or SIGTERM of the block only ask, and the second raise.

    What comes at once after a SIGTERM is the same again.

    Args:
        on_first: called at the first.
        quiet: say nothing, since another process does.

    Raises:
        KeyboardInterrupt: at the second.
    """
    global _asked, _terminated
    _asked = _terminated = False
    outer = _graceful.set(True)
    burst_until = -math.inf

    def handle(number: int, frame: FrameType | None) -> None:
        global _terminated
        nonlocal burst_until
        if number == signal.SIGTERM:
            _terminated, now = True, time.monotonic()
            if now < burst_until:
                return
            burst_until = now + _BURST_SECONDS
        if _asked:
            raise KeyboardInterrupt
        interrupt()
        if not quiet:
            # print may not be called again while it runs, as it may when a signal comes.
            os.write(
                sys.__stderr__.fileno() if sys.__stderr__ else 2,
                b"\nInterrupted: the running epoch is finished and recorded; once more ends at "
                b"once.\n",
            )
        if on_first is not None:
            on_first()

    before = {each: signal.signal(each, handle) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        _terminated = False
        _graceful.reset(outer)
        for each, handler in before.items():
            signal.signal(each, handler)
