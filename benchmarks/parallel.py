"""The same job 1, 2 and 4 at a time: what each trial is charged, gross and net.

    python benchmarks/parallel.py

Two meters of the same machine tell what the power model does to it: CodeCarbon's curve, which
grows with the cube of the load, and a straight line through two figures of a wall meter.
"""

import argparse
import json
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean

from joblib import Parallel, delayed
from machine import describe_machine, machine_line
from rich.console import Console
from rich.table import Table

from greensweep.config.schema import CalibrationConfig, CodeCarbonConfig
from greensweep.energy import EnergyReading, build_meter
from greensweep.energy.machine import machine_total

_FOLDER = Path(__file__).resolve().parent
_AT_A_TIME = (1, 2, 4)
_SLICES = 20
# Round figures of a small desktop; the shape of the line matters here, not its height.
_CALIBRATION = CalibrationConfig(idle_watts=20.0, load_watts=60.0)


@dataclass(frozen=True)
class Row:
    """One number of trials at a time, under one meter; joules and seconds are means of trials.

    Attributes:
        remainder_joules: of the machine's while trials ran, what none was charged.
    """

    meter: str
    at_a_time: int
    seconds: float
    cpu_seconds: float
    gross_joules: float
    net_joules: float | None
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
        rows += [_row(name, config, count, arguments.work) for count in _AT_A_TIME]
    report = {"machine": describe_machine(), "rows": [asdict(row) for row in rows]}
    arguments.output.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    _print(rows)
    print(machine_line(report["machine"]))  # type: ignore[arg-type]


def _row(name: str, config: CodeCarbonConfig, count: int, work: float) -> Row:
    with tempfile.TemporaryDirectory() as folder, Parallel(n_jobs=count) as pool:
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
        seconds=fmean(reading.seconds for reading in readings),
        cpu_seconds=fmean(cpu for _, cpu in trials),
        gross_joules=fmean(reading.joules or 0.0 for reading in readings),
        net_joules=fmean(net) if len(net) == count else None,
        trials_joules=total.trials_joules,
        machine_joules=total.machine_joules,
        remainder_joules=total.machine_joules - total.trials_joules,
        quality=readings[0].quality,
    )


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
    table = Table(title="The same job 1, 2 and 4 at a time: means per trial, sums per machine")
    table.add_column("meter")
    for column in ("at a time", "seconds", "CPU s", "gross J", "net J", "quality"):
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
            f"{row.seconds:.1f}",
            f"{row.cpu_seconds:.1f}",
            f"{row.gross_joules:.1f}",
            "-" if row.net_joules is None else f"{row.net_joules:.1f}",
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
