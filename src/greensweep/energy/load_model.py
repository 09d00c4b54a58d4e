"""A machine's power from its CPU load, between two figures that a wall meter gave."""

import time
from collections.abc import Callable

from greensweep.config.schema_energy import CalibrationConfig
from greensweep.energy.counters import Counter, Step
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
        self.idle_watts = self._idle = idle_watts
        self.name = f"{idle_watts:g}-{load_watts:g} W"  # another line is another counter
        self.basis = (
            f"{idle_watts:g} W at rest to {load_watts:g} W with all cores busy, as declared"
        )
        self._per_busy_core = (load_watts - idle_watts) / cores
        self._processes = processes
        self._clock = clock

    def read(self) -> float:
        busy = self._processes.busy_seconds()
        return self._idle * self._clock() + self._per_busy_core * busy

    def since(self, before: float, now: float, seconds: float) -> Step:
        # The kernel's count of busy seconds may fall by a tick; it never starts anew.
        return Step(max(now - before, 0.0))


def calibrated(counters: list[Counter], calibration: CalibrationConfig) -> list[Counter]:
    """Let models of CPU and memory give way to a wall meter's pair of figures, where there is one.

    What hardware counters measure stays, and GPUs.
    """
    idle, load = calibration.idle_watts, calibration.load_watts
    measured = [each for each in counters if each.quality == "measured"]
    if idle is None or load is None or any(each.component == "cpu" for each in measured):
        return counters
    processes = Processes()
    return [LoadCounter(idle, load, cores=processes.cores(), processes=processes), *measured]
