"""NVML: the energy counters of NVIDIA GPUs, and which process uses them."""

import time
from collections.abc import Collection
from contextlib import suppress

from greensweep.energy.counters import Counter
from greensweep.energy.gpus import CudaDevice, Gpu
from greensweep.errors import first_line

_MILLIJOULES = 1e-3
_RECENT_SECONDS = 1.0


class NvmlCounter(Counter):
    """The total energy counter of one GPU (Volta and later): of the board, whatever its slices.

    Raises:
        pynvml.NVMLError: the GPU has no such counter, or it may not be read.
    """

    component = "gpu"
    source = "nvml"
    common = True
    update_seconds = 0.1
    in_turn = True

    def __init__(self, device: CudaDevice) -> None:
        import pynvml

        gpu, part = device.gpu, ""
        self._device, self.name = device, gpu.uuid
        self._handle = pynvml.nvmlDeviceGetHandleByIndex(gpu.index)
        if device.is_slice:
            self.quality = "attributed"  # the board has no counter by slice
            part = f", for its slice {device.id}"
        board = f"GPU {gpu.index}, {gpu.name} ({gpu.uuid})"
        self.basis = f"the driver's counter of {board}, all of it{part}"
        self.read()

    def read(self) -> float:
        import pynvml

        return _MILLIJOULES * float(pynvml.nvmlDeviceGetTotalEnergyConsumption(self._handle))

    def busy(self) -> float | None:
        import pynvml

        if self._device.is_slice:
            return 0.0  # slices compute side by side: none waits for its turn
        with suppress(pynvml.NVMLError):  # not supported
            return float(pynvml.nvmlDeviceGetUtilizationRates(self._handle).gpu) / 100.0
        return None

    def users(self) -> Collection[int] | None:
        import pynvml

        # A sample every 200 ms or so, each of which names one process alone, the one that had the
        # GPU: it names who computes, and nobody's share.
        since = int((time.time() - _RECENT_SECONDS) * 1e6)
        try:
            samples = pynvml.nvmlDeviceGetProcessUtilization(self._handle, since)
        except pynvml.NVMLError:  # not supported, or no sample yet
            return None
        return {int(sample.pid) for sample in samples if sample.smUtil}


def refusal(error: Exception) -> str:
    """Put an error of pynvml's into words."""
    return f"NVML refuses ({first_line(error)})"


def keeps_accounts(gpu: Gpu) -> bool | None:
    """Tell whether the driver keeps each process's time on a GPU; None where it cannot."""
    import pynvml

    try:
        mode = pynvml.nvmlDeviceGetAccountingMode(pynvml.nvmlDeviceGetHandleByIndex(gpu.index))
    except pynvml.NVMLError:
        return None
    return bool(mode == pynvml.NVML_FEATURE_ENABLED)
