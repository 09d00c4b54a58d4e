"""A sweep that is killed at any moment goes on, and loses and repeats nothing."""

import json
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import optuna
import pytest
from conftest import PROJECT
from mlflow import MlflowClient

from greensweep.files import write_text
from greensweep.search.records import counted, outcome_of, retry_history

STUDY = "digits-simple_cnn-accuracy"
SWEEP = (
    sys.executable,
    str(PROJECT / "src" / "train.py"),
    "-m",
    "hydra/sweeper=greensweep",
    "hydra.sweeper.pruner=none",
    "warmup=0",
    "inference.seconds=0",
    "dataset.train_limit=400",
    "training.epochs=12",
)


# Each process goes by a clock that a file sets, and so does psutil's boot time, which gives the
# births of processes: as on a machine whose clock is set while a sweep runs.
CLOCK = """
    import os
    import time

    import psutil

    told, born = time.time, psutil._pslinux.boot_time

    def offset():
        with open(os.environ["CLOCK_OFFSET"]) as file:
            return float(file.read() or 0)

    time.time = lambda: told() + offset()
    psutil._pslinux.boot_time = lambda: born() + offset()
"""
STEPS = [step * sign for step in (1.0, 2.5, 60.0, 3600.0, 86_400.0) for sign in (1, -1)]


def trials_in(folder: Path) -> list[optuna.trial.FrozenTrial]:
    path = folder / "multirun" / STUDY / "optuna.db"
    return optuna.load_study(study_name=STUDY, storage=f"sqlite:///{path}").trials


def kill_somewhere(
    command: list[str], folder: Path, moments: random.Random, environment: dict[str, str]
) -> None:
    """Start the sweep, and kill it in its start, or some time after its next trial began."""
    sweep = folder / "multirun" / STUDY
    known = len(list(sweep.glob("[0-9]*")))
    process = subprocess.Popen(
        command,
        cwd=folder,
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    if moments.random() < 0.2:
        until = time.monotonic() + moments.uniform(1.0, 8.0)
    else:
        while len(list(sweep.glob("[0-9]*"))) == known and process.poll() is None:
            time.sleep(0.02)
        until = time.monotonic() + moments.uniform(0.0, 3.0)
    if environment:  # while trials run, whose owners were told by the clock before
        write_text(Path(environment["CLOCK_OFFSET"]), str(moments.choice(STEPS)))
    while time.monotonic() < until and process.poll() is None:
        time.sleep(0.01)
    assert process.poll() is None, "the sweep ended before it was killed: give it more trials"
    process.send_signal(signal.SIGKILL)
    process.wait()


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.parametrize(
    ("workers", "total", "repeats", "clock"),
    [(1, 60, 1, "still"), (2, 110, 1, "still"), (1, 50, 2, "set"), (2, 90, 2, "set")],
)
def test_a_sweep_that_is_killed_20_times(
    tmp_path: Path, workers: int, total: int, repeats: int, clock: str
) -> None:
    command = [*SWEEP, f"hydra.sweeper.n_trials={total}", f"hydra.sweeper.n_workers={workers}"]
    command += [f"repeats={repeats}", f"training.epochs={12 // repeats}"]
    environment = {}
    if clock == "set":
        offset, code = tmp_path / "offset", tmp_path / "clock"
        code.mkdir()
        (code / "sitecustomize.py").write_text(textwrap.dedent(CLOCK))
        offset.write_text("0")
        environment = {
            "CLOCK_OFFSET": str(offset),
            "PYTHONPATH": os.pathsep.join(filter(None, [str(code), os.environ.get("PYTHONPATH")])),
        }
    moments = random.Random(workers)
    for _ in range(20):
        kill_somewhere(command, tmp_path, moments, environment)
    finished = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, **environment}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert finished.returncode == 0, finished.stderr

    trials = trials_in(tmp_path)
    counting = counted(trials)
    assert len(counting) == total
    # A search may draw a point again; but each draw counts once, by itself or by its last repeat.
    draws = {[*retry_history(trial), trial.number][0] for trial in counting}
    assert len(draws) == total, "a draw was counted twice"
    assert all(trial.state.is_finished() for trial in trials)
    died = [t for t in trials if (outcome_of(t) or Any).status == "died"]  # type: ignore[attr-defined]
    assert died
    for trial in counting:
        assert trial.state.name == "COMPLETE" or len(retry_history(trial)) == 1
    for trial in trials:
        for number in retry_history(trial):
            assert trials[number].params.items() <= trial.params.items()
    agree(tmp_path, trials)


def agree(folder: Path, trials: list[optuna.trial.FrozenTrial]) -> None:
    """Assert that result.json, Optuna and MLflow say the same of every trial."""
    client = MlflowClient(f"sqlite:///{folder / 'mlruns' / 'mlflow.db'}")
    runs = {run.info.run_id: run for run in client.search_runs(["1"], max_results=1000)}
    (parent,) = [run for run in runs.values() if "mlflow.parentRunId" not in run.data.tags]
    named = {parent.info.run_id}
    for trial in trials:
        path = folder / "multirun" / STUDY / str(trial.number) / "result.json"
        if trial.state.name == "COMPLETE":
            result = json.loads(path.read_text())
            run = runs[result["mlflow_run_id"]]
            assert result["status"] == "finished"
            assert result["validation_accuracy"] == trial.value
            assert run.info.status == "FINISHED"
            assert run.data.metrics["validation/accuracy"] == trial.value
        elif path.exists():
            result = json.loads(path.read_text())
            assert result["status"] in ("stopped", "failed")
            assert result["error"]
        if path.exists() and result["mlflow_run_id"]:
            named.add(result["mlflow_run_id"])
    named |= {key for key, run in runs.items() if "repeat" in run.info.run_name} & {
        key for key, run in runs.items() if run.data.tags.get("mlflow.parentRunId") in named
    }
    assert {run.info.status for run in runs.values()} <= {"FINISHED", "FAILED", "KILLED"}
    assert set(runs) == named, "a run in MLflow belongs to no result"


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_two_commands_share_a_study_in_postgresql(tmp_path: Path) -> None:
    url = os.environ.get("GREENSWEEP_TEST_POSTGRESQL")
    if url is None:
        pytest.skip("GREENSWEEP_TEST_POSTGRESQL names no empty database")
    command = [*SWEEP, f"hydra.sweeper.storage={url}", "hydra.sweeper.n_trials=12"]
    command += [f"hydra.sweeper.study_name=s{time.time():.0f}"]
    folders = [tmp_path / "one", tmp_path / "two"]
    processes = []
    for folder in folders:
        folder.mkdir()
        with (folder / "output.txt").open("w") as output:
            processes.append(subprocess.Popen(command, cwd=folder, stdout=output, stderr=output))
    assert [process.wait() for process in processes] == [0, 0]
    name = command[-1].partition("=")[2]
    trials = optuna.load_study(study_name=name, storage=url).trials
    assert [trial.state.name for trial in counted(trials)] == ["COMPLETE"] * 12
    ran = [
        {int(path.parent.name) for path in folder.glob("multirun/*/*/result.json")}
        for folder in folders
    ]
    assert ran[0] and ran[1] and not ran[0] & ran[1]
    assert ran[0] | ran[1] == {trial.number for trial in counted(trials)}
    password = url.partition("://")[2].partition("@")[0].partition(":")[2]
    for folder in folders:
        assert f":{password}@" not in (folder / "output.txt").read_text()
