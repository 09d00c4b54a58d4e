"""NVIDIA GPUs: which there are, which CUDA shows this process, and which a run is charged."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Any

from greensweep.energy.notices import warn_once
from greensweep.errors import EnergyError

VISIBLE = "CUDA_VISIBLE_DEVICES"


@dataclass(frozen=True)
class Gpu:
    """One board."""

    index: int  # its number on the machine, as `nvidia-smi` counts
    uuid: str  # its name for ever
    name: str  # its product
    slices: tuple[str, ...] = ()  # the ids of its MIG devices; empty where it is not divided


@dataclass(frozen=True)
class CudaDevice:
    """What CUDA shows as one device: a GPU, or a MIG slice of one."""

    gpu: Gpu
    id: str  # what names it in CUDA_VISIBLE_DEVICES: the GPU's UUID, or the slice's

    @property
    def is_slice(self) -> bool:
        """Tell whether the board has other users by design."""
        return self.id.startswith("MIG-")


def machine_gpus() -> list[Gpu]:
    """Return all GPUs that NVML shows, in its order; none where there is no driver.

    Raises:
        pynvml.NVMLError: the driver refuses, for want of permission, say.
    """
    import pynvml

    try:
        pynvml.nvmlInit()
    except (pynvml.NVMLError_LibraryNotFound, pynvml.NVMLError_DriverNotLoaded):
        return []
    found = []
    for index in range(pynvml.nvmlDeviceGetCount()):
        handle = pynvml.nvmlDeviceGetHandleByIndex(index)
        uuid, name = pynvml.nvmlDeviceGetUUID(handle), pynvml.nvmlDeviceGetName(handle)
        found.append(Gpu(index, uuid, name, tuple(_slices(handle))))
    return found


def _slices(handle: Any) -> Iterator[str]:
    import pynvml

    try:
        present, _ = pynvml.nvmlDeviceGetMigMode(handle)
    except pynvml.NVMLError:  # a GPU that cannot be divided
        return
    if present != pynvml.NVML_DEVICE_MIG_ENABLE:
        return
    for number in range(pynvml.nvmlDeviceGetMaxMigDeviceCount(handle)):
        with suppress(pynvml.NVMLError_NotFound):
            part = pynvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, number)
            yield pynvml.nvmlDeviceGetUUID(part)


def cuda_devices(
    gpus: Sequence[Gpu], environment: Mapping[str, str] = os.environ
) -> list[CudaDevice]:
    """Return what CUDA shows a process with that environment, in CUDA's order.

    CUDA_VISIBLE_DEVICES holds numbers, UUIDs or MIG ids, the latter two also abbreviated; what
    follows one that is not there is not shown (CUDA Programming Guide, section 5.2.1).
    """
    named = environment.get(VISIBLE)
    if named is None:
        ordered = _in_cuda_order(gpus, environment) if len(gpus) > 1 else gpus
        return [device for gpu in ordered for device in _devices_of(gpu)]
    shown: list[CudaDevice] = []
    for each in map(str.strip, named.split(",")):
        device = _named_device(each, gpus, environment)
        if device is None:
            break
        if device in shown:
            return []  # as CUDA has it
        shown.append(device)
    return shown


def _devices_of(gpu: Gpu) -> list[CudaDevice]:
    return [CudaDevice(gpu, each) for each in gpu.slices or (gpu.uuid,)]


def _named_device(
    name: str, gpus: Sequence[Gpu], environment: Mapping[str, str]
) -> CudaDevice | None:
    if name.isdecimal():
        numbered = dict(enumerate(_in_cuda_order(gpus, environment)))
        gpu = numbered.get(int(name))
        return None if gpu is None else _devices_of(gpu)[0]  # of a divided one CUDA shows the first
    if name.startswith("MIG-GPU-"):  # with the numbers of the slice behind a slash
        board = name.removeprefix("MIG-").partition("/")[0]
        return next((CudaDevice(gpu, name) for gpu in gpus if gpu.uuid == board), None)
    boards = [_devices_of(gpu)[0] for gpu in gpus if _is_meant(name, gpu.uuid)]
    slices = [CudaDevice(gpu, each) for gpu in gpus for each in gpu.slices if _is_meant(name, each)]
    found = boards + slices
    return found[0] if len(found) == 1 else None


def _is_meant(name: str, uuid: str) -> bool:
    """Tell whether a name is that id, or its beginning."""
    return len(name) > len("GPU-") and uuid.startswith(name)


def _in_cuda_order(gpus: Sequence[Gpu], environment: Mapping[str, str]) -> Sequence[Gpu]:
    """Return GPUs as CUDA numbers them: as NVML does, unless they differ, the fastest first."""
    if environment.get("CUDA_DEVICE_ORDER") == "PCI_BUS_ID" or len({g.name for g in gpus}) < 2:
        return gpus
    by_uuid = {gpu.uuid: gpu for gpu in gpus}
    order = _uuids_by_speed()
    if set(order) == by_uuid.keys():
        return [by_uuid[uuid] for uuid in order]
    warn_once(
        "The GPUs of this machine differ, and CUDA does not say how it numbers them: their numbers "
        "are taken to be nvidia-smi's; set CUDA_DEVICE_ORDER=PCI_BUS_ID, which makes it so."
    )
    return gpus


# Asked in a process of its own: this one may yet narrow what it sees, or fork.
_ASK_CUDA = """
import ctypes, uuid
cuda = ctypes.CDLL("libcuda.so.1")
count, device = ctypes.c_int(), ctypes.c_int()
assert cuda.cuInit(0) == 0 and cuda.cuDeviceGetCount(ctypes.byref(count)) == 0
for index in range(count.value):
    found = (ctypes.c_ubyte * 16)()
    assert cuda.cuDeviceGet(ctypes.byref(device), index) == 0
    assert cuda.cuDeviceGetUuid(found, device) == 0
    print("GPU-" + str(uuid.UUID(bytes=bytes(found))))
