"""A single run, from the command to its result, its files and its MLflow run."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import PROJECT, Finished, no_sensors
from mlflow import MlflowClient
from mlflow.entities import Run
from omegaconf import OmegaConf

from greensweep.energy.units import emissions_text

Cli = Callable[..., Finished]
Results = Callable[..., list[dict[str, Any]]]

# fmt: off
CONTRACT = {
    "status", "error", "validation_accuracy", "test_accuracy", "energy_joules",
    "energy_net_joules", "energy_spent_joules", "energy_kwh", "energy_components",
    "energy_quality", "energy_measured_share", "emissions_kg", "emissions_spent_kg", "seconds",
    "epochs", "layers", "layer_modules", "parameters", "flops", "model", "dataset", "seed",
    "device", "mlflow_run_id", "checkpoint", "selected_on_test",
}
# fmt: on

# Inference is not the point, and its twenty periods of a counter are two seconds.
BRIEF = ("inference.seconds=0.05",)


def tracked(folder: Path) -> tuple[MlflowClient, list[Run]]:
    client = MlflowClient(f"sqlite:///{folder}/mlruns/mlflow.db")
    experiment = client.get_experiment_by_name("greensweep")
    assert experiment is not None
    return client, list(client.search_runs([experiment.experiment_id]))


@no_sensors
def test_a_run_leaves_its_result_and_says_it_in_one_line(
    cli: Cli, results: Results, tmp_path: Path
) -> None:
    ended = cli("train.py", "training.epochs=3", "hydra.run.dir=run", "energy.country=NLD", *BRIEF)
    assert (ended.status, ended.errors) == (0, "")
    line, trust = ended.output.splitlines()
    (result,) = results()
    assert set(result) >= CONTRACT
    assert line.startswith("simple_cnn on digits: finished, validation accuracy 0.")
    assert f"test accuracy {result['test_accuracy']:.4f}" in line
    assert "g CO2e (NLD)" in line
    assert trust.startswith("Energy is estimated, not measured: ")
    assert " % is a constant times the time." in trust

    assert result["status"] == "finished"
    assert result["error"] is None
    assert result["epochs"] == len(result["history"]) == 3
    assert result["validation_accuracy"] == max(
        epoch["validation_accuracy"] for epoch in result["history"]
    )
    assert result["layers"] == {
        "batch_norm": 2, "conv": 2, "linear": 3, "max_pool": 2, "relu": 2
    }  # fmt: skip
    assert (result["model"], result["dataset"], result["seed"]) == ("simple_cnn", "digits", 0)
    assert result["selected_on_test"] is False
    assert (tmp_path / "run" / "config.yaml").is_file()


@no_sensors
def test_energy_figures_agree_with_each_other(cli: Cli, results: Results) -> None:
    ended = cli("train.py", "training.epochs=3", "energy.grams_co2e_per_kwh=400", "tracking=local",
        "inference.seconds=0")  # fmt: skip
    (result,) = results()
    parts = result["energy_components"]
    assert {name: (part["source"], part["quality"]) for name, part in parts.items()} == {
        "cpu": ("cpu_load_model", "estimated"),
        "ram": ("constant_power", "estimated"),
    }
    assert result["energy_joules"] == pytest.approx(sum(p["joules"] for p in parts.values()))
    assert result["energy_joules"] == pytest.approx(
        sum(epoch["energy_joules"] for epoch in result["history"])
    )
    assert result["energy_kwh"] == pytest.approx(result["energy_joules"] / 3.6e6)
    assert result["emissions_kg"] == pytest.approx(result["energy_kwh"] * 0.4)
    phases = result["energy_phases"]
    assert {"setup", "training", "evaluation", "test"} <= set(phases)
    assert phases["training"]["joules"] == result["energy_joules"]
    assert result["energy_spent_joules"] == pytest.approx(
        sum(phase["joules"] for phase in phases.values())
    )
    kilograms = result["energy_spent_joules"] / 3.6e6 * 0.4
    assert result["emissions_spent_kg"] == pytest.approx(kilograms)
    assert result["emissions_spent_kg"] > result["emissions_kg"]
    assert f"{emissions_text(kilograms)} in all phases" in ended.output
    assert (result["energy_quality"], result["energy_measured_share"]) == ("estimated", 0.0)
    assert result["energy_net_joules"] is None


def test_unmetered_runs_have_no_figure_instead_of_zero(cli: Cli, results: Results) -> None:
    ended = cli("train.py", "training.epochs=1", "energy=unmetered", "tracking=local")
    (result,) = results()
    energy = ("energy_joules", "energy_spent_joules", "energy_kwh")
    for name in (*energy, "emissions_kg", "emissions_spent_kg"):
        assert result[name] is None
    assert result["energy_quality"] == "unmeasured"
    assert "training energy not metered" in ended.output
    assert "estimates" not in ended.output


@no_sensors
def test_mlflow_holds_the_same_figures(cli: Cli, results: Results, tmp_path: Path) -> None:
    cli("train.py", "training.epochs=3", "hydra.run.dir=run", *BRIEF)
    (result,) = results()
    client, (run,) = tracked(tmp_path)
    assert run.info.run_id == result["mlflow_run_id"]
    assert run.info.status == "FINISHED"
    metrics = run.data.metrics
    for name, value in {
        "validation/accuracy": result["validation_accuracy"],
        "test/accuracy": result["test_accuracy"],
        "energy/training_joules": result["energy_joules"],
        "energy/spent_joules": result["energy_spent_joules"],
        "energy/cpu_joules": result["energy_components"]["cpu"]["joules"],
        "energy/ram_joules": result["energy_components"]["ram"]["joules"],
        "energy/kwh": result["energy_kwh"],
        "layers/conv": 2,
        "layers/linear": 3,
        "model/parameters": result["parameters"],
        "model/flops": result["flops"],
    }.items():
        assert metrics[name] == value, name
    assert run.data.params["optimizer.learning_rate"] == "0.001"
    assert run.data.params["training.epochs"] == "3"
    assert run.data.tags["energy.source.cpu"] == "cpu_load_model"
    assert run.data.tags["version.torch"] == torch.__version__.partition("+")[0]
    history = client.get_metric_history(run.info.run_id, "energy/epoch_joules")
    assert [(point.step, point.value) for point in history] == [
        (epoch["epoch"], epoch["energy_joules"]) for epoch in result["history"]
    ]
    artifacts = {file.path for file in client.list_artifacts(run.info.run_id)}
    assert {"config.yaml", "result.json"} <= artifacts
    stored = tmp_path / "mlruns" / "artifacts" / run.info.run_id / "artifacts" / "result.json"
    assert json.loads(stored.read_text()) == result


def test_the_same_seed_gives_the_same_weights_to_the_bit(cli: Cli, tmp_path: Path) -> None:
    for folder, seed in (("a", 5), ("b", 5), ("c", 6)):
        cli("train.py", "training.epochs=2", f"seed={seed}", f"hydra.run.dir={folder}",
            "tracking=local", "energy=unmetered", "training.flip=true")  # fmt: skip
    a, b, c = (torch.load(tmp_path / f / "model.pt", weights_only=True) for f in "abc")
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert not all(torch.equal(a[name], c[name]) for name in a)


@no_sensors
def test_a_kept_model_can_be_tested_again(cli: Cli, results: Results) -> None:
    cli("train.py", "training.epochs=4", "hydra.run.dir=run", "tracking=local",
        "inference.seconds=0")  # fmt: skip
    (result,) = results()
    ended = cli("evaluate.py", "checkpoint=run/model.pt")
    assert ended.status == 0
    assert f"test accuracy {result['test_accuracy']:.4f} on 360 samples" in ended.output
    assert "J per 1000 samples (estimated)" in ended.output


def test_a_checkpoint_that_cannot_be_used_is_refused(cli: Cli, tmp_path: Path) -> None:
    said = "no checkpoint at missing/model.pt: name the model.pt of a run"
    assert said in cli("evaluate.py", "checkpoint=missing/model.pt").errors
    cli("train.py", "training.epochs=1", "hydra.run.dir=run", "tracking=local", "energy=unmetered")
    (tmp_path / "run" / "model.pt").write_bytes(b"no weights")
    ended = cli("evaluate.py", "checkpoint=run/model.pt")
    assert ended.status == 1
    assert "run/model.pt is no checkpoint" in ended.errors


def test_patience_stops_early(cli: Cli, results: Results) -> None:
    cli("train.py", "training.epochs=60", "training.patience=2", "optimizer.learning_rate=0.02",
        "tracking=local", "energy=unmetered")  # fmt: skip
    (result,) = results()
    assert result["status"] == "finished"
    assert result["epochs"] == result["best_epoch"] + 2 < 60


def test_a_diverged_run_fails_and_keeps_its_energy(
    cli: Cli, results: Results, tmp_path: Path
) -> None:
    ended = cli("train.py", "optimizer=sgd", "optimizer.learning_rate=1e30")
    assert ended.status == 1
    assert "set a smaller optimizer.learning_rate" in ended.errors
    (result,) = results()
    assert result["status"] == "failed"
    assert result["error"] in ended.errors
    assert result["energy_joules"] > 0
    assert result["energy_spent_joules"] > result["energy_joules"]
    _, (run,) = tracked(tmp_path)
    assert run.info.status == "FAILED"
    assert run.data.metrics["energy/training_joules"] == result["energy_joules"]


def test_own_model_and_data_by_import_path(cli: Cli, results: Results, tmp_path: Path) -> None:
    (tmp_path / "mine_train.py").write_text(
        "import numpy as np\n"
        "from torch import nn\n"
        "class Net(nn.Sequential):\n"
        "    def __init__(self, in_channels, image_size, num_classes, width=4):\n"
        "        super().__init__(nn.Flatten(), nn.Linear(in_channels * image_size**2, width),\n"
        "                         nn.ReLU(), nn.Linear(width, num_classes))\n"
        "def make_splits(count):\n"
        "    labels = np.arange(count) % 3\n"
        "    images = np.zeros((count, 6, 6, 3), dtype=np.uint8)\n"
        "    images[np.arange(count), 0, 0, labels] = 255\n"
        "    return {'train': (images, labels), 'test': (images, labels)}\n"
    )
    ended = cli(
        "train.py", "model=custom", "model.target=mine_train.Net", "+model.kwargs.width=8",
        "dataset=custom", "dataset.target=mine_train.make_splits", "+dataset.kwargs.count=90",
        "optimizer.learning_rate=0.05", "tracking=local", "energy=unmetered",
    )  # fmt: skip
    assert ended.status == 0, ended.errors
    (result,) = results()
    assert result["model"] == "mine_train.Net"
    assert result["layers"] == {"linear": 2, "relu": 1}
    assert result["parameters"] == 108 * 8 + 8 + 8 * 3 + 3
    assert result["test_accuracy"] == 1.0


def test_secrets_reach_neither_params_nor_artifacts(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THE_PASSWORD", "hunter2")
    (tmp_path / "secretive.py").write_text(
        "from torch import nn\n"
        "def net(api_key, url):\n"
        "    assert api_key == 'hunter2'\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))\n"
    )
    ended = cli(
        "train.py", "training.epochs=1", "energy=unmetered", "model=custom",
        "model.target=secretive.net", "+model.kwargs.api_key=${oc.env:THE_PASSWORD}",
        "+model.kwargs.url='https://ada:${oc.env:THE_PASSWORD}@example.org'",
    )  # fmt: skip
    assert ended.status == 0, ended.errors
    _, (run,) = tracked(tmp_path)
    assert run.data.params["model.kwargs.api_key"] == "***"
    assert run.data.params["model.kwargs.url"] == "https://ada:***@example.org"
    written = [path for path in tmp_path.glob("**/*") if path.is_file() and path.suffix != ".pyc"]
    telling = [path for path in written if b"hunter2" in path.read_bytes()]
    assert telling == [tmp_path / "secretive.py"]


def test_an_unreachable_server_costs_no_result_and_is_sent_to_later(
    cli: Cli, results: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from greensweep.__main__ import main

    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    ended = cli("train.py", "training.epochs=2", "hydra.run.dir=run", "inference.seconds=0")
    assert ended.status == 0
    assert "MLflow at http://127.0.0.1:9 cannot be reached" in ended.output
    (result,) = results()
    assert result["mlflow_run_id"] is None

    assert main(["upload", "run"]) == 1  # still no server
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mlruns/mlflow.db")
    assert main(["upload", "run"]) == 0
    assert main(["upload", "run"]) == 0  # sends nothing twice
    (sent,) = results("run")
    _, (run,) = tracked(tmp_path)
    assert run.info.run_id == sent["mlflow_run_id"]
    assert run.info.status == "FINISHED"
    assert run.data.metrics["validation/accuracy"] == result["validation_accuracy"]
    assert run.data.metrics["energy/training_joules"] == result["energy_joules"]
    assert run.data.params["training.epochs"] == "2"


def test_help_answers_without_the_slow_libraries() -> None:
    program = (
        "import sys, runpy\n"
        "sys.argv = ['train.py', '--help']\n"
        "try: runpy.run_path('src/train.py', run_name='__main__')\n"
        "except SystemExit: pass\n"
        "slow = 'torch optuna mlflow codecarbon sklearn pandas'.split()\n"
        "print([m for m in slow if m in sys.modules])\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    assert ended.stdout.splitlines()[-1] == "[]"
    assert "optimizer=adamw" in ended.stdout


def test_ctrl_c_marks_the_run_and_keeps_what_was_measured(
    cli: Cli, tmp_path: Path, pressing: tuple[str, ...]
) -> None:
    ended = cli("train.py", *pressing, "training.epochs=1000", "hydra.run.dir=run")
    assert ended.status == 130
    assert ended.errors == "Interrupted: what was measured so far is kept.\n"
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["status"] == "stopped"
    assert result["error"].startswith("interrupted in epoch 3")
    assert result["epochs"] == len(result["history"]) == 2
    assert result["energy_joules"] > 0
    _, (run,) = tracked(tmp_path)
    assert run.info.status == "KILLED"


def test_config_file_of_a_run_is_its_resolved_config(cli: Cli, tmp_path: Path) -> None:
    cli("train.py", "training.epochs=1", "hydra.run.dir=run", "tracking=local", "energy=unmetered")
    config = OmegaConf.load(tmp_path / "run" / "config.yaml")
    assert config.training.epochs == 1
    assert config.optimizer.beta2 == 0.999
    assert config.model.name == "simple_cnn"


@pytest.mark.slow
def test_a_run_trains_before_what_searches_need_is_loaded(
    script: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    (tmp_path / "early.py").write_text(
        "import sys\n"
        "from torch import nn\n"
        "class Net(nn.Sequential):\n"
        "    def __init__(self, image_size, num_classes):\n"
        "        super().__init__(nn.Flatten(), nn.Linear(image_size**2, num_classes))\n"
        "    def forward(self, images):\n"
        "        assert 'optuna' not in sys.modules\n"
        "        return super().forward(images)\n"
    )
    ended = script(
        "train.py", "model=custom", "model.target=early.Net", "training.epochs=1",
        "energy=unmetered", "tracking=local", "inference.seconds=0",
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
