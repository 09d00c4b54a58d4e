"""A search on a Ray cluster: what is lost runs again, and each trial counts once."""

import json
import signal
import time
from typing import Any

import optuna
import psutil
import pytest
from clusters import Searched, add_node, cluster, head, kill, searched, stranger, wait_for
from mlflow import MlflowClient

from greensweep.energy.machine import machine_totals
from greensweep.search.records import counted, outcome_of

__all__ = ["cluster", "head", "searched"]

pytestmark = [pytest.mark.slow, pytest.mark.cluster, pytest.mark.timeout(600)]


def on(cluster: Any, *options: str) -> list[str]:
    return [f"hydra.sweeper.ray.address={cluster.address}", *options]


UNMETERED = ("hydra.sweeper.energy={meter: unmetered}",)


@pytest.fixture
def full_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nodes that are started take their memory for full, whatever is in it."""
    monkeypatch.setenv("RAY_memory_usage_threshold", "0.01")
    monkeypatch.setenv("RAY_memory_monitor_refresh_ms", "250")


def test_each_trial_counts_once_whatever_is_killed(
    cluster: Any, searched: Searched, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = f"sqlite:///{searched.folder / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    command = on(cluster, "hydra.sweeper.n_trials=16", "hydra.sweeper.n_workers=2", "seconds=0.4")
    first = searched.start(*command, *UNMETERED)
    wait_for(lambda: len(searched.begun()) >= 3)
    begun = searched.begun()
    kill(begun[max(begun)])  # a worker
    wait_for(lambda: len(searched.begun()) >= 6)
    cluster.remove_node(cluster.worker_nodes.copy().pop(), allow_graceful=False)
    add_node(cluster, "n3")
    wait_for(lambda: len(searched.begun()) >= 10)
    first.kill()
    said = str(first.communicate()[0])
    assert said.count("its process died") == 1
    assert "its node was lost (n" in said
    status, rest = searched.run(*command, *UNMETERED)
    assert status == 0, rest
    for text in (said, rest):
        assert "(raylet)" not in text and "pid=" not in text and "WARNING" not in text

    trials = searched.trials()
    counting = counted(trials)
    assert [trial.state.name for trial in counting] == ["COMPLETE"] * 16
    client = MlflowClient(uri)
    runs = {run.info.run_id: run for run in client.search_runs(["1"])}
    (parent,) = [run for run in runs.values() if "mlflow.parentRunId" not in run.data.tags]
    named = {parent.info.run_id}
    for trial in trials:
        if not (searched.sweep / str(trial.number)).exists():
            assert trial not in counting  # the command was killed before it began
            continue
        result = searched.result(trial.number)
        named.add(result["mlflow_run_id"])
        if trial in counting:
            assert result["status"] == "finished"
            assert result["metrics"]["validation"]["accuracy"] == trial.value
            logged = runs[result["mlflow_run_id"]].data.metrics["validation/accuracy"]
            assert logged == trial.value
    assert {run.info.status for run in runs.values()} <= {"FINISHED", "FAILED", "KILLED"}
    assert set(runs) <= named


@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_ends_trials_after_their_epoch_and_twice_at_once(
    cluster: Any, searched: Searched, times: int
) -> None:
    command = on(cluster, "hydra.sweeper.n_trials=4", "hydra.sweeper.n_workers=3", *UNMETERED)
    command += ["hydra.sweeper.changeable=[seconds]"]
    process = searched.start(*command, "seconds=2" if times == 1 else "seconds=200")
    wait_for(lambda: len(searched.begun()) == 2)
    for _ in range(times):
        process.send_signal(signal.SIGINT)
        time.sleep(1.0)  # as fast as a person
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 130, said
    outcomes = [outcome_of(trial) for trial in searched.trials()]
    assert [(each.status, each.interrupted) for each in outcomes if each] == [("stopped", True)] * 3
    errors = {each.error for each in outcomes if each}
    assert "interrupted before it began" in errors
    assert any("after epoch" in str(error) for error in errors) == (times == 1)
    status, said = searched.run(*command, "seconds=0")
    assert status == 0, said
    assert [trial.state.name for trial in counted(searched.trials())] == ["COMPLETE"] * 4


def test_each_trial_has_the_gpu_that_ray_gave_it(
    cluster: Any, searched: Searched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    for node in cluster.worker_nodes.copy():
        cluster.remove_node(node)
    add_node(cluster, "g1", num_cpus=4, num_gpus=2)
    status, said = searched.run(
        *on(cluster, "hydra.sweeper.n_trials=6", "hydra.sweeper.n_workers=auto", *UNMETERED),
        "hydra.sweeper.check_nodes=false",  # its GPUs are none
        "seconds=1",
    )
    assert status == 0, said
    shown = sorted(path.read_text() for path in searched.marks.iterdir())
    assert set(shown) == {"0", "1"}


def test_nodes_are_read_whether_or_not_a_trial_runs_there(cluster: Any, searched: Searched) -> None:
    """Both nodes are of one machine here, which counts once; it waits for the longest trial."""
    began = time.monotonic()
    command = on(cluster, "hydra.sweeper.n_trials=3", "hydra.sweeper.n_workers=auto", "seconds=0.5")
    status, said = searched.run(*command)
    lasted = time.monotonic() - began
    assert status == 0, said
    assert "trial 2 begins" in said  # what a program prints is shown, without a prefix
    (total,) = machine_totals(searched.sweep).values()
    assert (total.watches, total.releases) == (1, 1)
    assert 4.0 < total.seconds < lasted  # two rounds of trials
    charged = sum(searched.result(number)["energy_charged_joules"] for number in range(3))
    assert 0 < charged <= total.trials_joules < total.machine_joules
    study = json.loads((searched.sweep / "study.json").read_text())
    idle = study["energy_idle_nodes_joules"]
    assert idle == pytest.approx(total.machine_joules - total.trials_joules)
    (node,) = study["energy_nodes"].values()
    assert node["joules"] == pytest.approx(node["charged_joules"] + idle)
    assert "The machine used " in said and "went to no trial" in said


def test_a_node_is_read_to_its_end_also_where_it_sees_no_folder(
    cluster: Any,
    searched: Searched,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for node in cluster.worker_nodes.copy():
        cluster.remove_node(node)
    shared = tmp_path_factory.mktemp("server")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{shared / 'mlflow.db'}")
    with stranger(cluster, "far", hidden=searched.folder):
        status, said = searched.run(
            *on(cluster, "hydra.sweeper.n_trials=2", "hydra.sweeper.n_workers=auto"),
            f"marks={shared}",
            f"hydra.sweeper.storage=sqlite:///{shared / 'optuna.db'}",
            "hydra.sweeper.check_nodes=false",
        )
    assert status == 0, said
    far = machine_totals(searched.sweep)["far"]
    assert (far.watches, far.releases) == (1, 1)
    assert 0 < far.trials_joules < far.machine_joules


def test_a_cluster_is_started_where_none_is_named(searched: Searched) -> None:
    status, said = searched.run("hydra.sweeper.n_trials=3", "hydra.sweeper.n_workers=2", *UNMETERED)
    assert status == 0, said
    assert [trial.state.name for trial in searched.trials()] == ["COMPLETE"] * 3
    assert "WARNING" not in said


def test_a_killed_command_takes_its_own_cluster_with_it_and_goes_on_when_given_again(
    searched: Searched,
) -> None:
    command = ("hydra.sweeper.n_trials=4", "hydra.sweeper.n_workers=2", *UNMETERED)
    killed = searched.start(*command, "seconds=0.5")
    wait_for(lambda: len(searched.begun()) >= 3)
    of_ray = ("gcs_server", "raylet", "ray::_run_on_node")
    started = psutil.Process(killed.pid).children(recursive=True)
    working = [each for each in started if each.name() in of_ray]
    assert len(working) >= 4
    killed.kill()
    killed.communicate()
    assert psutil.wait_procs(working, timeout=60)[1] == []
    status, said = searched.run(*command, "seconds=0.5")
    assert status == 0, said
    assert [trial.state.name for trial in counted(searched.trials())] == ["COMPLETE"] * 4


def test_a_trial_that_ray_ends_for_want_of_memory_says_so(
    full_memory: None, cluster: Any, searched: Searched
) -> None:
    status, said = searched.run(
        *on(cluster, "hydra.sweeper.n_trials=1", "hydra.sweeper.n_workers=1", *UNMETERED),
        "hydra.sweeper.check_nodes=false",
        "seconds=5",
    )
    assert status == 1
    assert "Trial 0: its process was ended for want of memory (n" in said
    assert "Trial 1: its process was ended for want of memory (n" in said
    assert "for the second time: it counts as failed" in said
    assert [trial.state.name for trial in searched.trials()] == ["FAIL"] * 2


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            ["hydra.sweeper.gpus_per_worker=1"],
            "no node of the Ray cluster has room for a trial, which takes 1 CPU, 1 GPU: the "
            "cluster has 1 CPU on one node",
        ),
        (
            ["hydra.sweeper.ray.resources={tpu: 1}"],
            "which takes 1 tpu, 1 CPU: the cluster has 1 CPU on one node",
        ),
    ],
)
def test_what_no_node_has_is_said_instead_of_waited_for(
    cluster: Any, searched: Searched, options: list[str], sentence: str
) -> None:
    status, said = searched.run(*on(cluster, "hydra.sweeper.n_trials=2", *options, *UNMETERED))
    assert status == 1
    assert sentence in said
    assert "Traceback" not in said


def test_a_node_that_sees_no_folder_is_sent_the_program_and_sends_its_results_home(
    cluster: Any,
    searched: Searched,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for node in cluster.worker_nodes.copy():
        cluster.remove_node(node)
    shared = tmp_path_factory.mktemp("server")  # stands for servers of study and runs
    uri = f"sqlite:///{shared / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    command = on(cluster, "hydra.sweeper.n_trials=3", f"marks={shared}")
    with stranger(cluster, "far", hidden=searched.folder):
        status, said = searched.run(*command)
        assert status == 1
        assert "Error: node far does not share the study with " in said
        status, said = searched.run(
            *command,
            f"hydra.sweeper.storage=sqlite:///{shared / 'optuna.db'}",
            "hydra.sweeper.check_nodes=false",
            "hydra.sweeper.fresh=true",
        )
    assert status == 0, said
    assert "trial 2 begins" in said
    url = f"sqlite:///{shared / 'optuna.db'}"
    trials = optuna.load_study(study_name="greensweep", storage=url).get_trials()
    assert [trial.state.name for trial in trials] == ["COMPLETE"] * 3
    client = MlflowClient(uri)
    runs = {run.info.run_id: run for run in client.search_runs(["1"])}
    assert len(runs) == 4
    spent = 0.0
    for trial in trials:
        result = searched.result(trial.number)
        assert result["metrics"]["validation"]["accuracy"] == trial.value
        assert (searched.sweep / str(trial.number) / ".hydra" / "config.yaml").is_file()
        logged = runs[result["mlflow_run_id"]].data.metrics["validation/accuracy"]
        assert logged == trial.value
        spent += result["energy_spent_joules"]
    assert spent > 0


def test_hydras_own_launcher_of_ray_takes_batches(searched: Searched) -> None:
    pytest.importorskip("hydra_plugins.hydra_ray_launcher", reason="hydra-ray-launcher is absent")
    status, said = searched.run(
        "hydra.sweeper.executor=local",
        "hydra/launcher=ray",
        "+hydra.launcher.ray.init.num_cpus=2",
        "hydra.sweeper.n_trials=4",
        "hydra.sweeper.n_workers=2",
        *UNMETERED,
    )
    assert status == 0, said
    assert [trial.state.name for trial in searched.trials()] == ["COMPLETE"] * 4
