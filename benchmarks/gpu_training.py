"""Training steps, plain and captured, against loops written by hand: seconds, and joules on a GPU.

`python benchmarks/gpu_training.py` on a machine with a GPU, `--quick` to see that it works on any.
Images are noise: what they show does not matter for time.
"""

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Literal

import torch
from figures import Figure, interleave, ratios, summarised
from loops import RawData, bare_epoch, fused_adam
from machine import describe_machine
from subjects import SEED, SUBJECTS, Subject
from torch import nn

from greensweep.config.schema import AdamConfig, ConstantConfig, TrainingConfig
from greensweep.data import TensorSplit
from greensweep.energy import synchronize
from greensweep.files import write_text
from greensweep.models import build_model
from greensweep.tasks.classification import Classification
from greensweep.training import (
    Normalise,
    Training,
    choose_device,
    deterministic,
    device_name,
    start_state,
)
from greensweep.training.capture import Capture

_SHAPE, _CLASSES = (3, 32, 32), 10
_PLAIN_AT_MOST = 1 / 0.97  # of the time of the bare loop
_GRAPH_AT_MOST, _GRAPH_JOULES_AT_MOST = 0.4, 0.5  # for the smallest CNN, batches of 64

Joules = Callable[[], float]  # a counter that grows
Asked = Literal["none", "graph", "compile", "auto"]
Precision = Literal["float32", "bfloat16"]


@dataclass(frozen=True)
class Plan:
    """How much is measured.

    Attributes:
        images: per epoch.
        seconds: of a reading at least; NVML's counter changes every 0.1 s.
        rounds: readings of each loop, in turn.
        compiled: networks that are also measured compiled, in the first precision and batch size:
            compiling takes longer than measuring.
    """

    subjects: tuple[Subject, ...] = SUBJECTS
    batch_sizes: tuple[int, ...] = (64, 512)
    precisions: tuple[Precision, ...] = ("float32", "bfloat16")
    images: int = 8500
    seconds: float = 1.0
    rounds: int = 3
    compiled: tuple[str, ...] = tuple(subject.name for subject in SUBJECTS)


FULL = Plan()
QUICK = Plan(
    subjects=SUBJECTS[:1],
    batch_sizes=(16,),
    precisions=("float32",),
    images=72,
    seconds=0.0,
    rounds=2,
    compiled=(),
)


@dataclass(frozen=True)
class Cell:
    """One network under one setting."""

    subject: Subject
    batch_size: int
    precision: Precision

    @property
    def name(self) -> str:
        return f"{self.subject.name}, {self.batch_size}, {self.precision}"


@dataclass(frozen=True)
class _Reading:
    """Of one epoch; joules are None without a counter."""

    seconds: float
    joules: float | None


def measure(device: torch.device, plan: Plan, joules: Joules | None = None) -> list[Figure]:
    """Compare Greensweep's epochs with those of bare loops, for each network, batch and precision.

    Args:
        joules: reads the GPU's energy counter.
    """
    cells = [
        Cell(subject, batch_size, precision)
        for subject in plan.subjects
        for precision in plan.precisions
        for batch_size in plan.batch_sizes
    ]
    firsts = (plan.batch_sizes[0], plan.precisions[0])
    return [
        figure
        for cell in cells
        for figure in _compare(
            cell,
            device,
            plan,
            joules,
            compiles=(cell.batch_size, cell.precision) == firsts
            and cell.subject.name in plan.compiled,
        )
    ]


def measure_determinism(device: torch.device, plan: Plan) -> list[Figure]:
    """Train twice by deterministic algorithms and compare the weights, and the time to plain steps.

    The first figure of a network is 1 where the weights are equal bit by bit, else 0.
    """
    figures = []
    for subject in plan.subjects:
        cell = Cell(subject, plan.batch_sizes[0], plan.precisions[0])
        data = _noise(plan.images, device)
        with deterministic(True):
            one, other = (_weights_after_an_epoch(cell, data) for _ in range(2))
        epochs = {name: iter(_greensweep(cell, data, "none")) for name in ("plain", "fixed")}

        def fixed(epochs: Iterator[object] = epochs["fixed"]) -> object:
            with deterministic(True):
                return next(epochs)

        loops = {"plain": partial(next, epochs["plain"]), "fixed": fixed}
        read = {name: partial(_read, loop, plan.seconds, None) for name, loop in loops.items()}
        readings = interleave(read, plan.rounds)
        seconds = {name: [each.seconds for each in found] for name, found in readings.items()}
        figures += [
            Figure(
                "gpu_training",
                cell.name,
                "equal weights of two deterministic epochs",
                float(torch.equal(one, other)),
                at_least=1,
                details={"device": device_name(device)},
            ),
            Figure(
                "gpu_training",
                cell.name,
                "deterministic / plain, seconds per epoch",
                **summarised(ratios(seconds["fixed"], seconds["plain"])),
                details={"device": device_name(device), "seconds": seconds},
            ),
        ]
    return figures


def _weights_after_an_epoch(cell: Cell, data: RawData) -> torch.Tensor:
    model = _network(cell, data.images.device)
    next(iter(_greensweep(cell, data, "none", model)))
    return torch.cat([each.detach().flatten() for each in model.parameters()])


