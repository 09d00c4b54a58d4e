"""All that a real GPU has to show, in one command of eight minutes: `python benchmarks/gpu.py`.

One table on the terminal, and one JSON file with every figure. Each part runs in a process of its
own: one that fails or hangs costs its own figures. Where PyTorch finds no GPU, tiny parts run on
the CPU with scripted counters, to see that all work; nothing is then said about the aims.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

_BEGAN = time.monotonic()  # importing PyTorch is part of the minutes
_FOLDER = Path(__file__).resolve().parent
_PROJECT = _FOLDER.parent
sys.path.insert(1, str(_PROJECT / "src"))  # also where Greensweep is not installed

import torch  # noqa: E402
from figures import Figure  # noqa: E402
from gpu_parts.aims import AIMS, MARKS  # noqa: E402
from machine import describe_machine, machine_line  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

from greensweep.energy.gpus import VISIBLE  # noqa: E402
from greensweep.files import write_json  # noqa: E402

# The parts, the most important first, and how many seconds each is kept free for.
PARTS = {
    "doctor": 30.0,
    "meters": 25.0,
    "neighbours": 50.0,
    "placement": 25.0,
    "cuda_tests": 50.0,
    "inference": 45.0,
    "determinism": 40.0,
    "training": 100.0,
    "layers": 80.0,
    "compiled": 0.0,
}
_MINUTES = 8.0
_CLOSING_SECONDS = 10.0
# A part that has begun a row is given so much more to end it.
_GRACE_SECONDS = 15.0
_LEAST_SECONDS = 15.0
_SCRIPTED_WATTS = (100.0, 300.0)
_FAKE_NVML = _PROJECT / "tests" / "fake_nvml"
_LOG_LINES = 200
_FILE_WIDTH = 170  # columns where the output is no terminal


@dataclass
class Found:
    """What the parts gave.

    Attributes:
        left_out: rows and parts, and why.
        failed: rows and parts, and their error.
        seconds: of each part.
        logs: the ends of what each part printed.
    """

    figures: list[Figure] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    logs: dict[str, list[str]] = field(default_factory=dict)


def main() -> None:
    """Run the parts that the command line asks for, as far as there is time."""
    arguments = _parse()
    until = _BEGAN + 60 * arguments.minutes - _CLOSING_SECONDS
    has_gpu = torch.cuda.is_available()
    report: dict[str, Any] = {
        "gpu_seen": has_gpu,
        "minutes": arguments.minutes,
        "machine": describe_machine(),
        "gpus": describe_gpus() if has_gpu else [],
    }
    found = Found()
    console = Console(stderr=True)
    parts = arguments.only or list(PARTS)
    with tempfile.TemporaryDirectory() as folder:
        for number, part in enumerate(parts):
            left = until - time.monotonic()
            seconds = max(PARTS[part], left - sum(PARTS[each] for each in parts[number + 1 :]))
            seconds = min(seconds, left - _GRACE_SECONDS)
            if seconds < _LEAST_SECONDS:
                found.left_out[part] = f"{max(left, 0.0):.0f} s were left"
                continue
            with console.status(f"{part}, at most {seconds:.0f} s"):
                run_part(part, seconds, Path(folder), found, has_gpu=has_gpu)
            _write(arguments.output, report, found)
    _write(arguments.output, report, found)
    _print(found, report)
    print(f"Unrounded, with what each figure comes from: {arguments.output}")


def run_part(part: str, seconds: float, folder: Path, found: Found, *, has_gpu: bool) -> None:
    """Run one part in a process of its own, and add what it gives.

    Args:
        folder: that the parts share for what they write.
    """
    lines, output = folder / f"{part}.jsonl", folder / f"{part}.txt"
    device = "cuda" if has_gpu else "cpu"
    began = time.monotonic()
    with output.open("w") as log:
        process = subprocess.Popen(
            [*(sys.executable, "-m", "gpu_parts", part), device, str(seconds), str(lines)],
            cwd=folder,
            env=_environment(folder, has_gpu=has_gpu),
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        status: int | None = process.wait(seconds + _GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        status = None
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)  # with the processes that it started
            process.wait()
    found.seconds[part] = time.monotonic() - began
    take_lines(lines, part, found)
    found.logs[part] = output.read_text(errors="replace").splitlines()[-_LOG_LINES:]
    if status != 0:
        how = "was ended: it took too long" if status is None else f"ended with status {status}"
        found.failed[part] = "; ".join([how, *found.logs[part][-2:]])


def take_lines(lines: Path, part: str, found: Found) -> None:
    """Add what a part wrote until it ended."""
    if not lines.is_file():
        return
    for line in lines.read_text(encoding="utf-8").splitlines():
        try:
            record = json.loads(line)
        except json.JSONDecodeError:  # the process was ended as it wrote
            continue
        if "figure" in record:
            found.figures.append(Figure(**record["figure"]))
        elif "failed" in record:
            found.failed[_named(part, record["failed"])] = record["error"]
        else:
            found.left_out[_named(part, record["left_out"])] = record["why"]


def _named(part: str, row: str) -> str:
    return part if row == part else f"{part}: {row}"


def _environment(folder: Path, *, has_gpu: bool) -> dict[str, str]:
    """Return the variables of a part: an idle baseline of its own, and what to import."""
    paths = [str(_FOLDER), str(_PROJECT / "src"), os.environ.get("PYTHONPATH", "")]
    variables = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache")}
    if not has_gpu:
        paths.insert(0, str(_FAKE_NVML))
        variables["FAKE_GPUS"] = json.dumps(_SCRIPTED_WATTS)
        variables.pop(VISIBLE, None)
    return {**variables, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


def describe_gpus() -> list[dict[str, Any]]:
    """Return what the driver says of each GPU, and how many processes compute on it."""
    import pynvml

    pynvml.nvmlInit()
    found = []
    for index in range(pynvml.nvmlDeviceGetCount()):
        handle = pynvml.nvmlDeviceGetHandleByIndex(index)
        asked = {
            "name": pynvml.nvmlDeviceGetName,
            "uuid": pynvml.nvmlDeviceGetUUID,
            "memory_bytes": lambda of: pynvml.nvmlDeviceGetMemoryInfo(of).total,
            "power_limit_watts": lambda of: pynvml.nvmlDeviceGetEnforcedPowerLimit(of) / 1000,
            "power_watts": lambda of: pynvml.nvmlDeviceGetPowerUsage(of) / 1000,
            "accounting": lambda of: bool(pynvml.nvmlDeviceGetAccountingMode(of)),
            "mig": lambda of: bool(pynvml.nvmlDeviceGetMigMode(of)[0]),
            "processes": lambda of: len(pynvml.nvmlDeviceGetComputeRunningProcesses(of)),
            "driver": lambda _: pynvml.nvmlSystemGetDriverVersion(),
        }
        gpu: dict[str, Any] = {"index": index, "cuda": torch.version.cuda}
        for name, ask in asked.items():
            try:
                gpu[name] = ask(handle)
            except Exception:  # not supported, by this GPU or this version of NVML
                gpu[name] = None
        found.append(gpu)
    return found


def _write(file: Path, report: Mapping[str, Any], found: Found) -> None:
    has_gpu = report["gpu_seen"]
    results = {
        "aims": [
            dict(zip(("status", "figures_met", "figures"), reached, strict=True), aim=aim.text)
            for aim in AIMS
            for reached in [aim.reached(found.figures if has_gpu else ())]
        ],
        "figures": [
            {**asdict(figure), "met": figure.met if has_gpu else None} for figure in found.figures
        ],
        "failed": found.failed,
        "left_out": found.left_out,
        "part_seconds": found.seconds,
        "logs": found.logs,
    }
    write_json(file, {**report, **results})


def _print(found: Found, report: Mapping[str, Any]) -> None:
    has_gpu = report["gpu_seen"]
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(width=_FILE_WIDTH, highlight=False)
    console.print(_figure_table(found.figures, has_gpu=has_gpu))
    aims = Table(title="Aims")
    for column in ("", "aim", "figures that meet it"):
        aims.add_column(column)
    for aim in AIMS:
        status, met, count = aim.reached(found.figures if has_gpu else ())
        aims.add_row(MARKS[status], aim.text, f"{met} of {count}" if count else "not run")
    console.print(aims)
    for name, error in found.failed.items():
        console.print(f"Failed, {name}: {error}", markup=False, soft_wrap=True)
    for name, why in found.left_out.items():
        console.print(f"Left out, {name}: {why}", markup=False, soft_wrap=True)
    for gpu in report["gpus"]:
        limit = f"{gpu['power_limit_watts']:.0f} W" if gpu["power_limit_watts"] else "no limit"
        line = f"GPU {gpu['index']}: {gpu['name']}, {limit}, driver {gpu['driver']}"
        console.print(line, markup=False, soft_wrap=True)
    if not has_gpu:
        console.print(
            "No GPU was seen: these figures are of a CPU and of scripted counters, and mean "
            "nothing but that the parts work.",
            soft_wrap=True,
        )
    console.print(machine_line(report["machine"]), markup=False, soft_wrap=True)


def _figure_table(figures: Sequence[Figure], *, has_gpu: bool) -> Table:
    table = Table(title="What this GPU shows" if has_gpu else "No GPU: scripted counters")
    for column in ("part", "subject", "what"):
        table.add_column(column)
    for column in ("value", "from, to", "of", "aim", "met"):
        table.add_column(column, justify="right", no_wrap=True)
    previous = None
    for figure in figures:
        if previous not in (None, figure.benchmark):
            table.add_section()
        previous = figure.benchmark
        bounds = [
            f"{sign} {bound:.3g}"
            for sign, bound in (("≥", figure.at_least), ("≤", figure.at_most))
            if bound is not None
        ]
        table.add_row(
            figure.benchmark,
            figure.subject,
            figure.of,
            f"{figure.value:.3g} {figure.unit}",
            "" if figure.low is None else f"{figure.low:.3g} to {figure.high:.3g}",
            str(figure.pairs),
            ", ".join(bounds),
            {None: "", True: "✓", False: "✗"}[figure.met if has_gpu else None],
        )
    return table


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--minutes",
        type=float,
        default=_MINUTES,
        help="what does not fit is left out, the least important first (default: %(default)s)",
    )
    parser.add_argument(
        "--only",
        action="append",
        metavar="PART",
        choices=list(PARTS),
        help="run this part only (%(choices)s); may be repeated",
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=_FOLDER / "gpu.json",
        metavar="FILE",
        help="where to keep the figures (default: %(default)s)",
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
