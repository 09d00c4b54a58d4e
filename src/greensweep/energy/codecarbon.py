"""CodeCarbon as a source: its readers of the hardware, with the origin of each figure."""

import logging
import os
import time
from collections import defaultdict
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from greensweep.config.schema_energy import CodeCarbonConfig
from greensweep.energy.codecarbon_internals import (
    hardware_of,
    has_counter,
    has_rating,
    mode_of,
    rapl_packages,
    rated_watts,
)
from greensweep.energy.counters import Counter
from greensweep.energy.gpus import Gpu, charged_devices, machine_gpus
from greensweep.energy.load_model import calibrated
from greensweep.energy.notices import warn_once
from greensweep.energy.nvml import NvmlCounter, refusal
from greensweep.energy.rapl import open_zones
from greensweep.energy.reading import Quality
from greensweep.energy.units import JOULES_PER_KWH
from greensweep.errors import EnergyError, first_line

if TYPE_CHECKING:
    from codecarbon import OfflineEmissionsTracker

# CodeCarbon's names of how a CPU figure came about, as ours.
_CPU_SOURCES: dict[str, tuple[str, Quality]] = {
    "intel_power_gadget": ("power_gadget", "measured"),
    "windows_emi": ("windows_emi", "measured"),
    "cpu_load": ("cpu_load_model", "estimated"),
    "constant": ("constant_power", "estimated"),
}

_SENSORS = {"AppleSiliconChip": "powermetrics", "Raspberry": "pmic"}

# The kernel counts CPU load in ticks of 10 ms. The load of a 5 ms lap is therefore 0, 1/2 or 1,
# and the model's cube of it 1.4 times too high on average at half load; over 0.1 s it is within
# one part in a hundred.
LOAD_WINDOW_SECONDS = 0.1
_LOAD_MODEL_ERROR = 0.01

# Of a sensor whose update period is not known: as NVML's counter.
_UNKNOWN_PERIOD_SECONDS = 0.1

# CodeCarbon's curve is 0.1 + 0.9 load³ of the rated power.
_IDLE_PART_OF_TDP = 0.1

# Trackers in no use: to make one and look for the hardware takes milliseconds each time. Two meters
# at a time need two, since the hardware objects count from their own last reading.
_idle_trackers: "defaultdict[tuple[Any, ...], list[OfflineEmissionsTracker]]" = defaultdict(list)


