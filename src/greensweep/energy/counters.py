"""What a machine counts its energy with, one component each."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Protocol

from greensweep.energy.reading import Quality


class Counter(ABC):
    """The energy of one component of this machine, in joules that only grow.

    Attributes:
        component: cpu, gpu or ram.
        source: what gives the figure, as readings name it.
        quality: how good that is.
        common: every process of this machine reads the same value, so that what one has read the
            next can go on from; otherwise differences count within this process alone.
        wraps_at: the joules at which the value starts again from 0, or None.
        update_seconds: how often the source itself has a new figure; None for at every reading.
    """

    component: str
    source: str
    quality: Quality = "measured"
    common: bool = False
    wraps_at: float | None = None
    update_seconds: float | None = None

    @property
    def key(self) -> str:
        """The counter's name among those of the machine."""
        return f"{self.component}/{self.source}"

    @property
    def basis(self) -> str:
        """Return what the figure rests on, in words."""
        return "a hardware counter or sensor"

    @abstractmethod
    def read(self) -> float:
        """Return joules since some moment in the past. Any exception means that it failed."""

    def use_by_process(self) -> Mapping[int, float] | None:
        """Return each process's share of the component's work of late, 0 to 1, by process id.

        None where it is not known; CPU time is then the key.
        """
        return None

    def since(self, before: float, now: float) -> float:
        """Return the joules between two values, a wrap-around between them included.

        A value that fell without a known range was reset: what it shows since then is counted.
        """
        if now >= before:
            return now - before
        return now - before + self.wraps_at if self.wraps_at is not None else max(now, 0.0)


class Source(Protocol):
    """A way to meter a machine: it opens counters, and closes what they need."""

    def open(self) -> Sequence[Counter]:
        """Set up and return the counters.

        Raises:
            EnergyError: there is nothing to read here.
        """

    def close(self) -> None:
        """Release what `open` set up; harmless without it."""
