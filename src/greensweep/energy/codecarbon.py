"""CodeCarbon as a meter, through its task API, with the origin of each figure."""

import logging
import os
import time
from functools import cache
from typing import TYPE_CHECKING, Any

from greensweep.energy.reading import JOULES_PER_KWH, ComponentEnergy, EnergyReading, Quality
from greensweep.errors import EnergyError, first_line

if TYPE_CHECKING:
    from codecarbon import OfflineEmissionsTracker

# CodeCarbon's names of how a CPU figure came about, as ours.
_CPU_SOURCES: dict[str, tuple[str, Quality]] = {
    "intel_rapl": ("rapl", "measured"),
    "intel_power_gadget": ("power_gadget", "measured"),
    "apple_powermetrics": ("powermetrics", "measured"),
    "windows_emi": ("windows_emi", "measured"),
    "cpu_load": ("cpu_load_model", "estimated"),
    "constant": ("constant_power", "estimated"),
}


class CodeCarbonMeter:
    """Laps are consecutive tasks of one tracker per process and tracking mode.

    `start`/`stop` of CodeCarbon 3.3 count a slice twice when a stop follows a sampling tick
    closely; its task API does not. The tracker is kept for the life of the process because
    setting its hardware up takes over a second.
    """

    def __init__(self, tracking_mode: str = "machine") -> None:
        self._mode = tracking_mode
        self._running = False

    @property
    def _tracker(self) -> "OfflineEmissionsTracker":
        return _tracker_of(os.getpid(), self._mode)

    def start(self) -> None:
        """Set CodeCarbon up (1 to 2 s the first time) and begin the first lap.

        Raises:
            EnergyError: CodeCarbon cannot start here.
        """
        self.stop()
        self._begin()
        self._sources = dict(map(_origin, self._tracker._hardware))

    def _begin(self) -> None:
        try:
            self._tracker.start_task()
        except Exception as error:
            raise EnergyError(
                f"CodeCarbon cannot start ({type(error).__name__}: {first_line(error)}): "
                "set energy=unmetered to train without energy figures"
            ) from error
        self._began = time.perf_counter()
        self._running = True

    def lap(self) -> EnergyReading:
        if not self._running:
            raise EnergyError("a lap needs a started meter: call start() first")
        data = self._tracker.stop_task()
        seconds = time.perf_counter() - self._began
        self._begin()
        kwh = {"cpu": data.cpu_energy, "gpu": data.gpu_energy, "ram": data.ram_energy}
        components = {
            name: ComponentEnergy(kwh[name] * JOULES_PER_KWH, source, quality)
            for name, (source, quality) in self._sources.items()
        }
        return EnergyReading(seconds, components)

    def stop(self) -> None:
        if self._running:
            self._tracker.stop_task()
            self._running = False


@cache
def _tracker_of(
    process: int,  # noqa: ARG001 - the cache's key
    tracking_mode: str,
) -> "OfflineEmissionsTracker":
    """Make the tracker of a process; a forked child, which has another number, gets its own."""
    from codecarbon import OfflineEmissionsTracker

    logging.getLogger("codecarbon").setLevel(logging.ERROR)
    return OfflineEmissionsTracker(
        # Asked for by the class, and without effect here: emissions are computed in `carbon`.
        country_iso_code="USA",
        tracking_mode=tracking_mode,
        allow_multiple_runs=True,
        save_to_file=False,
        log_level="error",
    )


def _origin(hardware: Any) -> tuple[str, tuple[str, Quality]]:
    """Tell component, source and quality of one of CodeCarbon's hardware objects.

    EmissionsData does not say how a figure was obtained; the hardware list does.
    """
    kind = type(hardware).__name__
    if kind == "CPU":
        return "cpu", _CPU_SOURCES.get(hardware._mode, (hardware._mode, "estimated"))
    if kind == "GPU":
        return "gpu", ("nvml", "measured")
    if kind == "RAM":
        return "ram", ("constant_power", "estimated")
    if kind == "AppleSiliconChip":
        component = "gpu" if hardware.chip_part == "GPU" else "cpu"
        return component, ("powermetrics", "measured")
    return "cpu", (kind.lower(), "estimated")
