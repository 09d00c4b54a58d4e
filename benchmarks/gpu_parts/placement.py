"""`CUDA_VISIBLE_DEVICES` by number, by UUID and abbreviated: is that GPU charged, and no other?"""

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from figures import Figure

from gpu_parts.load import Load
from gpu_parts.session import Session
from gpu_parts.workers import Worker
from greensweep.config.schema_energy import CodeCarbonConfig, MachineEnergyConfig, NvmlRaplConfig
from greensweep.energy import build_meter
from greensweep.energy.gpus import VISIBLE, CudaDevice, cuda_devices, machine_gpus

_MOST_GPUS = 2
_ABBREVIATED = len("GPU-") + 8


def measure(session: Session) -> Iterator[Figure]:
    """Let processes that CUDA shows one GPU compute, and see by which counter they are charged."""
    seconds = session.plan.long_seconds / 4
    shown = {
        f"{VISIBLE}={name}": (name, device.gpu.uuid)
        for device in cuda_devices(machine_gpus())[-1 if session.plan.is_tiny else -_MOST_GPUS :]
        for name in _names(device)
    }
    workers = {
        row: Worker({VISIBLE: name, "CUDA_DEVICE_ORDER": "PCI_BUS_ID"})
        for row, (name, _) in shown.items()
    }
    try:
        for row, (_, uuid) in shown.items():
            for config in (NvmlRaplConfig, CodeCarbonConfig):
                with session.trying(f"{row}, energy={config().name}"):
                    asked = session.device.type, config, seconds, session.plan.side
                    found = workers[row].run(_charged, *asked).result()
                    yield _figure(row, config().name, uuid, found)
    finally:
        for worker in workers.values():
            worker.end()


def _names(device: CudaDevice) -> Sequence[str]:
    if device.is_slice:
        return (device.id,)
    return str(device.gpu.index), device.id, device.id[:_ABBREVIATED]


def _figure(row: str, meter: str, named: str, found: Mapping[str, Any]) -> Figure:
    # CUDA itself tells on which GPU it computed, but for slices and scripted ones.
    counters = found["counter_joules"]
    meant = found["cuda_uuid"] if found["cuda_uuid"] in counters else named
    used = counters[meant]
    return Figure(
        "placement",
        f"{row}, energy={meter}",
        "GPU joules / counter of the GPU that CUDA computes on",
        found["joules"] / used,
        at_least=0.9,
        at_most=1.1,
        details={**found, "meant_uuid": meant},
    )


def _charged(
    device: str, config: type[MachineEnergyConfig], seconds: float, side: int
) -> dict[str, Any]:
    """Compute in a worker; return what it is charged, and what each GPU of the machine used."""
    import pynvml

    load = Load(torch.device(device), side)
    load.run(seconds / 2)
    meter = build_meter(config(), device="cuda")
    meter.start()
    uuids = [gpu.uuid for gpu in machine_gpus()]
    handles = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(len(uuids))]

    def counters() -> list[int]:
        return [pynvml.nvmlDeviceGetTotalEnergyConsumption(each) for each in handles]

    until, first = time.monotonic() + 1.0, counters()
    while counters() == first and time.monotonic() < until:
        time.sleep(0.001)
    meter.lap()
    before = counters()
    load.run(seconds)
    reading = meter.lap()
    after = counters()
    meter.stop()
    gpu = reading.components.get("gpu")
    cuda = torch.cuda.get_device_properties(0).uuid if device == "cuda" else None
    return {
        "joules": 0.0 if gpu is None else gpu.joules,
        "quality": reading.quality,
        "cuda_uuid": None if cuda is None else f"GPU-{cuda}",
        "counter_joules": {
            uuid: (end - begin) / 1000
            for uuid, begin, end in zip(uuids, before, after, strict=True)
        },
    }
