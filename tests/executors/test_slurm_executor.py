"""Sweeps in jobs of a real Slurm: whatever ends jobs, nodes or sweeper, each trial ends once."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import optuna
import psutil
import pytest
from conftest import PROJECT
from pages import blocks
from services import Slurm, slurm, wait_for  # noqa: F401 - a fixture

from greensweep.energy.accounts import SweepTotal
from greensweep.energy.machine import machine_totals
from greensweep.record.result import read_results
from greensweep.search.folders import trial_directories
from greensweep.search.records import counted, outcome_of, owner_of, status_of

pytestmark = [pytest.mark.slow, pytest.mark.cluster, pytest.mark.timeout(600)]

CONFIG = """
defaults: [_self_, override hydra/sweeper: greensweep]
rate: 0.5
epochs: 2
pause: 0.5
hydra:
  sweeper:
    executor: slurm
    check_nodes: false  # which MLflow's store is a file of this machine alone for
    n_workers: 2
    n_trials: 8
    direction: maximize
    pruner: none
    energy: {name: unmetered}
    sampler: {_target_: optuna.samplers.RandomSampler}
    params: {rate: "interval(0.1,1.0)"}
"""

PROGRAM = """
import json, os, time
import hydra
import greensweep

@hydra.main(config_path=".", config_name="config")
def main(config):
    names = ("SLURMD_NODENAME", "CUDA_VISIBLE_DEVICES", "SLURM_JOB_ID")
    place = {name: os.environ.get(name) for name in names} | {"pid": os.getpid()}
    with open("places.jsonl", "a") as file:
        print(json.dumps(place | {"rate": config.rate}), file=file, flush=True)
    for epoch in range(1, config.epochs + 1):
        time.sleep(config.pause)
        greensweep.report(epoch=epoch, epochs=config.epochs, score=config.rate * epoch / 2)
    return config.rate

