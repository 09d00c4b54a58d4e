"""A line at the bottom of a terminal that is drawn anew, beneath all that is printed meanwhile."""

import os
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console

_ERASE = "\r\x1b[K"


class LiveLine:
    """The line; what this process prints, in whichever way of Python's, goes above it.

    Where a program has begun a line of its own, a progress bar say, this one waits for its end.
    """

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._terminal: Any = sys.stderr
        self._lock = threading.RLock()  # a signal's handler may print while its thread does
        self._process = os.getpid()
        self._text, self._is_drawn, self._is_between_lines = "", False, True

    @property
    def width(self) -> int:
        """How many characters fit: the last column would begin a line."""
        return self._console.width - 1

    def draw(self, text: str) -> None:
        """Draw the line anew; nothing at all removes it."""
        with self._lock:
            self._text = text
            self._erase()
            self._draw()

    def write(self, stream: Any, data: Any) -> Any:
        """Write text, or bytes, to a stream above the line."""
        if os.getpid() != self._process:  # a fork's, of a lock that another thread may have held
            return stream.write(data)
        with self._lock:
            self._erase()
            written = stream.write(data)
            stream.flush()
            if data:
                self._is_between_lines = data[-1:] in ("\n", b"\n")
            self._draw()
        return written

    def _erase(self) -> None:
        if self._is_drawn:
            self._terminal.write(_ERASE)
            self._terminal.flush()
            self._is_drawn = False

    def _draw(self) -> None:
        if self._text and self._is_between_lines:
            self._terminal.write(self._text)
            self._terminal.flush()
            self._is_drawn = True


class _Above:
    """A stream whose text, or bytes, appear above a live line."""

    def __init__(self, stream: Any, line: LiveLine) -> None:
        self._stream, self._line = stream, line

    @property
    def buffer(self) -> "_Above":
        return _Above(self._stream.buffer, self._line)

    def write(self, data: Any) -> Any:
        return self._line.write(self._stream, data)

    def writelines(self, lines: Iterable[Any]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def live_line() -> Iterator[LiveLine | None]:
    """Keep a line at the bottom of the terminal; None where stderr is none that can redraw."""
    if not (sys.stderr.isatty() and Console(stderr=True).is_interactive):
        yield None
        return
    line, before = LiveLine(), (sys.stdout, sys.stderr)
    sys.stdout, sys.stderr = (
        _Above(each, line) if each is not None and each.isatty() else each for each in before
    )
    try:
        yield line
    finally:
        line.draw("")
        sys.stdout, sys.stderr = before
