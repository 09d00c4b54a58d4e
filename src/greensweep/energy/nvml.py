"""NVML: the energy counters of NVIDIA GPUs, and which process uses them."""

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

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

    def use_by_process(self) -> Mapping[int, float] | None:
        return use_of_devices([self._handle])


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


def use_of_devices(handles: Sequence[Any]) -> dict[int, float] | None:
    """Return the share of each process in the work of some GPUs, by process id.

    By utilisation of the multiprocessors over the last second where the driver keeps it, else by
    memory in use; None where neither is known.
    """
    use: dict[int, float] = defaultdict(float)
    for handle in handles:
        for process, amount in (_utilisation(handle) or _memory(handle)).items():
            use[process] += amount / len(handles)
    return dict(use) or None


def _utilisation(handle: Any) -> dict[int, float]:
    import pynvml

    since = int((time.time() - _RECENT_SECONDS) * 1e6)
    samples: list[Any] = []
    with suppress(pynvml.NVMLError):  # not supported, or no sample yet
        samples = pynvml.nvmlDeviceGetProcessUtilization(handle, since)
    work: dict[int, float] = defaultdict(float)
    for sample in samples:
        work[int(sample.pid)] += float(sample.smUtil)
    return _shares(work)


def _memory(handle: Any) -> dict[int, float]:
    import pynvml

    used: dict[int, float] = defaultdict(float)
    with suppress(pynvml.NVMLError):
        for process in pynvml.nvmlDeviceGetComputeRunningProcesses(handle):
            used[int(process.pid)] += float(process.usedGpuMemory or 0)
    return _shares(used)


def _shares(amounts: Mapping[int, float]) -> dict[int, float]:
    total = sum(amounts.values())
    return {process: amount / total for process, amount in amounts.items()} if total > 0 else {}
