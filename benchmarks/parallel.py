"""The same job alone, beside others of its kind, and beside foreign work: what it is charged.

    python benchmarks/parallel.py

Two meters of the same machine tell what the power model does to it: CodeCarbon's curve, which
grows with the cube of the load, and a straight line through two figures of a wall meter.
"""

import argparse
import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean

from joblib import Parallel, delayed
from machine import describe_machine, machine_line
from rich.console import Console
from rich.table import Table

from greensweep.config.schema_energy import CalibrationConfig, CodeCarbonConfig
from greensweep.energy import EnergyReading, build_meter
from greensweep.energy.machine import machine_total
from greensweep.files import write_text

_FOLDER = Path(__file__).resolve().parent
# How many trials at a time, and how many processes without a meter beside them.
_BESIDE = ((1, 0), (2, 0), (4, 0), (1, 1), (1, 2))
_SLICES = 20
# Round figures of a small desktop; the shape of the line matters here, not its height.
_CALIBRATION = CalibrationConfig(idle_watts=20.0, load_watts=60.0)


@dataclass(frozen=True)
class Row:
    """One number of trials at a time, under one meter; joules and seconds are means of trials.

    Attributes:
        foreign: processes without a meter beside them, of one busy core each.
        joules: what trials are compared by.
        charged_joules: their parts of the machine's.
        remainder_joules: of the machine's while trials ran, what none was charged.
    """

    meter: str
    at_a_time: int
    foreign: int
    seconds: float
    cpu_seconds: float
    joules: float
    net_joules: float | None
    charged_joules: float
    trials_joules: float
    machine_joules: float
    remainder_joules: float
    quality: str


def main() -> None:
    """Run the study that the command line asks for."""
    arguments = _parse()
    base = {"baseline": "measure", "baseline_seconds": arguments.baseline_seconds}
    meters = {
        "CodeCarbon's curve": CodeCarbonConfig(**base),
        "straight line": CodeCarbonConfig(**base, calibration=_CALIBRATION),
    }
    rows = []
    for name, config in meters.items():
        meter = build_meter(config)  # the idle machine is measured before anything runs
        meter.start()
        meter.stop()
        rows += [_row(name, config, *beside, arguments.work) for beside in _BESIDE]
    report = {"machine": describe_machine(), "rows": [asdict(row) for row in rows]}
    write_text(arguments.output, json.dumps(report, indent=2) + "\n")
    _print(rows)
    print(machine_line(report["machine"]))  # type: ignore[arg-type]


def _row(name: str, config: CodeCarbonConfig, count: int, foreign: int, work: float) -> Row:
    with (
        tempfile.TemporaryDirectory() as folder,
        Parallel(n_jobs=count) as pool,
        _foreign_work(foreign),
    ):
        sweep = Path(folder)
        pool(delayed(_trial)(config, 0.1, sweep) for _ in range(count))  # start the processes
        for left in sweep.iterdir():
            left.unlink()
        trials = pool(delayed(_trial)(config, work, sweep) for _ in range(count))
        total = machine_total(sweep)
    assert total is not None
    readings = [reading for reading, _ in trials]
    net = [reading.net_joules for reading in readings if reading.net_joules is not None]
    return Row(
        meter=name,
        at_a_time=count,
        foreign=foreign,
        seconds=fmean(reading.seconds for reading in readings),
        cpu_seconds=fmean(cpu for _, cpu in trials),
        joules=fmean(reading.joules or 0.0 for reading in readings),
        net_joules=fmean(net) if len(net) == count else None,
        charged_joules=fmean(reading.charged_joules or 0.0 for reading in readings),
        trials_joules=total.trials_joules,
        machine_joules=total.machine_joules,
        remainder_joules=total.machine_joules - total.trials_joules,
        quality=readings[0].quality,
    )


@contextmanager
def _foreign_work(count: int) -> Iterator[None]:
    """Keep so many cores busy with processes that are nobody's children: nobody meters them."""
    shell = f"{shlex.quote(sys.executable)} -c 'while True: pass' >/dev/null & echo $!"
    others = [int(subprocess.check_output(["sh", "-c", shell])) for _ in range(count)]
    try:
        yield
    finally:
        for other in others:
            os.kill(other, signal.SIGTERM)


def _trial(config: CodeCarbonConfig, work: float, sweep: Path) -> tuple[EnergyReading, float]:
    """Spend `work` seconds of CPU time in slices, as epochs do, and return what it was charged."""
    meter = build_meter(config, sweep)
    meter.start()
    reading = EnergyReading()
    began = time.process_time()
    for slice_number in range(1, _SLICES + 1):
        while time.process_time() - began < work * slice_number / _SLICES:
            sum(range(10_000))
        reading += meter.lap()
    cpu_seconds = time.process_time() - began
    meter.stop()
    return reading, cpu_seconds


def _print(rows: list[Row]) -> None:
    console = Console(highlight=False, width=140)
    table = Table(title="The same job beside others: means per trial, sums per machine")
    table.add_column("meter")
    columns = ("at a time", "foreign", "seconds", "CPU s", "J", "net J", "charged J", "quality")
    for column in columns:
        table.add_column(column, justify="right")
    for column in ("sum of trials J", "machine J", "remainder J"):
        table.add_column(column, justify="right")
    previous = None
    for row in rows:
        if previous not in (None, row.meter):
            table.add_section()
        previous = row.meter
        table.add_row(
            row.meter,
            str(row.at_a_time),
            str(row.foreign),
            f"{row.seconds:.1f}",
            f"{row.cpu_seconds:.1f}",
            f"{row.joules:.1f}",
            "-" if row.net_joules is None else f"{row.net_joules:.1f}",
            f"{row.charged_joules:.1f}",
            row.quality,
            f"{row.trials_joules:.1f}",
            f"{row.machine_joules:.1f}",
            f"{row.remainder_joules:.1f}",
        )
    console.print(table)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--work", type=float, default=10.0, help="CPU seconds of each trial")
    parser.add_argument("--baseline-seconds", type=float, default=10.0)
    parser.add_argument("--output", type=Path, default=_FOLDER / "parallel.json")
    return parser.parse_args()


if __name__ == "__main__":
    main()
