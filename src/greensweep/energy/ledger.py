"""Who is metered on this machine right now: a ledger that all runs keep together, in a file."""

import json
import logging
import os
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from greensweep.energy.ledger_state import LedgerState
from greensweep.energy.notices import warn_once
from greensweep.messages import message_of
from greensweep.nested import from_json

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

log = logging.getLogger(__name__)

# A run that was stopped in the middle of its entry holds the lock for as long.
_LOCK_SECONDS = 5.0
_LOCK_RETRY_SECONDS = 0.005

# Another version of Greensweep keeps another ledger.
_FORMAT = 6


class Ledger:
    """A ledger that one meter keeps for itself: nobody else is seen.

    Attributes:
        asleep: seconds that the last opening slept, since another process had it open.
    """

    def __init__(self) -> None:
        self._state = LedgerState()
        self.asleep = 0.0

    @contextmanager
    def open(self) -> Iterator[LedgerState]:
        """Give its state; what is changed in it is kept."""
        yield self._state


class MachineLedger(Ledger):
    """The ledger that all metered runs of one user on this machine keep together, in a file.

    Args:
        lock_seconds: how long to wait for another process that has it open. After that, this
            ledger goes on as one that nobody else sees, with a warning.

    Raises:
        OSError: the folder is not the user's own, or cannot be written to.
    """

    def __init__(self, folder: Path | None = None, lock_seconds: float = _LOCK_SECONDS) -> None:
        super().__init__()
        self._lock_seconds = lock_seconds
        self._is_shared = True
        if fcntl is None:
            raise OSError("this system has no POSIX file locks")
        self._path = (folder or runtime_folder()) / f"energy-ledger-{_FORMAT}.json"
        self._open_file()

    def __del__(self) -> None:
        if hasattr(self, "_file"):
            os.close(self._file)

    def _open_file(self) -> None:
        # One file, locked and written in place: a lap must not cost a millisecond.
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._process = os.getpid()

    @contextmanager
    def open(self) -> Iterator[LedgerState]:
        # A forked child's copy shares the lock with its parent; a deleted file has no other reader.
        if self._process != os.getpid() or not os.fstat(self._file).st_nlink:
            copy = self._file
            with suppress(OSError):
                self._open_file()
                os.close(copy)
        if self._is_shared and not self._locked():
            self._is_shared = False
            log.warning(
                "Another process has held the ledger of metered runs (%s) for %g s: from here on "
                "this run takes those beside it for other processes, and none of them sees it.",
                self._path,
                self._lock_seconds,
            )
        if not self._is_shared:
            yield self._state
            return
        try:
            state = _parsed(os.pread(self._file, os.fstat(self._file).st_size, 0))
            yield state
            text = json.dumps(state, default=vars).encode()
            os.pwrite(self._file, text, 0)
            os.ftruncate(self._file, len(text))
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def _locked(self) -> bool:
        until, self.asleep = time.monotonic() + self._lock_seconds, 0.0
        while True:
            with suppress(BlockingIOError):
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            if time.monotonic() >= until:
                return False
            time.sleep(_LOCK_RETRY_SECONDS)
            self.asleep += _LOCK_RETRY_SECONDS


def open_machine_ledger() -> Ledger:
    """Return the machine's ledger; where it cannot be kept, a warning and a private one."""
    try:
        return MachineLedger()
    except OSError as error:
        warn_once(
            "Metered runs beside this one count as other processes, since their ledger cannot be "
            f"kept ({message_of(error, '')})."
        )
        return Ledger()


def _parsed(text: bytes) -> LedgerState:
    try:
        # Whoever died while writing may have left the end of a longer state behind a whole one.
        return from_json(LedgerState, json.JSONDecoder().raw_decode(text.decode())[0])
    except (ValueError, TypeError):
        return LedgerState()  # none yet, or another version's


def runtime_folder() -> Path:
    """Return a folder of this machine and user alone."""
    given = os.environ.get("XDG_RUNTIME_DIR")  # which a batch job may have of its login node
    folder = (
        Path(given) / "greensweep"
        if given and Path(given).is_dir()
        else Path(tempfile.gettempdir()) / f"greensweep-{os.getuid()}"
    )
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise PermissionError(f"{folder} belongs to somebody else")
    return folder
