"""Warnings of what a meter cannot read, once: not by each trial of a sweep, in each process."""

import hashlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path

log = logging.getLogger(__name__)

_sweep: ContextVar[Path | None] = ContextVar("_sweep", default=None)


@contextmanager
def warn_once_per_sweep(sweep: Path | None) -> Iterator[None]:
    """Let the warnings of the block come once from all processes of a sweep.

    Args:
        sweep: its folder, which keeps the marks; None leaves everything as it is.
    """
    before = _sweep.set(sweep or _sweep.get())
    try:
        yield
    finally:
        _sweep.reset(before)


def warn_once(sentence: str, level: int = logging.WARNING) -> None:
    """Warn, unless this process, or another one of its sweep, has said the same."""
    _warn(sentence, level)


@cache  # for as long as the process lives
def _warn(sentence: str, level: int) -> None:
    if (sweep := _sweep.get()) is not None:
        digest = hashlib.sha256(sentence.encode()).hexdigest()
        try:
            (sweep / f".warned-{digest[:12]}").touch(exist_ok=False)
        except FileExistsError:
            return
        except OSError:
            pass  # better twice than never
    log.log(level, sentence)
