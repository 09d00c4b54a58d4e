"""A thread that calls a function from time to time, and sees when the process was suspended."""

import sys
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import MethodType

# Later than that, a thread was not only waiting for its turn.
_LATE_SECONDS = 1.0


class Sampler:
    """Calls a method every so many seconds, until it is stopped or the method's owner is gone.

    A forked child has none: threads stay with the parent.
    """

    def __init__(self, method: Callable[[], None], seconds: float) -> None:
        assert isinstance(method, MethodType)
        # Weak: an owner that nobody stopped is not kept alive by its own sampler.
        self._method = weakref.WeakMethod(method)
        self._stopped = threading.Event()
        self.seconds = seconds
        self.thread = threading.Thread(target=self._run, name="greensweep-meter", daemon=True)

    def start(self) -> None:
        """Begin; the first call comes after the first of the intervals."""
        self.thread.start()

    def stop(self) -> None:
        """End the thread; a call that is under way comes to its end first."""
        self._stopped.set()
        if self.thread.is_alive() and self.thread is not threading.current_thread():
            self.thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(self.seconds):
            method = self._method()
            if method is None:
                return
            method()
            del method


@dataclass(frozen=True)
class ClockReading:
    """Clocks that go on at different times, read at one moment.

    Attributes:
        seconds: while the machine is awake, whether or not this process may run.
        asleep: while the machine is suspended.
        awake: while a thread runs, waits for a core, or waits for Python's lock.
    """

    seconds: float
    asleep: float
    awake: float


def read_clocks(thread: int | None) -> ClockReading:
    """Read the clocks for one thread of this process, by its id in the system."""
    now = time.monotonic()
    slept = 0.0
    if hasattr(time, "CLOCK_BOOTTIME"):  # Linux; elsewhere no clock counts a suspended machine
        slept = time.clock_gettime(time.CLOCK_BOOTTIME) - now
    return ClockReading(now, slept, _awake_seconds(thread))


def _awake_seconds(thread: int | None) -> float:
    try:
        text = Path(f"/proc/self/task/{thread}/schedstat").read_text()
        running, waiting, turns = map(int, text.split())
    except (OSError, ValueError):
        return time.process_time()
    # Who waits for Python's lock, which a call into C may hold for long, looks at every interval.
    return 1e-9 * (running + waiting) + turns * sys.getswitchinterval()


class SuspensionDetector:
    """Finds when this process did not run: it was stopped, or the machine slept.

    Args:
        sampler: whose thread is late then.
        read: reads the clocks of that thread.
    """

    def __init__(
        self, sampler: Sampler, read: Callable[[int | None], ClockReading] = read_clocks
    ) -> None:
        self._sampler = sampler
        self._read = read
        self._last: ClockReading | None = None

    def suspended_seconds(self) -> float:
        """Return the seconds since the last call if this process missed some, 0 if it ran."""
        now = self._now()
        missed, self._last = self._missed(now), now
        return missed

    def note_running(self) -> None:
        """Note that this process runs; what it missed before is left to the next call."""
        now = self._now()
        if not self._missed(now):
            self._last = now

    def _now(self) -> ClockReading:
        return self._read(self._sampler.thread.native_id)

    def _missed(self, now: ClockReading) -> float:
        if self._last is None:
            return 0.0
        seconds, asleep = now.seconds - self._last.seconds, now.asleep - self._last.asleep
        late = seconds - self._sampler.seconds
        stopped = late > _LATE_SECONDS and now.awake - self._last.awake < late / 2
        return seconds + asleep if stopped or asleep > _LATE_SECONDS else 0.0
