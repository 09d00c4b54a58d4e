"""NVML: the energy counters of NVIDIA GPUs, and which process uses them."""

import time
from collections.abc import Collection, Sequence
from contextlib import suppress

from greensweep.energy.counters import Counter
from greensweep.errors import EnergyError

_MILLIJOULES = 1e-3
_RECENT_SECONDS = 1.0


class NvmlCounter(Counter):
    """The total energy counter of one GPU (Volta and later).

    Raises:
        pynvml.NVMLError: the GPU has no such counter, or it may not be read.
    """

    component = "gpu"
    source = "nvml"
    common = True
    update_seconds = 0.1
    in_turn = True

    def __init__(self, index: int) -> None:
        import pynvml

        self._index = index
        self._handle = pynvml.nvmlDeviceGetHandleByIndex(index)
        self.read()

    @property
    def key(self) -> str:
        return f"gpu/nvml/{self._index}"

    @property
    def basis(self) -> str:
        return f"the driver's counter of GPU {self._index}, the whole board"

    def read(self) -> float:
        import pynvml

        return _MILLIJOULES * float(pynvml.nvmlDeviceGetTotalEnergyConsumption(self._handle))

    def busy(self) -> float | None:
        import pynvml

        with suppress(pynvml.NVMLError):  # not supported
            return float(pynvml.nvmlDeviceGetUtilizationRates(self._handle).gpu) / 100.0
        return None

    def users(self) -> Collection[int] | None:
        import pynvml

        # A sample every 200 ms or so, each of which names one process alone, the one that had the
        # GPU: it tells who computes, and nobody's share.
        since = int((time.time() - _RECENT_SECONDS) * 1e6)
        try:
            samples = pynvml.nvmlDeviceGetProcessUtilization(self._handle, since)
        except pynvml.NVMLError:  # not supported, or no sample yet
            return None
        return {int(sample.pid) for sample in samples if sample.smUtil}


def count_gpus() -> int:
    """Return the number of NVIDIA GPUs, 0 where there is no driver.

    Raises:
        pynvml.NVMLError: the driver refuses, for want of permission, say.
    """
    import pynvml

    try:
        pynvml.nvmlInit()
    except (
        pynvml.NVMLError_LibraryNotFound,
        pynvml.NVMLError_DriverNotLoaded,
    ):
        return 0
    return int(pynvml.nvmlDeviceGetCount())


def check_indices(wanted: Sequence[int], count: int) -> None:
    """Refuse GPU indices that do not exist.

    Raises:
        EnergyError: for the first of them.
    """
    for index in wanted:
        if not 0 <= index < count:
            there = (
                "no GPU here" if not count else f"GPUs 0 to {count - 1}" if count > 1 else "GPU 0"
            )
            raise EnergyError(
                f"energy.gpus names GPU {index}, and there is {there}: set energy.gpus to GPUs "
                "that exist, or to null for all"
            )
