"""NVIDIA GPUs that do what a test says: for this process, and for those that it starts."""

import json
import os
import sys
import types
from pathlib import Path

import pynvml
import pytest

_FAKE = Path(__file__).with_name("fake_nvml")


def environment_with(*watts: float) -> dict[str, str]:
    """Return the environment of a process on a machine with GPUs of such powers.

    `fake_nvml/pynvml.py` stands in for the driver's library there.
    """
    path = os.pathsep.join([str(_FAKE), *filter(None, [os.environ.get("PYTHONPATH")])])
    kept = {name: text for name, text in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"}
    return {**kept, "PYTHONPATH": path, "FAKE_GPUS": json.dumps(watts)}


class Gpus:
    """NVIDIA GPUs behind a module that stands in for pynvml, all of which CUDA shows.

    Attributes:
        joules: by index.
        names: of the products.
        slices: by index, ids of the MIG devices of a GPU that is divided.
        accounting: by index, whether the driver keeps accounts, where it can.
        fault: an NVML error code that the start of the library ends with, or None.
        broken: GPUs that fell off the bus.
        utilisation: by GPU, the share in percent of each process in the multiprocessors' time.
        busy: by GPU, percent of the time in which anything ran.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, count: int = 1) -> None:
        self.joules = [0.0] * count
        self.names: dict[int, str] = {}
        self.slices: dict[int, list[str]] = {}
        self.accounting: dict[int, bool] = {}
        self.fault: int | None = None
        self.broken: set[int] = set()
        self.utilisation: dict[int, dict[int, int]] = {}
        self.busy: dict[int, int] = {}
        module = types.ModuleType("pynvml")
        for name in vars(pynvml):
            if name.startswith(("NVMLError", "NVML_")):
                setattr(module, name, getattr(pynvml, name))
        for name, function in {
            "nvmlInit": self._start,
            "nvmlDeviceGetCount": lambda: len(self.joules),
            "nvmlDeviceGetHandleByIndex": lambda index: index,
            "nvmlDeviceGetUUID": lambda of: of if isinstance(of, str) else self.uuid(of),
            "nvmlDeviceGetName": lambda index: self.names.get(index, "NVIDIA H200"),
            "nvmlDeviceGetMigMode": self._mig_mode,
            "nvmlDeviceGetMaxMigDeviceCount": lambda _: 7,
            "nvmlDeviceGetMigDeviceHandleByIndex": self._slice,
            "nvmlDeviceGetAccountingMode": self._accounting,
            "nvmlDeviceGetTotalEnergyConsumption": self._millijoules,
            "nvmlDeviceGetProcessUtilization": self._utilisation,
            "nvmlDeviceGetUtilizationRates": self._rates,
        }.items():
            setattr(module, name, function)
        monkeypatch.setitem(sys.modules, "pynvml", module)
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        monkeypatch.delenv("CUDA_DEVICE_ORDER", raising=False)

    @staticmethod
    def uuid(index: int) -> str:
        """Return a GPU's UUID, whose first digit is its index."""
        return f"GPU-{index}d5df1de-2b9c-4f4b-8e7c-f25d30f3c09f"

    def _mig_mode(self, index: int) -> list[int]:
        if index not in self.slices:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        return [pynvml.NVML_DEVICE_MIG_ENABLE] * 2

    def _slice(self, index: int, number: int) -> str:
        if number >= len(self.slices[index]):
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)
        return self.slices[index][number]

    def _accounting(self, index: int) -> int:
        if index not in self.accounting:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        return int(self.accounting[index])

    def _start(self) -> None:
        if self.fault is not None:
            raise pynvml.NVMLError(self.fault)

    def _millijoules(self, index: int) -> int:
        if index in self.broken:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_GPU_IS_LOST)
        return round(self.joules[index] * 1e3)

    def _utilisation(self, index: int, since: int) -> list[types.SimpleNamespace]:
        if index not in self.utilisation:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)
        return [
            types.SimpleNamespace(pid=process, smUtil=percent)
            for process, percent in self.utilisation[index].items()
        ]

    def _rates(self, index: int) -> types.SimpleNamespace:
        if index not in self.busy:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        return types.SimpleNamespace(gpu=self.busy[index])
