"""The hardware counters themselves: RAPL for CPU and memory, NVML for GPUs, as Zeus reads them."""

from collections.abc import Sequence
from pathlib import Path

from greensweep.config.schema_energy import NvmlRaplConfig
from greensweep.energy.counters import Counter, Source
from greensweep.energy.gpus import charged_devices, machine_gpus
from greensweep.energy.notices import warn_once
from greensweep.energy.nvml import NvmlCounter, refusal
from greensweep.energy.rapl import open_zones, rapl_zones
from greensweep.errors import EnergyError, first_line


class NvmlRaplSource(Source):
    """The source of `energy=nvml_rapl`, counters only: a component without one has no figure.

    Args:
        device: where the run computes, as `charged_devices` takes it.
    """

    def __init__(self, config: NvmlRaplConfig, device: str | None) -> None:
        self._config, self._device = config, device

    def open(self) -> list[Counter]:
        """Open what can be read, with one warning for each kind of counter that cannot.

        Raises:
            EnergyError: nothing can be read, or there is no such GPU.
        """
        zones = rapl_zones()
        opened = {
            "cpu": _open_rapl(zones, "cpu"),
            "ram": _open_rapl(zones, "ram"),
            "gpu": self._open_nvml(),
        }
        counters = [each for found, _ in opened.values() for each in found]
        if not counters:
            meter = self._config.meter_option
            raise EnergyError(
                f"{meter}=nvml_rapl finds no counter that it can read (RAPL: "
                f"{opened['cpu'][1]}; NVML: {opened['gpu'][1]}): set {meter}=codecarbon for "
                f"estimates, or {meter}=unmetered"
            )
        # A machine without GPUs lacks nothing, nor do many without a counter of their memory; one
        # without RAPL hides what its CPU used.
        for component, (_, fault) in opened.items():
            if fault and fault not in (_NO_GPU, _NO_MEMORY):
                warn_once(f"No {component} energy in this run's figures: {fault}.")
        return counters

    def _open_nvml(self) -> tuple[list[Counter], str | None]:
        try:
            gpus, prefix = self._config.gpus, self._config.prefix
            devices = charged_devices(machine_gpus(), gpus, self._device, prefix)
            return [NvmlCounter(each) for each in devices], None if devices else _NO_GPU
        except EnergyError:
            raise
        except Exception as error:  # pynvml's errors, whose class needs the library
            return [], refusal(error)


_NO_GPU = "there is no NVIDIA GPU that the run computes on"
_NO_MEMORY = "this machine shows no RAPL zone of its memory"


def _open_rapl(
    zones: Sequence[tuple[Path, str]], component: str
) -> tuple[list[Counter], str | None]:
    own = [zone for zone, name in zones if name == component]
    if not own:
        return [], _NO_MEMORY if component == "ram" else "this machine shows no RAPL zones"
    try:
        return open_zones(own, component), None
    except PermissionError as error:
        return [], (
            f"{error.filename} may not be read by this user, "
            "let an administrator run: chmod -R a+r /sys/class/powercap/intel-rapl*"
        )
    except (OSError, ValueError) as error:
        return [], first_line(error)