"""


@cache  # the machine's GPUs do not change
def _uuids_by_speed() -> tuple[str, ...]:
    """Return the UUIDs of all GPUs in CUDA's default order; none where CUDA does not answer."""
    environment = {name: text for name, text in os.environ.items() if name != VISIBLE}
    asked = subprocess.run(
        [sys.executable, "-c", _ASK_CUDA],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return tuple(asked.stdout.split()) if asked.returncode == 0 else ()


def charged_devices(
    gpus: Sequence[Gpu], named: Any, device: str | None, prefix: str
) -> list[CudaDevice]:
    """Return what a run is charged the energy of; at most one device of each GPU.

    Args:
        gpus: of the machine.
        named: the option `gpus`: numbers and UUIDs of GPUs, `all`, or None for what it computes on.
        device: where the run computes: cpu, cuda, cuda:1, or on several, cuda:0,1; None where that
            is not known, which is anything that CUDA shows it.
        prefix: of the option, where it was set.

    Raises:
        EnergyError: `named` names a GPU that is not there.
    """
    if named is None:
        chosen = cuda_devices(gpus) if device != "cpu" else []
        if device is not None and chosen:
            numbers = map(int, (device.partition(":")[2] or "0").split(","))
            chosen = [chosen[number] for number in numbers if number < len(chosen)]
    elif named == "all":
        chosen = [CudaDevice(gpu, gpu.uuid) for gpu in gpus]
    else:
        entries = [named] if isinstance(named, int | str) else named
        chosen = [_named_gpu(each, gpus, f"{prefix}gpus") for each in entries]
    return list({each.gpu: each for each in chosen}.values())


def _named_gpu(name: int | str, gpus: Sequence[Gpu], option: str) -> CudaDevice:
    for gpu in gpus:
        if str(name) == str(gpu.index) or (isinstance(name, str) and _is_meant(name, gpu.uuid)):
            return CudaDevice(gpu, gpu.uuid)
    count = len(gpus)
    there = "no GPU here" if not count else f"GPUs 0 to {count - 1}" if count > 1 else "GPU 0"
    raise EnergyError(
        f"{option} names GPU {name}, and there is {there}: set {option} to GPUs that exist "
        "or to all, or leave it out for those that the run computes on"
    )
