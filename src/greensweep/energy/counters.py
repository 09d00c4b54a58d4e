"""What a machine counts its energy with, one component each."""

import time
from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

from greensweep.energy.reading import Quality

# Two values read in the same moment may still lie an update of the counter apart.
_LEAST_STEP_SECONDS = 1.0

# Waits before a counter that gave no figure is asked again.
_RETRIES_SECONDS = (0.0, 0.001, 0.005)


class Step(NamedTuple):
    """What a counter went on by between two values.

    Attributes:
        joules: never below 0; of an impossible step, what is known of it.
        possible: whether hardware can have used that in the time.
    """

    joules: float
    possible: bool = True


class Counter(ABC):
    """The energy of one component of this machine, in joules that only grow.

    Attributes:
        component: cpu, gpu or ram.
        source: what gives the figure, as readings name it.
        name: what distinguishes it among counters of the same component and source.
        basis: what the figure rests on, in words.
        quality: how good that is.
        common: every process of this machine reads the same value, so that what one has read the
            next can go on from; otherwise differences count within this process alone.
        wraps_at: the joules at which the value starts again from 0, or None.
        update_seconds: how often the source itself has a new figure; None for at every reading.
        model_error: the part of the joules by which a model may be wrong from run to run of the
            same work; 0 of a counter. What all runs have in common, its scale, is not in it.
        most_watts: more than its hardware can draw: ten times the largest CPU package of today, and
            seven times the largest GPU board.
        in_turn: processes have the component in turn, as a GPU's have; they share CPUs.
        idle_watts: what a model gives the idle machine; None of a counter, which has no model.
    """

    component: str
    source: str
    name: str = ""
    basis: str = "a hardware counter or sensor"
    quality: Quality = "measured"
    common: bool = False
    wraps_at: float | None = None
    update_seconds: float | None = None
    model_error: float = 0.0
    most_watts: float = 10_000.0
    in_turn: bool = False
    idle_watts: float | None = None

    @property
    def key(self) -> str:
        """The counter's name among those of the machine."""
        return "/".join(filter(None, (self.component, self.source, self.name)))

    @abstractmethod
    def read(self) -> float:
        """Return joules since some moment in the past. Any exception means that it failed."""

    def busy(self) -> float | None:
        """Return the part of the time of late in which the component worked; None: not known."""
        return None

    def users(self) -> Collection[int] | None:
        """Return ids of the processes that computed on it of late; None where it is not known."""
        return None

    def since(self, before: float, now: float, seconds: float) -> Step:
        """Return the step between two values, a wrap-around between them included.

        Hardware that draws `most_watts` sets the bound of a step. A value that fell further than a
        wrap-around within that bound explains was reset: what it shows since then is counted, by a
        counter that begins at 0. A step up beyond the bound is no information.

        Args:
            seconds: between the two.
        """
        most = self.most_watts * (seconds + _LEAST_STEP_SECONDS)
        rise = now - before
        if rise < 0 and self.wraps_at is not None and 0 <= rise + self.wraps_at <= most:
            rise += self.wraps_at
        if 0 <= rise <= most:
            return Step(rise)
        since_reset = now if rise < 0 and self.common and 0 <= now <= most else 0.0
        return Step(since_reset, possible=False)

    @property
    def seconds_to_half_range(self) -> float | None:
        """How long it may go unread, so that one wrap-around at most lies between two values."""
        return None if self.wraps_at is None else self.wraps_at / self.most_watts / 2


def read_again(counter: Counter) -> float:
    """Read a counter, and again after a moment when it gives nothing.

    Raises:
        Exception: what its last try ended with.
    """
    for wait in _RETRIES_SECONDS:
        try:
            return counter.read()
        except Exception:
            time.sleep(wait)
    return counter.read()


@runtime_checkable
class Source(Protocol):
    """A way to meter a machine: it opens counters, and closes what they need."""

    def open(self) -> Sequence[Counter]:
        """Set up and return the counters.

        Raises:
            EnergyError: there is nothing to read here.
        """

    def close(self) -> None:
        """Release what `open` set up, where it holds something; harmless without it."""
        return
