"""What a program left open when it broke off, ended with it.

Some libraries tell their callbacks when training begins and ends, but not that an exception passed.
"""

import atexit
import sys
from collections.abc import Callable

_open: list[Callable[[BaseException | None], None]] = []


def end_with_program(end: Callable[[BaseException | None], None]) -> None:
    """Call `end` when the program's function or the program is over, with what it raised."""
    _open.append(end)


def ended(end: Callable[[BaseException | None], None]) -> None:
    """Forget what has ended by itself."""
    if end in _open:
        _open.remove(end)


def end_left_open(raised: BaseException | None = None) -> None:
    """End what is still open, the latest first, with the exception that the program ended by."""
    while _open:
        _open.pop()(raised)


atexit.register(lambda: end_left_open(getattr(sys, "last_value", None)))