main()
"""


class Sweeping:
    """A sweep of a program of one's own in a folder, and the command that watches it."""

    def __init__(self, folder: Path, cluster: Slurm) -> None:
        self.folder, self.cluster = folder, cluster
        (folder / "config.yaml").write_text(CONFIG)
        (folder / "program.py").write_text(PROGRAM)
        self.tracking = f"sqlite:///{folder}/mlruns/mlflow.db"
        self.program: tuple[str, ...] = ("program.py", "-m")
        self.options: tuple[str, ...] = ()
        self.command: subprocess.Popen[str] | None = None

    def start(self, *options: str) -> None:
        """Give the command, the same as before where no options are given."""
        self.options = options or self.options
        self.command = subprocess.Popen(
            [sys.executable, *self.program, *self.options],
            cwd=self.folder,
            env={**os.environ, **self.cluster.environment, "MLFLOW_TRACKING_URI": self.tracking},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def end(self, status: int = 0, seconds: float = 300.0) -> str:
        """Wait for the command's end; return what it printed."""
        assert self.command is not None
        said, _ = self.command.communicate(timeout=seconds)
        assert self.command.returncode == status, said
        return said

    def run(self, *options: str, status: int = 0) -> str:
        self.start(*options)
        return self.end(status)

    @property
    def sweep(self) -> Path:
        return self.folder / "multirun" / "greensweep"

    @property
    def places(self) -> list[dict[str, Any]]:
        """Where each run was, in the order in which they began."""
        file = self.folder / "places.jsonl"
        return [*map(json.loads, file.read_text().splitlines())] if file.is_file() else []

    def jobs(self, *states: str) -> list[str]:
        """The jobs in Slurm's queue, of these states."""
        asked = [f"--states={','.join(states)}"] if states else []
        return self.cluster.call("squeue", "--noheader", "--array", *asked, "-o", "%i").split()

    def study(self) -> optuna.Study:
        file = optuna.storages.journal.JournalFileBackend(str(self.sweep / "journal.log"))
        storage = optuna.storages.JournalStorage(file)
        return optuna.load_study(study_name="greensweep", storage=storage)

    def has_begun(self, runs: int) -> None:
        """Wait until so many runs have begun."""
        wait_for(lambda: len(self.places) >= runs, 120.0, f"no {runs} runs began")

    def holds(self, trials: int) -> None:
        """Hold file, storage and MLflow against each other: each trial is there, and once."""
        study = self.study().get_trials(deepcopy=False)
        ended = counted(study)
        assert [trial.state.name for trial in ended] == ["COMPLETE"] * trials
        assert not [trial.number for trial in study if trial.state.name in ("RUNNING", "WAITING")]
        results = read_results(trial_directories(self.sweep)).values()
        by_number = {result.trial: result for result in results if result.status == "finished"}
        assert sorted(by_number) == [trial.number for trial in ended]
        assert [by_number[trial.number].objective_value for trial in ended] == [
            trial.values[0] for trial in ended
        ]
        client = mlflow.MlflowClient(self.tracking)
        tracked = {
            run.data.tags["mlflow.runName"]: run.data.metrics
            for run in client.search_runs(["1"], "attributes.status = 'FINISHED'")
            if "mlflow.parentRunId" in run.data.tags
        }
        assert {name: metrics["validation/score"] for name, metrics in tracked.items()} == {
            f"trial {trial.number}": trial.values[0] for trial in ended
        }
        assert not self.jobs()


@pytest.fixture
def sweeping(tmp_path: Path, slurm: Slurm) -> Iterator[Sweeping]:  # noqa: F811
    found = Sweeping(tmp_path, slurm)
    yield found
    if found.command is not None and found.command.poll() is None:
        found.command.kill()
        found.command.communicate()
    if left := found.jobs():
        slurm.call("scancel", "--signal=KILL", "--full", *left)
        wait_for(lambda: not found.jobs())
    wait_for(lambda: slurm.states() == {"idle"}, 120.0, "its nodes stay busy")


def test_workers_are_jobs_on_nodes_with_their_own_gpus(sweeping: Sweeping) -> None:
    said = sweeping.run("hydra.sweeper.gpus_per_worker=1")
    sweeping.holds(8)
    assert {each["SLURMD_NODENAME"] for each in sweeping.places} == {"n1", "n2"}
    assert {each["CUDA_VISIBLE_DEVICES"] for each in sweeping.places} == {"0"}  # ids are per node
    assert len({each["SLURM_JOB_ID"] for each in sweeping.places}) == 2
    assert "Submitted 2 jobs" in said
    assert f"The study is in {sweeping.sweep / 'journal.log'}" in said
    assert not [*(sweeping.sweep / "slurm").glob("*.pkl")]


def test_a_node_is_read_from_the_first_line_of_its_jobs_to_the_last(sweeping: Sweeping) -> None:
    """One of two jobs waits for the other; nodes of one machine have a ledger together."""
    began = time.monotonic()
    said = sweeping.run("hydra.sweeper.energy=null", "hydra.sweeper.n_trials=3", "pause=1")
    lasted = time.monotonic() - began
    assert len({each["SLURM_JOB_ID"] for each in sweeping.places}) == 2
    total = sum(machine_totals(sweeping.sweep).values(), start=SweepTotal())
    assert (total.watches, total.releases) == (2, 2)
    assert 4.0 < total.seconds < lasted  # two rounds of trials
    charged = sum(
        result.energy_charged_joules or 0.0
        for result in read_results(trial_directories(sweeping.sweep)).values()
    )
    assert 0 < charged <= total.trials_joules < total.machine_joules
    study = json.loads((sweeping.sweep / "study.json").read_text())
    idle = study["energy_idle_nodes_joules"]
    assert idle == pytest.approx(total.machine_joules - total.trials_joules)
    assert " during the search: " in said and "went to no trial" in said


def test_a_node_whose_job_was_killed_counts_up_to_its_last_reading(sweeping: Sweeping) -> None:
    options = ("hydra.sweeper.n_trials=4", "hydra.sweeper.n_workers=1", "pause=1")
    sweeping.start("hydra.sweeper.energy=null", *options)
    sweeping.has_begun(2)
    psutil.Process(sweeping.places[1]["pid"]).kill()
    said = sweeping.end()
    sweeping.holds(4)
    total = sum(machine_totals(sweeping.sweep).values(), start=SweepTotal())
    assert (total.watches, total.releases) == (2, 1)
    assert 0 < total.trials_joules < total.machine_joules
    assert " was not released, and counts up to its last reading." in said


def test_a_job_that_is_cancelled_leaves_its_trials_to_the_others(sweeping: Sweeping) -> None:
    sweeping.start("pause=1")
    sweeping.has_begun(3)
    (job, *_) = sweeping.jobs("RUNNING")
    sweeping.cluster.call("scancel", job)
    assert f"Job {job} was cancelled: no other takes its place." in sweeping.end()
    sweeping.holds(8)


def test_a_worker_that_is_killed_is_replaced_and_its_trial_runs_again(sweeping: Sweeping) -> None:
    sweeping.start("pause=1")
    sweeping.has_begun(3)
    psutil.Process(sweeping.places[2]["pid"]).kill()
    said = sweeping.end()
    assert re.search(r"Another takes the place of job \S+ on n\d \(FAILED\): ", said), said
    sweeping.holds(8)
    assert len({each["SLURM_JOB_ID"] for each in sweeping.places}) == 3


def test_a_node_that_vanishes_loses_no_trial(sweeping: Sweeping) -> None:
    sweeping.start("pause=2", "hydra.sweeper.n_trials=12")
    sweeping.has_begun(3)
    sweeping.cluster.kill_node("n2")
    wait_for(
        lambda: (
            "NODE_FAIL" in sweeping.cluster.call("sacct", "-n", "-o", "State")
            or len(sweeping.jobs("RUNNING")) < 2
        ),
        120.0,
    )
    sweeping.cluster.start_node("n2")
    sweeping.end()
    sweeping.holds(12)


def test_jobs_are_submitted_again_until_all_trials_have_had_their_time(sweeping: Sweeping) -> None:
    sweeping.run(
        "hydra.sweeper.slurm.timeout_min=1",
        "hydra.sweeper.slurm.signal_delay_s=10",
        "hydra.sweeper.n_workers=1",
        "hydra.sweeper.n_trials=12",
        "pause=3",
    )
    sweeping.holds(12)
    assert len({each["SLURM_JOB_ID"] for each in sweeping.places}) > 1
    assert not [each for each in sweeping.study().trials if outcome_of(each).status == "died"]


def test_a_sweeper_that_is_killed_finds_its_jobs_again(sweeping: Sweeping) -> None:
    sweeping.start("pause=1.5", "hydra.sweeper.n_trials=10")
    sweeping.has_begun(2)
    assert sweeping.command is not None
    sweeping.command.kill()
    sweeping.command.communicate()
    sweeping.start()
    wait_for(lambda: len(sweeping.places) >= 5, 120.0)
    assert len(sweeping.jobs()) <= 2
    said = sweeping.end()
    assert "Going on with what an earlier command submitted: 2 jobs." in said
    sweeping.holds(10)
    assert len({each["SLURM_JOB_ID"] for each in sweeping.places}) == 2


def test_a_job_that_slurm_puts_back_into_its_queue_goes_on(sweeping: Sweeping) -> None:
    sweeping.start("pause=2", "hydra.sweeper.n_workers=1")
    sweeping.has_begun(2)
    (job,) = sweeping.jobs("RUNNING")
    sweeping.cluster.call("scontrol", "requeue", job)
    wait_for(lambda: sweeping.jobs("PENDING") == [job])
    sweeping.end()
    sweeping.holds(8)
    jobs = {owner.job for trial in sweeping.study().trials if (owner := owner_of(trial))}
    assert jobs == {f"{job}:0", f"{job}:1"}


def test_a_job_that_is_preempted_goes_on_once_there_is_room(sweeping: Sweeping) -> None:
    sweeping.start("pause=2", "hydra.sweeper.n_workers=1", "hydra.sweeper.n_trials=5")
    sweeping.has_begun(2)
    (job,) = sweeping.jobs("RUNNING")
    urgent = ("sbatch", "--partition=urgent", "--nodes=2", "--output=/dev/null", "--wrap=sleep 5")
    sweeping.cluster.call(*urgent)  # all nodes, and of a higher priority
    wait_for(lambda: job in sweeping.jobs("PENDING"), 120.0)
    sweeping.end()
    sweeping.holds(5)
    trials = sweeping.study().trials
    assert {owner.job for trial in trials if (owner := owner_of(trial))} == {f"{job}:0", f"{job}:1"}
    assert {status_of(trial) for trial in trials} == {"finished", "stopped"}


@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_ends_the_jobs_and_the_same_command_goes_on(sweeping: Sweeping, times: int) -> None:
    sweeping.start("pause=3")
    sweeping.has_begun(2)
    assert sweeping.command is not None
    for _ in range(times):
        sweeping.command.send_signal(signal.SIGINT)
        time.sleep(1.0)
    sweeping.end(130)
    assert not sweeping.jobs()
    ended = [outcome_of(trial) for trial in sweeping.study().trials]
    assert {each.status for each in ended if each} <= {"finished", "stopped"}
    assert any(each.interrupted for each in ended if each)
    sweeping.run()
    sweeping.holds(8)


SMALL = (
    *("hydra.sweeper.n_trials=4", "hydra.sweeper.pruner=none", "training.epochs=1"),
    *("dataset.train_limit=200", "warmup=0", "inference.seconds=0", "tracking=local"),
)
EXECUTED = (
    *("hydra.sweeper.executor=slurm", "hydra.sweeper.n_workers=2", "hydra.sweeper.n_trials=6"),
    "hydra.sweeper.check_nodes=false",
    *("hydra.sweeper.study_name=greensweep", "hydra/sweeper/sampler=random", "--", "sh", "-c"),
    "echo '{}' >> places.jsonl; for epoch in 1 2; do sleep 1; "
    "echo GREENSWEEP_METRIC epoch=$epoch epochs=2 score={rate}; done",
)


@pytest.mark.parametrize("how", ["to its end", "ctrl-c", "scancel"])
def test_any_command_runs_in_jobs_and_fails_by_no_signal_of_theirs(
    sweeping: Sweeping, how: str
) -> None:
    sweeping.program = ("-m", "greensweep", "exec", "--meter", "unmetered", "--metric", "score")
    sweeping.program += ("--direction", "maximize", "-m", "rate=interval(0.1,1.0)")
    sweeping.start(*EXECUTED)
    if how != "to its end":
        sweeping.has_begun(3)
    if how == "ctrl-c":
        assert sweeping.command is not None
        sweeping.command.send_signal(signal.SIGINT)
        sweeping.end(130)
        sweeping.start()
    elif how == "scancel":
        sweeping.cluster.call("scancel", sweeping.jobs("RUNNING")[0])
    sweeping.end()
    sweeping.holds(6)
    ended = [outcome_of(trial) for trial in sweeping.study().trials]
    assert {each.status for each in ended if each} <= {"finished", "stopped"}
    assert [each.error for each in ended if each and each.status == "stopped"] != [] or (
        how == "to its end"
    )


def test_the_sbatch_script_of_the_page_runs_a_sweep_as_it_stands(sweeping: Sweeping) -> None:
    (shown,) = [each for each in blocks("docs/cluster.md") if each.code.startswith("#!/bin/bash")]
    smaller = " ".join(SMALL)
    (sweeping.folder / "sweep.sh").write_text(f"{shown.code.rstrip()} {smaller}\n")
    (sweeping.folder / ".venv").symlink_to(PROJECT / ".venv")
    environment = {**os.environ, **sweeping.cluster.environment}
    script = [*("sbatch", "--wait", "--output=said.txt"), "sweep.sh"]
    done = subprocess.run(script, cwd=sweeping.folder, env=environment, check=False, timeout=400)
    said = (sweeping.folder / "said.txt").read_text()
    assert done.returncode == 0, said
    (study,) = (sweeping.folder / "multirun").glob("*/study.json")
    kept = json.loads(study.read_text())["search"]
    assert kept["trials_by_status"] == {"finished": 4}, said
    assert "Take trial" in said
    assert len({*re.findall(r"^Trial (\d+)", said, re.MULTILINE)}) == 4


def test_hydras_own_launcher_runs_a_sweep_in_jobs(sweeping: Sweeping) -> None:
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    sweeping.program = (str(PROJECT / "src" / "train.py"), "-m", "hydra/launcher=submitit_slurm")
    sweeping.run(
        "hydra/sweeper=greensweep", "hydra.sweeper.n_workers=2", "energy=unmetered", *SMALL
    )
    (study,) = (sweeping.folder / "multirun").glob("*/study.json")
    assert json.loads(study.read_text())["search"]["trials_by_status"] == {"finished": 4}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["hydra.sweeper.slurm.partition=none"], r"Slurm took no job \(.*partition.*none"),
        (
            ["hydra.sweeper.slurm.partition=short", "hydra.sweeper.slurm.timeout_min=60"],
            r"Slurm will not start job \d+.* \(PartitionTimeLimit\): .*timeout_min=60",
        ),
        (["hydra.sweeper.slurm.additional_parameters={no-such: 1}"], "Slurm took no job .*no-such"),
        (
            ["hydra.sweeper.slurm.setup=['echo the module is missing', 'exit 3']"],
            r"3 jobs one after another ended before they ran a trial; the last was job \S+ on n\d "
            r"\(FAILED\): the module is missing",
        ),
        (
            ["hydra.sweeper.check_nodes=true"],
            r"Error: node n\d does not share MLflow's store with .*: set MLFLOW_TRACKING_URI=",
        ),
        (["hydra.sweeper.storage=sqlite:///a.db"], "is a SQLite file, which nodes of a cluster"),
        (
            ["hydra/launcher=joblib"],
            "executor=slurm places trials itself: leave",
        ),
        (["hydra.sweeper.n_workers=auto"], "give the number of jobs, hydra.sweeper.n_workers=4"),
    ],
    ids=["partition", "time", "parameter", "dies", "tracking", "sqlite", "launcher", "auto"],
)
def test_what_cannot_run_ends_in_a_sentence(
    sweeping: Sweeping, options: list[str], said: str
) -> None:
    last = sweeping.run(*options, status=1).splitlines()[-1]
    assert re.search(said, last), last
    assert not sweeping.places
    assert not sweeping.jobs()
