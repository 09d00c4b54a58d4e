"""NVML with the GPUs of $FAKE_GPUS, a list of watts: put this folder first on PYTHONPATH.

Errors and constants are those of the real module. A GPU draws its watts all the time, and its
counter shows them every 100 ms, as hardware does.
"""

import json
import os
import sys
import time
from pathlib import Path

_here = Path(__file__).resolve()
_real = next(
    file
    for folder in sys.path
    if (file := Path(folder or ".", "pynvml.py").resolve()).is_file() and file != _here
)
exec(compile(_real.read_text(encoding="utf-8"), str(_real), "exec"))

_watts = json.loads(os.environ["FAKE_GPUS"])
_UPDATE_SECONDS = 0.1


def nvmlInit():
    pass


def nvmlDeviceGetCount():
    return len(_watts)


def nvmlDeviceGetHandleByIndex(index):
    return range(len(_watts))[index]


def nvmlDeviceGetUUID(handle):
    return f"GPU-{handle}d5df1de-2b9c-4f4b-8e7c-f25d30f3c09f"


def nvmlDeviceGetName(handle):
    return "NVIDIA H200"


def nvmlDeviceGetMigMode(handle):
    raise NVMLError(NVML_ERROR_NOT_SUPPORTED)  # noqa: F821


def nvmlDeviceGetAccountingMode(handle):
    return 0


def nvmlDeviceGetTotalEnergyConsumption(handle):
    shown = time.monotonic() // _UPDATE_SECONDS * _UPDATE_SECONDS
    return round(1000 * _watts[handle] * shown)


def nvmlDeviceGetPowerUsage(handle):
    return round(1000 * _watts[handle])


def nvmlDeviceGetUtilizationRates(handle):
    return c_nvmlUtilization_t(0, 0)  # noqa: F821


def nvmlDeviceGetProcessUtilization(handle, since):
    raise NVMLError(NVML_ERROR_NOT_FOUND)  # noqa: F821


def nvmlDeviceGetComputeRunningProcesses(handle):
    return []


def nvmlDeviceGetGraphicsRunningProcesses(handle):
    return []


def nvmlDeviceGetMemoryInfo(handle):
    return c_nvmlMemory_t(2**37, 2**37, 0)  # noqa: F821


def nvmlDeviceGetEnforcedPowerLimit(handle):
    return 700_000


def nvmlDeviceGetTemperature(handle, sensor):
    return 40


def nvmlDeviceGetComputeMode(handle):
    return 0
