"""How long `analyse.py` and `report.py` take: 10,000 runs out of MLflow, 1,000,000 rows of CSV.

    python benchmarks/analysis.py

Seconds of whole commands, and their ratio to reading the same rows with pandas alone. The store
is a real one of MLflow's, filled with SQL: to log 10,000 runs one by one takes most of an hour.
"""

import argparse
import json
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from mlflow import MlflowClient

PROJECT = Path(__file__).resolve().parents[1]
EPOCHS = 25
# What each network is made of, and the energy of its training, next to the others'.
MODELS = {
    "simple_cnn": (1.0, {"conv": 2.0, "linear": 2.0, "relu": 3.0}),
    "dense_poly": (0.5, {"conv": 0.0, "linear": 4.0, "relu": 3.0}),
    "wide_cnn": (2.0, {"conv": 5.0, "linear": 1.0, "relu": 5.0}),
    "deep_cnn": (3.0, {"conv": 9.0, "linear": 2.0, "relu": 9.0}),
    "resnet18": (8.0, {"conv": 20.0, "linear": 1.0, "relu": 17.0}),
}
STRATEGIES = ("random", "tpe", "ei_per_joule", "grid")
PARAMS = 60  # of a run of ours


def make_store(path: Path, runs: int) -> None:
    """Write sweeps of 50 trials, each with params, tags, figures and history.

    Energy and accuracy hang on the network and the options, so that every question has an answer.
    """
    client = MlflowClient(f"sqlite:///{path}")
    experiment = int(client.create_experiment("greensweep"))
    draw = np.random.default_rng(0)
    store = sqlite3.connect(path)
    many = store.executemany
    parent = ""
    for number in range(runs):
        if number % 50 == 0:
            parent = f"{number:031d}p"
            _run(store, parent, "sweep", experiment, number)
            strategy = STRATEGIES[number // 50 % len(STRATEGIES)]
            many("INSERT INTO tags VALUES (?, ?, ?)", [("strategy", strategy, parent)])
        run_id = f"{number:032d}"
        _run(store, run_id, f"trial {number % 50}", experiment, number)
        tags = {
            "mlflow.parentRunId": parent,
            "status": "finished" if draw.random() < 0.9 else "pruned",
            "energy.quality": "estimated",
            "dataset": ("digits", "cifar10")[number // 1000 % 2],
            "model": list(MODELS)[number // 200 % len(MODELS)],
            "hardware.cpu": "a processor of the benchmark's",
            "hardware.cores": "2",
            "version.torch": "2.14.1",
        }
        cost, layers = MODELS[tags["model"]]
        many("INSERT INTO tags VALUES (?, ?, ?)", [(k, v, run_id) for k, v in tags.items()])
        params = {f"training.option_{i}": "fixed" for i in range(PARAMS - 2)}
        rate, batch = draw.uniform(-5, -1), int(draw.choice([32, 64, 128]))
        params |= {"optimizer.learning_rate": str(10**rate), "training.batch_size": str(batch)}
        many("INSERT INTO params VALUES (?, ?, ?)", [(k, v, run_id) for k, v in params.items()])
        joules = 3000.0 * cost / batch * draw.lognormal(0.0, 0.2)
        accuracy = 0.9 - 0.1 * (rate + 3) ** 2 + 0.08 * draw.beta(8, 2)
        figures = {
            "validation/accuracy": accuracy,
            "energy/training_joules": joules,
            "energy/spent_joules": 1.2 * joules,
            **{f"layers/{kind}": count for kind, count in layers.items()},
            **{f"phases/{i}_joules": 1.0 for i in range(10)},
        }
        many(
            "INSERT INTO latest_metrics VALUES (?, ?, 0, ?, 0, ?)",
            [(k, v, EPOCHS, run_id) for k, v in figures.items()],
        )
        many(
            "INSERT INTO metrics (key, value, timestamp, run_uuid, step, is_nan) "
            "VALUES (?, ?, 0, ?, ?, 0)",
            [
                (key, accuracy, run_id, epoch)
                for epoch in range(1, EPOCHS + 1)
                for key in ("train/loss", "validation/accuracy", "energy/epoch_joules")
            ],
        )
    store.commit()
    store.close()


def _run(store: sqlite3.Connection, run_id: str, name: str, experiment: int, start: int) -> None:
    store.execute(
        "INSERT INTO runs (run_uuid, name, status, start_time, lifecycle_stage, experiment_id, "
        "source_type) VALUES (?, ?, 'FINISHED', ?, 'active', ?, 'LOCAL')",
        (run_id, name, start, experiment),
    )


def make_csv(path: Path, rows: int) -> None:
    """Write the trials of four searches."""
    draw = np.random.default_rng(0)
    order = np.arange(rows)
    pd.DataFrame(
        {
            "dataset": "digits",
            "model": "simple_cnn",
            "strategy": np.array(STRATEGIES)[order % len(STRATEGIES)],
            "trial": order // len(STRATEGIES),
            "energy_joules": draw.lognormal(4.0, 1.0, rows),
            "accuracy": draw.beta(8, 2, rows),
        }
    ).to_csv(path, index=False)


def seconds_of(folder: Path, *arguments: str) -> float:
    """Run a command in a folder."""
    began = time.monotonic()
    subprocess.run([sys.executable, *arguments], cwd=folder, check=True, capture_output=True)
    return time.monotonic() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--rows", type=int, default=1_000_000)
    asked = parser.parse_args()
    analyse = str(PROJECT / "src" / "analyse.py")
    found: dict[str, float] = {"runs": asked.runs, "rows": asked.rows}
    with TemporaryDirectory() as name:
        folder = Path(name)
        make_store(folder / "mlflow.db", asked.runs)
        make_csv(folder / "runs.csv", asked.rows)
        found["pandas_csv_seconds"] = seconds_of(
            folder, "-c", "import pandas; pandas.read_csv('runs.csv')"
        )
        for analysis in ("tradeoff", "strategies"):
            found[f"mlflow_{analysis}_seconds"] = seconds_of(
                folder,
                analyse,
                "source=mlflow",
                f"mlflow_uri=sqlite:///{folder}/mlflow.db",
                f"analysis={analysis}",
            )
            found[f"csv_{analysis}_seconds"] = seconds_of(
                folder, analyse, "source=runs.csv", f"analysis={analysis}"
            )
        found["mlflow_report_seconds"] = seconds_of(
            folder,
            str(PROJECT / "src" / "report.py"),
            "source=mlflow",
            f"mlflow_uri=sqlite:///{folder}/mlflow.db",
        )
        page = folder / "outputs" / "report" / "index.html"
        found["mlflow_report_megabytes"] = page.stat().st_size / 1e6
    for analysis in ("tradeoff", "strategies"):
        ratio = found[f"csv_{analysis}_seconds"] / found["pandas_csv_seconds"]
        found[f"csv_{analysis}_over_pandas"] = ratio
    print(json.dumps({key: round(value, 2) for key, value in found.items()}, indent=2))


if __name__ == "__main__":
    main()
