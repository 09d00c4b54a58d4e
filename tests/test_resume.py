"""A training that died goes on as if it had not: training.resume=true."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import PROJECT, Finished
from mlflow import MlflowClient

from greensweep.config.schema import TrainConfig
from greensweep.energy import ScriptedMeter
from greensweep.errors import StudyError
from greensweep.record.reporting import Progress
from greensweep.record.result import RunResult, read_result
from greensweep.runs.once import run_once
from greensweep.tracking.tracker import MemoryTracker

Cli = Callable[..., Finished]
Compose = Callable[..., TrainConfig]
Results = Callable[..., list[dict[str, Any]]]
QUICK = (
    "training.resume=true", "training.epochs=5", "dataset.train_limit=200", "tracking=local",
    "inference.seconds=0", "model.conv_layers=1", "energy=unmetered",
)  # fmt: skip


def run(config: TrainConfig, folder: Path, *, dies_after: int | None = None) -> RunResult:
    def report(progress: Progress) -> None:
        if progress.epoch == dies_after:
            raise KeyboardInterrupt

    # Two seconds and ten joules in each lap.
    meter = ScriptedMeter([(2.0, 10.0)])
    return run_once(config, folder, meter=meter, tracker=MemoryTracker(), test=True, report=report)


def losses(result: RunResult) -> list[tuple[float | None, float | None]]:
    return [(point.train_loss, point.metrics["loss"]) for point in result.history]


@pytest.mark.parametrize(
    "options",
    [
        ("optimizer=sgd",),
        ("scheduler=cosine",),
        ("scheduler=one_cycle", "training.flip=true", "training.keep=last"),
        ("training.ema=0.9", "training.accumulate=2", "training.mixup=0.2"),
        ("training.patience=2", "training.reshuffle=false"),
        ("scheduler=custom", "scheduler.target=torch.optim.lr_scheduler.ReduceLROnPlateau",
         "scheduler.interval=epoch", "+scheduler.kwargs.patience=0"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_a_run_that_died_ends_as_one_that_did_not(
    config: Compose, tmp_path: Path, options: tuple[str, ...]
) -> None:
    asked = config(*QUICK, *options)
    whole = run(asked, tmp_path / "whole")
    for epoch in (1, 3):
        with pytest.raises(KeyboardInterrupt):
            run(asked, tmp_path / "died", dies_after=epoch)
        assert read_result(tmp_path / "died").status == "stopped"
    again = run(asked, tmp_path / "died")
    assert (again.status, again.epochs) == ("finished", whole.epochs)
    assert losses(again) == losses(whole)
    assert again.best_epoch == whole.best_epoch
    assert again.metrics == whole.metrics
    kept, expected = (
        torch.load(tmp_path / name / "model.pt", weights_only=True) for name in ("died", "whole")
    )
    assert all(value.equal(kept[name]) for name, value in expected.items())
    assert not list((tmp_path / "died").glob("*state*"))


def test_the_energy_of_both_processes_counts(config: Compose, tmp_path: Path) -> None:
    asked = config(*QUICK)
    whole = run(asked, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(asked, tmp_path / "died", dies_after=2)
    again = run(asked, tmp_path / "died")
    assert again.energy_joules == whole.energy_joules
    assert again.seconds == whole.seconds
    assert [point.energy_joules for point in again.history] == [
        point.energy_joules for point in whole.history
    ]
    assert again.energy_spent_joules is not None
    assert whole.energy_spent_joules is not None
    # Set-up, warm-up and what lies between came twice.
    assert again.energy_spent_joules > whole.energy_spent_joules


def test_a_run_that_finished_is_not_trained_again(config: Compose, tmp_path: Path) -> None:
    run(config(*QUICK), tmp_path)
    with pytest.raises(StudyError, match="has finished, and there is nothing to resume"):
        run(config(*QUICK), tmp_path)


def test_other_options_than_it_began_with_are_refused(config: Compose, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(config(*QUICK, "seed=3"), tmp_path, dies_after=1)
    with pytest.raises(StudyError, match=r"was begun with seed=3, .* got 4: set it as it was"):
        run(config(*QUICK, "seed=4"), tmp_path)
    threads = config(*QUICK, "seed=3", "training.threads=1", "inference.batch_size=7")
    assert run(threads, tmp_path).status == "finished"


def test_a_broken_state_begins_anew(
    config: Compose, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(config(*QUICK), tmp_path, dies_after=1)
    (tmp_path / "training_state.pt").write_bytes(b"half")
    result = run(config(*QUICK), tmp_path)
    assert (result.status, len(result.history)) == ("finished", 5)
    assert "was broken, so the run begins anew" in caplog.text


def test_without_the_option_nothing_is_kept(config: Compose, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(config(*QUICK, "training.resume=false"), tmp_path, dies_after=2)
    assert {path.name for path in tmp_path.iterdir()} == {"config.yaml", "result.json"}


def test_repeats_are_refused(config: Compose) -> None:
    with pytest.raises(Exception, match="goes on with one training, and repeats=2"):
        config(*QUICK, "repeats=2")


@pytest.mark.slow
def test_a_killed_process_goes_on_as_the_same_run_of_mlflow(
    cli: Cli, results: Results, tmp_path: Path
) -> None:
    command = [
        "hydra.run.dir=run", *QUICK, "tracking=mlflow", "training.epochs=400",
        f"tracking.uri=sqlite:///{tmp_path}/mlflow.db",
    ]  # fmt: skip
    path = {**os.environ, "PYTHONPATH": str(PROJECT / "src")}
    process = subprocess.Popen(
        [sys.executable, str(PROJECT / "src" / "train.py"), *command], cwd=tmp_path, env=path
    )
    state = tmp_path / "run" / "training_state.pt"
    for _ in range(600):
        if state.is_file():
            break
        time.sleep(0.1)
    time.sleep(0.5)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "run" / "result.json").exists()
    ended = cli("train.py", *command)
    assert ended.status == 0, ended.errors
    assert "Going on after epoch " in ended.output
    (result,) = results("run")
    assert [point["epoch"] for point in result["history"]] == list(range(1, 401))
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    (tracked,) = client.search_runs([each.experiment_id for each in client.search_experiments()])
    assert tracked.info.run_id == result["mlflow_run_id"]
    assert tracked.info.status == "FINISHED"


def test_the_same_command_goes_on_after_ctrl_c(
    cli: Cli, pressing: tuple[str, ...], results: Results
) -> None:
    asked = ("training.resume=true", "training.epochs=16", "dataset.train_limit=256", *pressing)
    quick = ("tracking=local", "energy=unmetered", "warmup=0", "hydra.run.dir=run")
    command = ("train.py", *asked, *quick, "inference.seconds=0")
    assert cli(*command).status == 130
    (interrupted,) = results("run")
    assert interrupted["status"] == "stopped"
    again = cli(*command)
    assert again.status == 0, again.errors
    assert "Going on after epoch 12" in again.output + again.errors
    (result,) = results("run")
    assert (result["status"], len(result["history"])) == ("finished", 16)
    assert "has finished, and there is nothing to resume" in cli(*command).errors
