"""Patience with a server that is away, or a disk that is full: what failed is tried again."""

import errno
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TypeVar

from optuna.exceptions import StorageInternalError
from sqlalchemy.exc import InterfaceError, OperationalError, SQLAlchemyError

from greensweep.energy.notices import warn_once

T = TypeVar("T")

# Less than `heartbeats.GRACE_SECONDS` without a beat: nobody is taken for dead meanwhile.
PATIENCE_SECONDS = 80
_PAUSE_SECONDS = 1.0

# What a storage raises, a journal's file among them.
STORAGE_FAULTS = (StorageInternalError, SQLAlchemyError, OSError)

_hurried: ContextVar[bool] = ContextVar("_hurried", default=False)


@contextmanager
def hurried() -> Iterator[None]:
    """Ask once in the block: what is asked there can do without an answer."""
    before = _hurried.set(True)
    try:
        yield
    finally:
        _hurried.reset(before)


class Patience:
    """Asks a database on a server, and waits while it is away.

    Attributes:
        away_since: seconds of the monotonic clock, at which it first gave no answer; None where
            it has answered since. All that is asked of it shares this one patience.
    """

    def __init__(self) -> None:
        self.away_since: float | None = None

    def ask(self, call: Callable[[], T]) -> T:
        """Return what a call returns, which is made again until `PATIENCE_SECONDS` are over.

        A call must be one transaction, as it may have been broken off.

        Raises:
            StorageInternalError: the server is away for longer, or refused what was asked.
        """
        while True:
            try:
                with hurried():  # what it asks in its turn is asked again with it
                    returned = call()
            except (StorageInternalError, SQLAlchemyError) as fault:
                if not is_away(fault):
                    raise
                now = time.monotonic()
                self.away_since = self.away_since or now
                if _hurried.get() or now - self.away_since > PATIENCE_SECONDS:
                    raise
                time.sleep(_PAUSE_SECONDS)
            else:
                self.away_since = None
                return returned


def is_away(fault: BaseException) -> bool:
    """Tell whether a server did not answer, rather than refuse what was asked of it."""
    kinds = OperationalError, InterfaceError
    return isinstance(fault, kinds) or isinstance(fault.__cause__, kinds)


def with_room(folder: Path, write: Callable[[], T]) -> T:
    """Return what is returned by what writes small files, which is done again while a disk is full.

    Raises:
        OSError: it is for longer than `PATIENCE_SECONDS`, or the files cannot be written at all.
    """
    until: float | None = None
    while True:
        try:
            return write()
        except OSError as fault:
            if not is_full(fault):
                raise
            until = until or time.monotonic() + PATIENCE_SECONDS
            if time.monotonic() > until:
                raise
            warn_once(
                f"The disk at {_disk_of(folder)} is full: trials wait for room, "
                f"{PATIENCE_SECONDS} s at most."
            )
            time.sleep(_PAUSE_SECONDS)


def is_full(fault: BaseException | None) -> bool:
    """Tell whether a disk, or a quota, is full."""
    return isinstance(fault, OSError) and fault.errno in (errno.ENOSPC, errno.EDQUOT)


def _disk_of(folder: Path) -> Path:
    """Return where the disk is mounted that holds a folder."""
    return next((each for each in (folder, *folder.parents) if each.is_mount()), folder)
