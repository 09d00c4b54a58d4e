"""Measure Greensweep against what people write by hand: `make bench`.

One table on the terminal, and `benchmarks/results.json` with every number unrounded.
"""

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from time import perf_counter
from typing import Any

import memory
import metering
import options
import overhead
import startup
import throughput
from figures import Figure, Skipped
from machine import describe_machine, machine_line
from rich.console import Console
from rich.table import Table

from greensweep.files import write_text

_FOLDER = Path(__file__).resolve().parent
_IMAGES = _FOLDER.parents[1] / "shared" / "data" / "cifar10"
_FILE_WIDTH = 160  # columns where the output is no terminal


def benchmarks(images: Path, quick: bool) -> dict[str, Callable[[], list[Figure]]]:
    """Return every benchmark by name, ready to be called."""
    return {
        "startup": lambda: startup.measure(startup.QUICK if quick else startup.FULL),
        "throughput": lambda: throughput.measure(
            images, throughput.QUICK if quick else throughput.FULL
        ),
        "options": lambda: options.measure(images, options.QUICK if quick else options.FULL),
        "overhead": lambda: overhead.measure(overhead.QUICK if quick else overhead.FULL),
        "metering": lambda: metering.measure(images, metering.QUICK if quick else metering.FULL),
        "memory": lambda: memory.measure(images, memory.QUICK if quick else memory.FULL),
    }


def main() -> None:
    """Run the benchmarks that the command line asks for."""
    arguments = _parse()
    console = Console(stderr=True)
    machine = describe_machine()
    figures: list[Figure] = []
    skipped: dict[str, str] = {}
    seconds: dict[str, float] = {}
    for name, measure in benchmarks(arguments.images, arguments.quick).items():
        if arguments.only and name not in arguments.only:
            continue
        began = perf_counter()
        with console.status(f"measuring {name}"):
            try:
                figures += measure()
            except Skipped as reason:
                skipped[name] = str(reason)
        seconds[name] = perf_counter() - began
    results = {
        "machine": machine,
        "quick": arguments.quick,
        "figures": [{**asdict(figure), "met": figure.met} for figure in figures],
        "skipped": skipped,
        "benchmark_seconds": seconds,
    }
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    write_text(arguments.output, json.dumps(results, indent=2) + "\n")
    _print(figures, skipped, machine)
    print(f"Unrounded, with the single measurements: {arguments.output}")


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="see that all work; times mean little")
    parser.add_argument(
        "--only",
        action="append",
        metavar="NAME",
        choices=list(benchmarks(_IMAGES, quick=True)),
        help="run this benchmark only (%(choices)s); may be repeated",
    )
    parser.add_argument(
        "--images",
        type=Path,
        default=_IMAGES,
        metavar="FOLDER",
        help="images to train on, with train/<class>/* (default: %(default)s)",
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=_FOLDER / "results.json",
        metavar="FILE",
        help="where to keep the figures (default: %(default)s)",
    )
    return parser.parse_args()


def _print(figures: list[Figure], skipped: dict[str, str], machine: dict[str, Any]) -> None:
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(width=_FILE_WIDTH, highlight=False)
    table = Table(title="Benchmarks: median and quartiles of paired measurements")
    for column in ("benchmark", "subject", "what"):
        table.add_column(column)
    for column in ("median", "quartiles", "pairs", "target", "met"):
        table.add_column(column, justify="right", no_wrap=True)
    previous = None
    for figure in figures:
        if previous not in (None, figure.benchmark):
            table.add_section()
        previous = figure.benchmark
        table.add_row(*_cells(figure))
    console.print(table)
    for name, reason in skipped.items():
        console.print(f"Skipped {name}: {reason}.", markup=False, soft_wrap=True)
    console.print(machine_line(machine), markup=False, soft_wrap=True)


def _cells(figure: Figure) -> list[str]:
    quartiles = "" if figure.low is None else f"{figure.low:.3g} to {figure.high:.3g}"
    target = ""
    if figure.at_least is not None:
        target = f"at least {figure.at_least:g}"
    elif figure.at_most is not None:
        target = f"at most {figure.at_most:g}"
    return [
        figure.benchmark,
        figure.subject,
        figure.of,
        f"{figure.value:.3g} {figure.unit}",
        quartiles,
        str(figure.pairs),
        target,
        {None: "", True: "yes", False: "NO"}[figure.met],
    ]


if __name__ == "__main__":
    main()
