"""What a program left open when it broke off, ended with it.

Some libraries tell their callbacks when training begins and ends, but not that an exception passed.
"""

import atexit
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_open: list[Callable[[BaseException | None], None]] = []


def end_with_program(end: Callable[[BaseException | None], None]) -> None:
    """Call `end` when the program's function or the program is over, with what it raised."""
    _open.append(end)


def ended(end: Callable[[BaseException | None], None]) -> None:
    """Forget what has ended by itself."""
    if end in _open:
        _open.remove(end)


def end_left_open(raised: BaseException | None = None, since: int = 0) -> None:
    """End what is still open, the latest first, with the exception that the program ended by.

    Args:
        since: how many were open before, and stay so.
    """
    while len(_open) > since:
        _open.pop()(raised)


@contextmanager
def left_open_ended() -> Iterator[None]:
    """End with the block what began in it and is still open, with what the block raised."""
    before = len(_open)
    try:
        yield
    except BaseException as raised:
        end_left_open(raised, since=before)
        raise
    end_left_open(since=before)


atexit.register(lambda: end_left_open(getattr(sys, "last_value", None)))
