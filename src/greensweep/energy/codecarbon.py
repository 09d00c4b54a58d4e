"""CodeCarbon as a meter: its readers of the hardware, with the origin of each figure."""

import logging
import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from greensweep.energy.meter import not_started
from greensweep.energy.reading import JOULES_PER_KWH, ComponentEnergy, EnergyReading, Quality
from greensweep.errors import EnergyError, first_line

if TYPE_CHECKING:
    from codecarbon import OfflineEmissionsTracker

# CodeCarbon's names of how a CPU figure came about, as ours.
_CPU_SOURCES: dict[str, tuple[str, Quality]] = {
    "intel_rapl": ("rapl", "measured"),
    "intel_power_gadget": ("power_gadget", "measured"),
    "windows_emi": ("windows_emi", "measured"),
    "cpu_load": ("cpu_load_model", "estimated"),
    "constant": ("constant_power", "estimated"),
}

# The kernel counts CPU load in ticks of 10 ms. The load of a 5 ms lap is therefore 0, 1/2 or 1,
# and the model's cube of it 1.4 times too high on average at half load; over 0.1 s it is within
# one part in a hundred.
_LOAD_WINDOW_SECONDS = 0.1


class CodeCarbonMeter:
    """Reads CodeCarbon's hardware objects at the edges of laps.

    Its own slices will not do. `start`/`stop` of CodeCarbon 3.3 count a slice twice when a stop
    follows a sampling tick closely. Consecutive tasks leave 1 to 5 ms between them uncounted: with
    laps of 5 ms a tenth to a quarter of all seconds and joules. So one task stays open, for its
    set-up of the hardware and its samples of the load each second, and laps read the hardware.
    """

    def __init__(self, tracking_mode: str = "machine") -> None:
        self._mode = tracking_mode
        self._tracker: OfflineEmissionsTracker | None = None

    def start(self) -> None:
        """Set CodeCarbon up (1 to 2 s the first time in a process) and begin the first lap.

        Raises:
            EnergyError: CodeCarbon cannot start here.
        """
        self.stop()
        try:
            tracker = _open_tracker(self._mode)
            self._readers = [_Reader(hardware) for hardware in tracker._hardware]
        except Exception as error:
            raise EnergyError(
                f"CodeCarbon cannot start ({type(error).__name__}: {first_line(error)}): "
                "set energy=unmetered to train without energy figures"
            ) from error
        self._tracker = tracker
        self._process = os.getpid()
        self._began = time.perf_counter()

    def lap(self) -> EnergyReading:
        if not self._is_running():
            raise not_started()
        began, self._began = self._began, time.perf_counter()
        seconds = self._began - began
        try:
            parts = [reader.read(seconds) for reader in self._readers]
        except Exception as error:
            raise EnergyError(
                f"CodeCarbon cannot read the hardware ({type(error).__name__}: "
                f"{first_line(error)}): set energy=unmetered to train without energy figures"
            ) from error
        return sum(parts, start=EnergyReading(seconds))

    def stop(self) -> None:
        if self._tracker is not None and self._is_running():
            with suppress(Exception):  # its last reading, which nobody asked for
                self._tracker.stop_task()
        self._tracker = None

    def _is_running(self) -> bool:
        # A forked child has a copy of the meter, but not the thread that samples the load.
        return self._tracker is not None and self._process == os.getpid()


class _Reader:
    """One of CodeCarbon's hardware objects, read for laps of any length."""

    def __init__(self, hardware: Any) -> None:
        self._component, self._source, self._quality = _origin(hardware)
        self._hardware = hardware
        self._watts = 0.0
        self._window_seconds = 0.0
        self._had_window = False
        hardware.start()

    def read(self, seconds: float) -> EnergyReading:
        """Return the component's energy over the lap of that length which ends now."""
        if self._quality == "measured":
            _, energy = self._hardware.measure_power_and_energy(seconds)
            joules = energy.kWh * JOULES_PER_KWH
        else:
            joules = self._estimated_watts(seconds) * seconds
        return EnergyReading(
            components={self._component: ComponentEnergy(joules, self._source, self._quality)}
        )

    def _estimated_watts(self, seconds: float) -> float:
        """Return the model's power; a short lap takes it from the last window that was long enough.

        Before the first such window each lap has the power of its own few ticks.
        """
        self._window_seconds += seconds
        window_is_long = self._window_seconds >= _LOAD_WINDOW_SECONDS
        if window_is_long or not self._had_window:
            self._watts = self._hardware.total_power().W
        if window_is_long:
            self._had_window = True
            self._window_seconds = 0.0
        return self._watts


def _open_tracker(tracking_mode: str) -> "OfflineEmissionsTracker":
    """Make a tracker and open its task; the first in a process looks for the hardware."""
    from codecarbon import OfflineEmissionsTracker

    logging.getLogger("codecarbon").setLevel(logging.ERROR)
    tracker = OfflineEmissionsTracker(
        # Asked for by the class, and without effect here: emissions are computed in `carbon`.
        country_iso_code="USA",
        force_carbon_intensity_g_co2e_kwh=0.0,
        tracking_mode=tracking_mode,
        allow_multiple_runs=True,
        output_methods=[],
        log_level="error",
    )
    tracker.start_task()
    if not getattr(tracker, "_hardware", None):  # the class swallows its own errors
        raise RuntimeError(
            "its set-up failed, look at .codecarbon.config and CODECARBON_ variables"
        )
    return tracker


def _origin(hardware: Any) -> tuple[str, str, Quality]:
    """Tell component, source and quality of one of CodeCarbon's hardware objects.

    EmissionsData does not say how a figure was obtained; the hardware list does.
    """
    kind = type(hardware).__name__
    if kind == "CPU":
        return "cpu", *_CPU_SOURCES.get(hardware._mode, (hardware._mode, "estimated"))
    if kind == "GPU":
        devices = {type(device).__name__ for device in hardware.devices.devices}
        return "gpu", "amdsmi" if devices == {"AMDGPUDevice"} else "nvml", "measured"
    if kind == "RAM":
        return "ram", "constant_power", "estimated"
    if kind == "AppleSiliconChip":
        return hardware.chip_part.lower(), "powermetrics", "measured"
    if kind == "Raspberry":
        return hardware.chip_part.lower(), "pmic", "measured"
    return "cpu", kind.lower(), "estimated"
