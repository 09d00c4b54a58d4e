"""What ran in a block, on the CPU and on a GPU, as `torch.profiler` tells it."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from greensweep.errors import TrainingError
from greensweep.models.torch_internals import profiler_runs

HOST_KINDS = ("cpu_op", "user_annotation")
LAUNCH_KINDS = ("cuda_runtime", "cuda_driver")
DEVICE_KINDS = ("kernel", "gpu_memcpy", "gpu_memset")


@dataclass(frozen=True, slots=True)
class Event:
    """Something that ran.

    Attributes:
        name: of the operator, annotation, CUDA call or kernel.
        kind: one of `HOST_KINDS`, `LAUNCH_KINDS` and `DEVICE_KINDS`.
        thread: of the CPU; of what ran on a GPU, its stream.
        start_ns, end_ns: on the trace's clock.
        number: of an operator; of what ran on a GPU, that of the operator that launched it.
        sequence: of an operator, the number that the next node of the backward graph will have
            when it begins; of a gradient's evaluation, the number of its node.
        launch: what a kernel and the CUDA call that launched it have in common.
    """

    name: str
    kind: str
    thread: int
    start_ns: int
    end_ns: int
    number: int | None = None
    sequence: int | None = None
    launch: int | None = None


@contextmanager
def traced(device: torch.device) -> Iterator[list[Event]]:
    """Trace the block; the list that it gets holds what ran, once the block has ended.

    Raises:
        TrainingError: another profiler runs, which this one would end.
    """
    if profiler_runs():
        raise TrainingError("another profiler runs, beside which PyTorch has none: stop it before")
    # The profiler's library writes lines to stderr, of errors too where there is no GPU. It reads
    # this when it is first used.
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")
    activities = [ProfilerActivity.CPU]
    if device.type == "cuda":
        activities.append(ProfilerActivity.CUDA)
    events: list[Event] = []
    with TemporaryDirectory() as folder:
        with profile(activities=activities) as profiler:
            yield events
        path = Path(folder) / "trace.json"
        profiler.export_chrome_trace(str(path))
        events += read_trace(path)


def read_trace(path: Path) -> list[Event]:
    """Read a trace in Chrome's format, as `export_chrome_trace` writes it, in order of start."""
    records = json.loads(path.read_bytes(), strict=False)["traceEvents"]
    kinds = {*HOST_KINDS, *LAUNCH_KINDS, *DEVICE_KINDS}
    events = [
        _event(each) for each in records if each.get("ph") == "X" and each.get("cat") in kinds
    ]
    # What encloses others comes before them.
    return sorted(events, key=lambda event: (event.start_ns, -event.end_ns))


def _event(record: dict[str, Any]) -> Event:
    arguments = record.get("args", {})
    start_ns = round(record["ts"] * 1000)
    return Event(
        record["name"],
        record["cat"],
        record["tid"],
        start_ns,
        start_ns + round(record["dur"] * 1000),
        number=arguments.get("External id"),
        sequence=arguments.get("Sequence number"),
        launch=arguments.get("correlation"),
    )
