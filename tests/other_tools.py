"""Tables as other tools write them, for the tests of sources."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

JOULES_PER_KWH = 3.6e6
GRAMS_PER_KWH = 268.5

# The header of emissions.csv, as CodeCarbon 3.3.2 and 2.4.3 write it.
CODECARBON_3 = [
    "timestamp", "project_name", "run_id", "experiment_id", "duration", "emissions",
    "emissions_rate", "cpu_power", "gpu_power", "ram_power", "cpu_energy", "gpu_energy",
    "ram_energy", "energy_consumed", "water_consumed", "country_name", "country_iso_code",
    "region", "cloud_provider", "cloud_region", "os", "python_version", "codecarbon_version",
    "cpu_count", "cpu_model", "gpu_count", "gpu_model", "longitude", "latitude",
    "ram_total_size", "tracking_mode", "cpu_utilization_percent", "gpu_utilization_percent",
    "ram_utilization_percent", "ram_used_gb", "on_cloud", "pue", "wue",
]  # fmt: skip
_NEW = ("experiment_id", "water_consumed", "utilization", "ram_used_gb", "wue")
CODECARBON_2 = [name for name in CODECARBON_3 if not any(new in name for new in _NEW)]


# As the runs table of its app is exported: all cells in quotes, and "-" for no notes.
WANDB = """\
"Name","Agent","State","Notes","User","Tags","Created","Runtime","Sweep","dataset","lr",\
"energy_kwh","val/acc"
"net-1","","finished","-","me","","2026-05-04T09:48:11.000Z","600","1wfhjnkh","mine","0.1",\
"0.03","0.5"
"net-2","","finished","-","me","","2026-05-04T10:48:11.000Z","700","1wfhjnkh","mine","0.2",\
"0.06","0.75"
"net-3","","crashed","-","me","","2026-05-04T11:48:11.000Z","200","1wfhjnkh","mine","0.3",\
"0.01",""
"""


def codecarbon_row(run_id: str, seconds: float, end: str, **other: Any) -> dict[str, Any]:
    """Return what CodeCarbon writes of a run at 65 W of CPU, 240 W of GPU and 20 W of RAM."""
    watts = {"cpu": 65.0, "gpu": 240.0, "ram": 20.0}
    energy = {f"{part}_energy": power * seconds / JOULES_PER_KWH for part, power in watts.items()}
    total = sum(energy.values())
    row = dict.fromkeys(CODECARBON_3) | {
        "timestamp": end,
        "project_name": "codecarbon",
        "run_id": run_id,
        "experiment_id": "5b0fa12a-3dd7-45bb-9766-cc326314d9f1",
        "duration": seconds,
        "emissions": total * GRAMS_PER_KWH / 1000,
        "emissions_rate": total * GRAMS_PER_KWH / 1000 / seconds,
        **{f"{part}_power": power for part, power in watts.items()},
        **energy,
        "energy_consumed": total,
        "country_name": "The Netherlands",
        "country_iso_code": "NLD",
        "os": "Linux-6.8.0-x86_64-with-glibc2.39",
        "python_version": "3.11.9",
        "codecarbon_version": "3.3.2",
        "cpu_count": 16,
        "cpu_model": "AMD EPYC 7313 16-Core Processor",
        "gpu_count": 1,
        "gpu_model": "1 x NVIDIA A100-PCIE-40GB",
        "ram_total_size": 125.7,
        "tracking_mode": "machine",
        "on_cloud": "N",
        "pue": 1.0,
        "wue": 0.0,
    }
    return {**row, **other}


def write_codecarbon(
    path: Path, rows: Sequence[dict[str, Any]], header: Sequence[str] = tuple(CODECARBON_3)
) -> None:
    pd.DataFrame(rows).reindex(columns=list(header)).to_csv(path, index=False)


def logged_search(folder: Path, runs: int = 300) -> None:
    """Leave `emissions.csv` and `metrics.csv` of so many runs by two strategies.

    Two in three wrote a row by `flush()` before their last one, and one in 50 crashed before its
    metrics were written.
    """
    draw = np.random.default_rng(0)
    rows, metrics = [], []
    clock = pd.Timestamp("2026-05-04T08:00:00")
    for number in range(runs):
        run_id = f"{number:08x}-3dd7-45bb-9766-cc326314d9f1"
        layers = int(draw.integers(1, 5))
        seconds = 40.0 * layers + float(draw.uniform(0, 30))
        clock += pd.Timedelta(seconds=seconds + 5)
        end = clock.strftime("%Y-%m-%dT%H:%M:%S")
        if number % 3:
            half = clock - pd.Timedelta(seconds=seconds / 2)
            rows.append(codecarbon_row(run_id, seconds / 2, half.strftime("%Y-%m-%dT%H:%M:%S")))
        rows.append(codecarbon_row(run_id, seconds, end))
        rate = float(10 ** draw.uniform(-4, -1))
        accuracy = 0.55 + 0.08 * layers - 0.05 * abs(np.log10(rate) + 2.5) + draw.normal(0, 0.01)
        if number % 50 != 7:
            metrics.append(
                {
                    "run_id": run_id,
                    "log_prefix": f"run{number}",
                    "accuracy": accuracy,
                    "dataset": "cifar10",
                    "model": "resnet",
                    "strategy": ("random", "tpe")[number % 2],
                    "trial": number // 2,
                    "optimizer.learning_rate": rate,
                    "layers/conv": 4 * layers,
                }
            )
    write_codecarbon(folder / "emissions.csv", rows)
    pd.DataFrame(metrics).to_csv(folder / "metrics.csv", index=False)


def write_carbontracker(
    folder: Path, name: str, watts: Sequence[float], *, is_told: bool = True, planned: int = 0
) -> None:
    """Leave the logs of a run of carbontracker 2.4.7, of one epoch of 100 s for each of `watts`.

    Args:
        is_told: whether the run came to its end, where its consumption is told.
        planned: epochs that it would take; 0 for these.
    """
    joules = 1.58 * 100.0 * sum(watts)
    clock = "2026-05-04 08:00:00 - "
    epochs = "".join(
        f"{clock}Epoch {number}:\n{clock}Duration: 0:01:40.00\n"
        f"{clock}Average power usage (W) for gpu: [{power - 30.0:.1f}\n 10. ]\n"
        f"{clock}Average power usage (W) for cpu: 20.0\n"
        for number, power in enumerate(watts, start=1)
    )
    devices = "GPU with device(s) NVIDIA A100, NVIDIA A100. CPU with device(s) cpu:0."
    (folder / f"{name}_carbontracker.log").write_text(
        f"{clock}carbontracker version 2.4.7\n"
        f"{clock}Only predicted and actual consumptions are multiplied by a PUE coefficient of "
        "1.58 (Daniel Bizo, 2023, Uptime Institute Global Data Center Survey).\n"
        f"{clock}The following components were found: {devices}\n"
        f"{clock}Monitoring thread started.\n{epochs}"
    )

    def consumption(what: str, epochs: int, times: float) -> str:
        return (
            f"{clock}CarbonTracker: \n{what} consumption for {epochs} epoch(s):\n"
            f"\tTime:\t{int(epochs * 100 // 3600)}:{int(epochs * 100 // 60) % 60:02d}:40\n"
            f"\tEnergy:\t{times * joules / JOULES_PER_KWH:.12f} kWh\n"
            f"\tCO2eq:\t{times * joules / JOULES_PER_KWH * 445.0:.12f} g\n"
            "\tThis is equivalent to:\n\t0.000089185949 km travelled by car\n"
        )

    planned = planned or len(watts)
    told = consumption("Actual", len(watts), 1.0) if is_told else ""
    (folder / f"{name}_carbontracker_output.log").write_text(
        f"{clock}CarbonTracker: The following components were found: {devices}\n"
        f"{consumption('Predicted', planned, planned / len(watts))}{told}"
    )