class CodeCarbonSource:
    """The source of `energy=codecarbon`: its hardware objects, read at the edges of laps.

    CodeCarbon's own slices will not do. `start`/`stop` of CodeCarbon 3.3 count a slice twice when
    a stop follows a sampling tick closely. Consecutive tasks leave 1 to 5 ms between them
    uncounted: with laps of 5 ms a tenth to a quarter of all seconds and joules. So one task stays
    open, for its set-up of the hardware and its samples of the load each second.

    Args:
        device: where the run computes, as `charged_devices` takes it.
    """

    def __init__(self, config: CodeCarbonConfig, device: str | None = None) -> None:
        self._config, self._device = config, device
        self._tracker: OfflineEmissionsTracker | None = None

    def open(self) -> list[Counter]:
        """Set CodeCarbon up (1 to 2 s the first time in a process).

        Raises:
            EnergyError: CodeCarbon cannot start here, or there is no such GPU.
        """
        try:
            counters = self._opened(None)
            tdp = self._config.cpu_tdp_watts  # which changes nothing where the CPU has a counter
            if tdp is not None and any(map(_rests_on_tdp, counters)):
                self.close()
                counters = self._opened(tdp)
            counters = calibrated(counters, self._config.calibration)
        except Exception as error:
            self._tracker = None  # broken, so not to be used again
            raise EnergyError(
                f"CodeCarbon cannot start ({type(error).__name__}: {first_line(error)}): "
                f"set {self._config.meter_option}=unmetered to train without energy figures"
            ) from error
        try:
            return [*counters, *self._gpu_counters()]
        except EnergyError:
            self.close()
            raise
        except Exception as error:  # pynvml's errors, whose class needs the library
            warn_once(f"No gpu energy in this run's figures: {refusal(error)}.")
            return counters

    def close(self) -> None:
        if self._tracker is not None:
            with suppress(Exception):  # its last reading, which nobody asked for
                self._tracker.stop_task()
                _idle_trackers[self._key].append(self._tracker)
        self._tracker = None

    def _opened(self, cpu_watts: float | None) -> list[Counter]:
        # A forked child has copies of its parent's trackers, but not the threads that sample.
        mode = self._config.tracking_mode
        self._key = (os.getpid(), mode, cpu_watts)
        idle = _idle_trackers[self._key]
        self._tracker = idle.pop() if idle else _make_tracker(mode, cpu_watts)
        self._tracker.start_task()  # the first in a process looks for the hardware
        hardware = hardware_of(self._tracker)
        if not hardware:  # the class swallows its own errors
            raise RuntimeError(
                "its set-up failed, look at .codecarbon.config and CODECARBON_ variables"
            )
        return [counter for each in hardware for counter in _counters(each, cpu_watts)]

    def _gpu_counters(self) -> list[Counter]:
        """Return a counter of each GPU that is charged; CodeCarbon's object is one for all."""
        assert self._tracker is not None
        hardware = hardware_of(self._tracker)
        groups = [each.devices for each in hardware if hasattr(each, "devices")]
        found = {_named(device)[0]: device for group in groups for device in group.devices}
        gpus, named = machine_gpus(), self._config.gpus
        if not gpus:  # AMD's, which CUDA does not list
            amd = [each for each in found.values() if not _is_nvidia(each)]
            gpus = [Gpu(each.gpu_index, *_named(each)) for each in amd]
            named = "all" if named is None and self._device != "cpu" else named
        counters: list[Counter] = []
        for device in charged_devices(gpus, named, self._device, self._config.prefix):
            own = found.get(device.gpu.uuid)
            is_common = own is None or (has_counter(own) and _is_nvidia(own))
            counters.append(NvmlCounter(device) if is_common else DeviceCounter(own))
        return counters


class HardwareCounter(Counter):
    """One of CodeCarbon's hardware objects, which gives power or energy since its last reading.

    Its value counts from the moment it was made.
    """

    def __init__(self, hardware: Any, *, is_declared: bool = False) -> None:
        self.component, self.source, self.quality = _origin(hardware)
        if self.quality == "measured":
            self.update_seconds = _UNKNOWN_PERIOD_SECONDS
        if self.source == "cpu_load_model":
            self.update_seconds = LOAD_WINDOW_SECONDS
            self.model_error = _LOAD_MODEL_ERROR
            self.idle_watts = _IDLE_PART_OF_TDP * rated_watts(hardware)
        elif self.source == "constant_power":
            self.idle_watts = watts = hardware.total_power().W
            self.basis = f"{watts:.3g} W whatever the load, CodeCarbon's guess by size"
        if _rests_on_tdp(self):
            self.name = f"{rated_watts(hardware):g} W"
            self.basis = _tdp_basis(hardware, is_declared=is_declared)
            self.source = "declared_tdp_load_model" if is_declared else self.source
        self.in_turn = self.component == "gpu"
        self._hardware = hardware
        self._joules = self._window_seconds = 0.0
        self._window_watts: float | None = None
        hardware.start()
        self._read_at = time.monotonic()

    def read(self) -> float:
        now = time.monotonic()
        seconds, self._read_at = now - self._read_at, now
        if self.quality == "measured":
            _, energy = self._hardware.measure_power_and_energy(seconds)
            self._joules += energy.kWh * JOULES_PER_KWH
        else:
            self._joules += self._estimated_watts(seconds) * seconds
        return self._joules

    def _estimated_watts(self, seconds: float) -> float:
        """Return the model's power; a short lap takes it from the last window that was long enough.

        Before the first such window each lap has the power of its own few ticks.
        """
        self._window_seconds += seconds
        is_short = self._window_seconds < LOAD_WINDOW_SECONDS
        if is_short and self._window_watts is not None:
            return self._window_watts
        watts = float(self._hardware.total_power().W)
        if not is_short:
            self._window_watts, self._window_seconds = watts, 0.0
        return watts