def _compare(
    cell: Cell, device: torch.device, plan: Plan, joules: Joules | None, *, compiles: bool
) -> list[Figure]:
    data = _noise(plan.images, device)
    loops: dict[str, Callable[[], object]] = {
        f"bare loop, order drawn on {place}": _bare(cell, data, place)
        for place in dict.fromkeys(("cpu", device.type))
    }
    *_, base = loops
    captures: dict[str, Capture] = {}
    for asked in ("none", "graph", *(("compile",) if compiles else ())):
        training = _greensweep(cell, data, asked)
        training.warm_up()
        if training.capture.mode == asked:
            name = f"greensweep, capture={asked}"
            loops[name] = partial(next, iter(training))
            captures[name] = training.capture
    chosen = _greensweep(cell, data, "auto")
    chosen.warm_up()
    read = {name: partial(_read, loop, plan.seconds, joules) for name, loop in loops.items()}
    readings = interleave(read, plan.rounds)
    details = {"auto": asdict(chosen.capture), "device": device_name(device)}
    return [
        figure
        for name in loops
        if name != base
        for figure in _figures(cell, name, base, readings, captures.get(name), details)
    ]


def _figures(
    cell: Cell,
    name: str,
    base: str,
    readings: dict[str, list[_Reading]],
    capture: Capture | None,
    details: dict[str, object],
) -> list[Figure]:
    ours, theirs = readings[name], readings[base]
    is_aimed_at = cell.subject == SUBJECTS[0] and cell.batch_size == 64
    plain = capture is not None and capture.mode == "none"
    graph = is_aimed_at and capture is not None and capture.mode == "graph"
    seconds = [[each.seconds for each in side] for side in (ours, theirs)]
    figures = [
        Figure(
            "gpu_training",
            cell.name,
            f"{name} / {base}, seconds per epoch",
            **summarised(ratios(*seconds)),
            at_most=_PLAIN_AT_MOST if plain else _GRAPH_AT_MOST if graph else None,
            details={**details, "seconds": seconds[0], "base_seconds": seconds[1]},
        )
    ]
    spent = [[each.joules for each in side if each.joules is not None] for side in (ours, theirs)]
    if all(spent):
        figures.append(
            Figure(
                "gpu_training",
                cell.name,
                f"{name} / {base}, joules per epoch",
                **summarised(ratios(*spent)),
                at_most=_GRAPH_JOULES_AT_MOST if graph else None,
                details={**details, "joules": spent[0], "base_joules": spent[1]},
            )
        )
    return figures


def _read(epoch: Callable[[], object], seconds: float, joules: Joules | None) -> _Reading:
    """Take epochs for so long, one at least, and return the mean of one."""
    synchronize()
    before, began, epochs = joules and joules(), perf_counter(), 0
    while epochs == 0 or perf_counter() - began < seconds:
        epoch()
        epochs += 1
    synchronize()
    taken = perf_counter() - began
    spent = None if joules is None or before is None else (joules() - before) / epochs
    return _Reading(taken / epochs, spent)


def _noise(images: int, device: torch.device) -> RawData:
    generator = torch.Generator().manual_seed(SEED)
    pixels = torch.randint(0, 256, (images, *_SHAPE), dtype=torch.uint8, generator=generator)
    labels = torch.randint(0, _CLASSES, (images,), generator=generator)
    mean, deviation = torch.full((3, 1, 1), 127.5), torch.full((3, 1, 1), 73.9)
    return RawData(*(each.to(device) for each in (pixels, labels, mean, deviation)))


def _network(cell: Cell, device: torch.device) -> nn.Module:
    start_state(SEED)
    return build_model(cell.subject.model, _SHAPE, _CLASSES).to(device)


def _bare(cell: Cell, data: RawData, place: str) -> Callable[[], object]:
    model = _network(cell, data.images.device)
    return partial(
        bare_epoch,
        model,
        fused_adam(model),
        data,
        cell.batch_size,
        order_on=place,
        dtype=torch.bfloat16 if cell.precision == "bfloat16" else None,
    )


def _greensweep(
    cell: Cell, data: RawData, asked: Asked, model: nn.Module | None = None
) -> Training:
    device = data.images.device
    return Training(
        model or _network(cell, device),
        TensorSplit(data.images, data.labels),
        Normalise((data.mean, data.deviation), device, "contiguous"),
        Classification(data.labels, _CLASSES),
        training=TrainingConfig(
            epochs=10**6, batch_size=cell.batch_size, precision=cell.precision, capture=asked
        ),
        optimizer=AdamConfig(name="adam"),
        scheduler=ConstantConfig(),
        seed=SEED,
    )


def nvml_joules(device: torch.device) -> Joules:
    """Return a reader of the energy counter of the GPU that `device` is."""
    import pynvml

    pynvml.nvmlInit()
    uuid = f"GPU-{torch.cuda.get_device_properties(device).uuid}"
    handle = pynvml.nvmlDeviceGetHandleByUUID(uuid)
    return lambda: pynvml.nvmlDeviceGetTotalEnergyConsumption(handle) / 1000


def lines(figures: Sequence[Figure]) -> list[str]:
    """Return the figures, one a line."""
    marks = {None: "", True: ": met", False: ": NOT met"}
    return [
        f"{each.subject:32}{each.value:7.2f}  {each.of}"
        + (f" (at most {each.at_most:.2f})" if each.at_most else "")
        + marks[each.met]
        for each in figures
    ]


def main() -> None:
    """Measure, print a table, and write every figure as JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="see that it works")
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    parser.add_argument("--output", type=Path, metavar="FILE", help="where to keep the figures")
    arguments = parser.parse_args()
    device = choose_device(arguments.device, "--device")
    joules = nvml_joules(device) if device.type == "cuda" else None
    plan = QUICK if arguments.quick else FULL
    figures = [*measure(device, plan, joules), *measure_determinism(device, plan)]
    print("\n".join(lines(figures)))
    if device.type != "cuda":
        print("No GPU was used: CUDA graphs and joules are left out.")
    if arguments.output:
        found = {
            "machine": describe_machine(),
            "device": device_name(device),
            "figures": [{**asdict(figure), "met": figure.met} for figure in figures],
        }
        write_text(arguments.output, json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
