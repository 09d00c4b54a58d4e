"""The sweep as people write it by hand: Optuna, CodeCarbon and MLflow around a PyTorch loop.

The same data, network, search space, sampler, stores and records as the default sweep of
`src/train.py`. `overhead.py` starts this and lets it take turns with `timed_sweep.py`.
"""

import argparse
import json
import logging
import os
import time
from pathlib import Path

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"

import numpy as np
import optuna
import torch
from codecarbon import OfflineEmissionsTracker
from interleaved import Turn
from loops import RawData, bare_accuracy, bare_epoch, fused_adam
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from stopwatch import Stopwatch
from torch import nn

SEED = 0
JOULES_PER_KWH = 3.6e6


def load() -> tuple[RawData, RawData]:
    """Return the training and validation images of the digits."""
    digits = load_digits()
    pixels = (digits.images * 15).astype(np.uint8)[:, None]
    kept, _ = train_test_split(
        np.arange(len(pixels)), test_size=0.2, stratify=digits.target, random_state=SEED
    )
    train, validation = train_test_split(
        kept, test_size=0.15, stratify=digits.target[kept], random_state=SEED
    )
    images, labels = torch.from_numpy(pixels), torch.from_numpy(digits.target)
    mean, deviation = images[train].float().mean(), images[train].float().std()
    return (
        RawData(images[train], labels[train], mean, deviation),
        RawData(images[validation], labels[validation], mean, deviation),
    )


def build() -> nn.Module:
    """Return the network that `model=simple_cnn` builds for the digits."""
    torch.manual_seed(SEED)
    return nn.Sequential(
        *(nn.Conv2d(1, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(3, 9, 3, padding=1), nn.BatchNorm2d(9), nn.ReLU(), nn.MaxPool2d(2)),
        nn.Flatten(),
        *(nn.Linear(36, 32), nn.Linear(32, 16), nn.Linear(16, 10)),
    )


def milliseconds() -> int:
    """Return the time as MLflow writes it."""
    return int(time.time() * 1000)


def main() -> None:
    """Sweep, and hand over what each trial took."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--trials", type=int, required=True)
    parser.add_argument("--epochs", type=int, required=True)
    arguments = parser.parse_args()
    turn, watch = Turn(), Stopwatch()
    torch.set_flush_denormal(True)
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    logging.getLogger("alembic").setLevel(logging.ERROR)
    optuna.logging.set_verbosity(optuna.logging.WARNING)

    train, validation = load()
    meter = OfflineEmissionsTracker(country_iso_code="USA", save_to_file=False, log_level="error")
    client = MlflowClient(tracking_uri=f"sqlite:///{Path('mlflow.db').absolute()}")
    experiment = client.create_experiment("sweep", str(Path("artifacts").absolute()))
    parent = client.create_run(experiment, run_name="sweep").info.run_id
    study = optuna.create_study(
        direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=SEED, n_startup_trials=4),
        storage="sqlite:///optuna.db",
    )

    for number in range(arguments.trials):
        turn.wait()
        watch.take()
        began = time.perf_counter()

        with watch.over("part: Optuna"):
            trial = study.ask()
            learning_rate = trial.suggest_float("learning_rate", 1e-4, 1e-1, log=True)
            batch_size = trial.suggest_categorical("batch_size", [32, 64, 128, 256])
        with watch.over("work"):
            model = build()
        optimizer = fused_adam(model, learning_rate)
        params = {
            "model": "simple_cnn",
            "model.conv_layers": 2,
            "model.linear_layers": 3,
            "model.relu": True,
            "dataset": "digits",
            "optimizer": "adam",
            "optimizer.learning_rate": learning_rate,
            "optimizer.beta1": 0.9,
            "optimizer.beta2": 0.999,
            "optimizer.epsilon": 1e-8,
            "training.epochs": arguments.epochs,
            "training.batch_size": batch_size,
            "seed": SEED,
        }
        with watch.over("part: MLflow"):
            tags = {"mlflow.parentRunId": parent, "version.torch": torch.__version__}
            run = client.create_run(experiment, tags=tags, run_name=f"trial {number}").info.run_id
            client.log_batch(run, params=[Param(key, str(value)) for key, value in params.items()])

        with watch.over("part: CodeCarbon"):
            meter.start_task(f"trial {number}")
        history: list[Metric] = []
        accuracy = 0.0
        for epoch in range(1, arguments.epochs + 1):
            with watch.over("work"):
                loss = bare_epoch(model, optimizer, train, batch_size)
                accuracy = bare_accuracy(model, validation, batch_size)
            history.append(Metric("train/loss", loss, milliseconds(), epoch))
            history.append(Metric("validation/accuracy", accuracy, milliseconds(), epoch))
        with watch.over("part: CodeCarbon"):
            energy = meter.stop_task()

        result = {
            "validation/accuracy": accuracy,
            "energy/training_joules": energy.energy_consumed * JOULES_PER_KWH,
            "energy/cpu_joules": energy.cpu_energy * JOULES_PER_KWH,
            "energy/ram_joules": energy.ram_energy * JOULES_PER_KWH,
            "energy/kwh": energy.energy_consumed,
            "training/seconds": energy.duration,
            "model/parameters": float(sum(each.numel() for each in model.parameters())),
        }
        with watch.over("part: result.json"):
            folder = Path(f"trial-{number}")
            folder.mkdir()
            file = folder / "result.json"
            file.write_text(json.dumps({"params": params, **result}, indent=2))
        with watch.over("part: MLflow"):
            final = [Metric(key, value, milliseconds(), 0) for key, value in result.items()]
            client.log_batch(run, metrics=history + final, tags=[RunTag("status", "finished")])
            client.log_artifact(run, str(file))
            client.set_terminated(run)
        with watch.over("part: Optuna"):
            study.tell(trial, accuracy)

        turn.hand_over({**watch.take(), "trial": time.perf_counter() - began})


if __name__ == "__main__":
    main()
