"""A thread that calls a function from time to time, and sees when the process did not run."""

import sys
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

# Later than that, a thread was not only waiting for its turn.
_LATE_SECONDS = 1.0


@dataclass(frozen=True)
class ClockReading:
    """Clocks that go on at different times, read at one moment."""

    seconds: float  # while the machine is awake, whether or not this process may run
    asleep: float  # while the machine is suspended
    awake: float  # while a thread runs, waits for a core, or waits for Python's lock


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


class Sampler:
    """Calls a method every so many seconds, until it is stopped or the method's owner is gone.

    It finds when this process did not run, since its thread is late then: the process was stopped,
    or the machine slept. A forked child has none: threads stay with the parent.

    Args:
        read: reads the clocks of its thread.
    """

    def __init__(
        self,
        method: Callable[[], None],
        seconds: float,
        read: Callable[[int | None], ClockReading] = read_clocks,
    ) -> None:
        # Weak: an owner that nobody stopped is not kept alive by its own sampler.
        self._method = weakref.WeakMethod(method)
        self._seconds, self._read = seconds, read
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="greensweep-meter", daemon=True)
        self._last: ClockReading | None = None

    def start(self) -> None:
        """Begin; the first call comes after the first of the intervals."""
        self._thread.start()
        self._last = self._now()

    def stop(self) -> None:
        """End the thread; a call that is under way comes to its end first."""
        self._stopped.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(self._seconds):
            method = self._method()
            if method is None:
                return
            method()
            del method

    def suspended_seconds(self) -> float:
        """Return the seconds since the last call if this process missed some, 0 if it ran."""
        if self._last is None:  # not started
            return 0.0
        now = self._now()
        missed, self._last = self._missed(self._last, now), now
        return missed

    def note_running(self) -> None:
        """Note that this process runs; what it missed before is left to the next call."""
        now = self._now()
        if self._last is not None and not self._missed(self._last, now):
            self._last = now

    def _now(self) -> ClockReading:
        return self._read(self._thread.native_id)

    def _missed(self, last: ClockReading, now: ClockReading) -> float:
        seconds, asleep = now.seconds - last.seconds, now.asleep - last.asleep
        late = seconds - self._seconds
        stopped = late > _LATE_SECONDS and now.awake - last.awake < late / 2
        return seconds + asleep if stopped or asleep > _LATE_SECONDS else 0.0