class DeviceCounter(Counter):
    """A GPU that the driver does not count for all processes alike: what CodeCarbon makes of it.

    AMD's count by a counter of their own; NVIDIA's of before 2017 have their power sampled.
    """

    component = "gpu"
    in_turn = True
    update_seconds = _UNKNOWN_PERIOD_SECONDS

    def __init__(self, device: Any) -> None:
        self.source = "nvml_power" if _is_nvidia(device) else "amdsmi"
        self.name, product = _named(device)
        self.quality = "measured" if has_counter(device) else "estimated"
        how = "the counter" if has_counter(device) else "sampled power"
        self.basis = f"{how} of GPU {device.gpu_index}, {product}"
        self._device = device
        self._joules = 0.0
        device.start()
        self._read_at = time.monotonic()

    def read(self) -> float:
        from codecarbon.core.units import Time

        now = time.monotonic()
        seconds, self._read_at = now - self._read_at, now
        used = self._device.delta(Time.from_seconds(seconds))["delta_energy_consumption"]
        self._joules += used.kWh * JOULES_PER_KWH
        return self._joules


def _is_nvidia(device: Any) -> bool:
    return type(device).__name__ == "NvidiaGPUDevice"


def _named(device: Any) -> tuple[str, str]:
    """Return a GPU's uuid and name."""
    details = device.get_static_details()
    return details["uuid"], details["name"]


def _counters(hardware: Any, cpu_watts: float | None = None) -> list[Counter]:
    """Return what reads one of CodeCarbon's hardware objects.

    Its RAPL files are read without it: by its own reading a counter that cannot be read uses 0
    joules, and one that was reset all of its range.
    """
    if hasattr(hardware, "devices"):  # GPUs, each of which has a counter of its own
        return []
    if mode_of(hardware) != "intel_rapl":
        return [HardwareCounter(hardware, is_declared=cpu_watts is not None)]
    return open_zones(rapl_packages(hardware), "cpu")


def _rests_on_tdp(counter: Counter) -> bool:
    """Tell whether the figure is a model's, scaled by the CPU's rated power."""
    return counter.component == "cpu" and counter.quality == "estimated"


def _tdp_basis(cpu: Any, *, is_declared: bool) -> str:
    from codecarbon.core.cpu import DEFAULT_POWER_PER_CORE

    curve = "0.1 + 0.9 load³ of" if mode_of(cpu) == "cpu_load" else "half of"
    origin = f"a guess of {DEFAULT_POWER_PER_CORE} W a thread: CodeCarbon has no rating"
    if is_declared:
        origin = "declared"
    elif has_rating(cpu):
        origin = "as rated"
    return f"{curve} {rated_watts(cpu):g} W ({origin}, {cpu.get_model()})"


def _make_tracker(tracking_mode: str, cpu_watts: float | None) -> "OfflineEmissionsTracker":
    from codecarbon import OfflineEmissionsTracker

    logging.getLogger("codecarbon").setLevel(logging.ERROR)
    return OfflineEmissionsTracker(
        # Asked for by the class, and without effect here: emissions are computed in `carbon`.
        country_iso_code="USA",
        force_carbon_intensity_g_co2e_kwh=0.0,
        tracking_mode=tracking_mode,
        allow_multiple_runs=True,
        output_methods=[],
        log_level="error",
        **({} if cpu_watts is None else {"force_cpu_power": cpu_watts}),
    )


def _origin(hardware: Any) -> tuple[str, str, Quality]:
    """Tell component, source and quality of one of CodeCarbon's hardware objects.

    EmissionsData does not say how a figure was obtained; the hardware list does.
    """
    kind = type(hardware).__name__
    if kind == "CPU":
        mode = str(mode_of(hardware))
        return "cpu", *_CPU_SOURCES.get(mode, (mode, "estimated"))
    if kind == "RAM":
        return "ram", "constant_power", "estimated"
    if kind in _SENSORS:
        return hardware.chip_part.lower(), _SENSORS[kind], "measured"
    return "cpu", kind.lower(), "estimated"
