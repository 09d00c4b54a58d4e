"""A machine's power from its CPU load, between two figures that a wall meter gave."""

import time
from collections.abc import Callable

from greensweep.energy.counters import Counter, Source, Step
from greensweep.energy.processes import Processes
from greensweep.energy.reading import Quality


class LoadCounter(Counter):
    """Power in a straight line from the idle machine's to that of all cores busy.

    The line is the model of Fan, Weber and Barroso, *Power provisioning for a warehouse-sized
    computer* (ISCA 2007), section 3.3. A wall meter sees CPU, memory and the rest together, so
    this component stands for all of them but the GPUs.

    Args:
        idle_watts: at the wall, with nothing running.
        load_watts: at the wall, with all cores busy.
    """

    component = "cpu"
    source = "wall_calibrated_load_model"
    quality: Quality = "estimated"
    common = True
    update_seconds = 0.01  # the kernel's tick

    def __init__(
        self,
        idle_watts: float,
        load_watts: float,
        *,
        cores: int,
        processes: Processes,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._idle, self._load = idle_watts, load_watts
        self.idle_watts = idle_watts
        self._per_busy_core = (load_watts - idle_watts) / cores
        self._processes = processes
        self._clock = clock

    @property
    def key(self) -> str:
        return f"{super().key}/{self._idle:g}-{self._load:g} W"  # another line is another counter

    @property
    def basis(self) -> str:
        return f"{self._idle:g} W at rest to {self._load:g} W with all cores busy, as declared"

    def read(self) -> float:
        busy = self._processes.busy_seconds()
        return self._idle * self._clock() + self._per_busy_core * busy

    def since(self, before: float, now: float, seconds: float) -> Step:
        # The kernel's count of busy seconds may fall by a tick; it never starts anew.
        return Step(max(now - before, 0.0))


class CalibratedSource:
    """A source whose models of CPU and memory give way to a wall meter's pair of figures.

    What hardware counters measure stays, and GPUs.

    Args:
        source: the source without calibration.
        counter: what takes the place of its estimates.
    """

    def __init__(self, source: Source, counter: Counter) -> None:
        self._source = source
        self._counter = counter

    def open(self) -> list[Counter]:
        """Open the source, and the calibrated counter where the CPU is not measured."""
        counters = list(self._source.open())
        if any(each.component == "cpu" and each.quality == "measured" for each in counters):
            return counters
        kept = (each for each in counters if each.component == "gpu" or each.quality == "measured")
        return [self._counter, *kept]

    def close(self) -> None:
        self._source.close()
