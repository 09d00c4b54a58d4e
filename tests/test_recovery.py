"""What broke or died leaves no run open, is told, and costs nothing but itself."""

import json
import sqlite3
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import optuna
import pytest
from conftest import Finished
from filelock import FileLock
from test_sweeper import QUICK, STUDY, study_in

from greensweep.__main__ import main
from greensweep.config.schema import TrainConfig
from greensweep.config.store import save_run_config
from greensweep.energy import build_meter
from greensweep.files import write_json
from greensweep.record.recorded_run import record_result
from greensweep.record.result import RunResult, read_result, write_result
from greensweep.runs.repeats import run_repeats
from greensweep.search.records import Outcome
from greensweep.study import winners
from greensweep.study.dead_trials import record_dead_trials
from greensweep.study.trials import read_trials
from greensweep.study.upload import upload
from greensweep.tracking.mlflow_store import MlflowStore
from greensweep.tracking.mlflow_tracker import MlflowTracker

Cli = Callable[..., Finished]
Compose = Callable[..., TrainConfig]


@pytest.fixture
def store(tmp_path: Path) -> MlflowStore:
    return MlflowStore(f"sqlite:///{tmp_path}/mlflow.db", "greensweep", str(tmp_path / "artifacts"))


def recorded(sweep: Path, number: int, outcome: Outcome) -> Path:
    """Leave a trial as a search records it that found its process dead."""
    folder = sweep / str(number)
    folder.mkdir(parents=True)
    kept = {"number": number, "values": None, "outcome": outcome.to_json(), "constraints": {}}
    write_json(folder / "trial.json", kept)
    return folder


def statuses(store: MlflowStore) -> dict[str, str]:
    found = store.client.search_runs([store.experiment_id])
    return {str(run.info.run_name): run.info.status for run in found}


def test_no_run_of_a_dead_trial_stays_running_nor_that_of_its_repeat(
    store: MlflowStore, config: Compose, tmp_path: Path
) -> None:
    sweep = tmp_path / "sweep"
    sweep.mkdir()
    parent = store.shared_parent(sweep, "sweep", {})
    died = store.create_run("trial 0", {}, parent)
    whole = store.create_run("trial 0, repeat 0", {}, died)
    store.create_run("trial 0, repeat 1", {}, died)
    living = store.create_run("trial 1", {}, parent)
    store.create_run("trial 1, repeat 0", {}, living)
    other = store.create_run("another sweep", {}, None)
    store.create_run("trial 0, repeat 3", {}, store.create_run("trial 0", {}, other))
    folder = recorded(sweep, 0, Outcome("died", "its process died"))
    repeat = folder / "repeats" / "0"
    repeat.mkdir(parents=True)
    result = RunResult("finished", None, "m", "d", 0, validation_accuracy=0.5, mlflow_run_id=whole)
    write_result(result, repeat)
    before = statuses(store)
    record_dead_trials(sweep, config("tracking=mlflow"), store)
    changed = {name for name, status in statuses(store).items() if status != before[name]}
    assert changed == {"trial 0", "trial 0, repeat 0", "trial 0, repeat 1"}
    ended = {run.info.run_name: run for run in store.client.search_runs(store.experiment_id)}
    assert store.client.get_run(died).info.status == "KILLED"
    assert store.client.get_run(whole).info.status == "FINISHED"
    assert store.client.get_run(whole).data.metrics["validation/accuracy"] == 0.5
    assert ended["trial 0, repeat 1"].info.status == "KILLED"
    assert read_result(folder).mlflow_run_id == died


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        (Outcome("died", "its process died"), "stopped"),
        (Outcome("stopped", "interrupted", interrupted=True), "stopped"),
        (Outcome("failed", "its process died"), "failed"),  # for the second time
        (Outcome("pruned", "pruned after epoch 2", epochs=2), "pruned"),
    ],
)
def test_a_trial_without_a_result_gets_one_with_its_end_and_what_was_asked_of_it(
    config: Compose, tmp_path: Path, outcome: Outcome, status: str
) -> None:
    folder = recorded(tmp_path, 0, outcome)
    (folder / ".hydra").mkdir()
    asked = ["optimizer.learning_rate=0.01", "model=dense_linear"]
    (folder / ".hydra" / "overrides.yaml").write_text(f"- {asked[0]}\n- {asked[1]}\n")
    record_dead_trials(tmp_path, config("tracking=local"), None)
    result = read_result(folder)
    assert (result.status, result.error) == (status, outcome.error)
    assert result.overrides == tuple(asked)


@pytest.mark.parametrize("text", [None, "", "- a\n- 'b", "7", "\0"])
def test_a_trial_of_which_nothing_is_known_makes_no_column(
    config: Compose, tmp_path: Path, text: str | None
) -> None:
    for number, rate in ((0, "0.1"), (1, "0.2")):
        (tmp_path / str(number)).mkdir()
        asked = (f"optimizer.learning_rate={rate}", "model=dense_linear")
        result = RunResult("finished", None, "m", "d", 0, trial=number, overrides=asked)
        write_result(result, tmp_path / str(number))
    folder = recorded(tmp_path, 2, Outcome("died", "its process died"))
    if text is not None:
        (folder / ".hydra").mkdir()
        (folder / ".hydra" / "overrides.yaml").write_text(text)
    record_dead_trials(tmp_path, config("tracking=local"), None)
    assert [dict(trial.searched) for trial in read_trials(tmp_path)] == [
        {"optimizer.learning_rate": "0.1"}, {"optimizer.learning_rate": "0.2"}, {},
    ]  # fmt: skip


def test_a_run_that_the_search_refuses_counts_as_it_ended_there(tmp_path: Path) -> None:
    folder = recorded(tmp_path, 0, Outcome("failed", "it came to no such figure"))
    write_result(RunResult("finished", None, "m", "d", 0, trial=0), folder)
    (trial,) = read_trials(tmp_path)
    assert (trial.result.status, trial.result.error) == ("failed", "it came to no such figure")


@pytest.mark.parametrize(
    "spoilt",
    [
        "result.json",
        pytest.param("trial.json", marks=pytest.mark.slow),
        pytest.param("config.yaml", marks=pytest.mark.slow),
    ],
)
def test_a_broken_file_is_told_before_anything_trains_and_costs_its_trial_alone(
    cli: Cli, tmp_path: Path, spoilt: str
) -> None:
    assert cli("train.py", *QUICK, "hydra.sweeper.n_trials=2").status == 0
    sweep = tmp_path / "multirun" / STUDY
    path = sweep / "0" / spoilt
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    ended = cli("train.py", *QUICK, "hydra.sweeper.n_trials=3")
    assert ended.status == 0, ended.errors
    assert [trial.state.name for trial in study_in(tmp_path).trials] == ["COMPLETE"] * 3
    study = json.loads((sweep / "study.json").read_text())
    if spoilt == "result.json":
        told = ended.output.index("0/result.json is broken (")
        assert told < ended.output.index("Trials (")
        assert told < ended.output.index("\nTrial 2: ")  # which trains
        assert (sweep / "0" / "result.json.broken").is_file()
    assert study["search"]["trials_by_status"] == study["trials_by_status"] == {"finished": 3}
    assert study["trials"] == 3
    left_out = {"config.yaml": {}}.get(spoilt, {f"{spoilt} broken": 1})
    assert study["trials_breaking"] == left_out


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"no id here\n", b"\x00" * 33])
def test_a_broken_name_of_a_sweeps_run_is_told_and_another_is_opened(
    store: MlflowStore, tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    first = store.shared_parent(tmp_path, "sweep", {})
    (tmp_path / ".mlflow_parent").write_bytes(content)
    second = store.shared_parent(tmp_path, "sweep", {})
    assert second != first
    assert store.shared_parent(tmp_path, "sweep", {}) == second
    assert ".mlflow_parent is broken (it names no run)" in caplog.text


class Refusing(MlflowStore):
    """A store that refuses some calls, as on a full disk."""

    refused: tuple[str, ...] = ()

    def _refuse(self, name: str) -> None:
        if name in self.refused:
            raise sqlite3.OperationalError("database or disk is full")

    def log_params(self, *arguments: Any, **options: Any) -> None:
        self._refuse("log_params")
        super().log_params(*arguments, **options)

    def log(self, *arguments: Any, **options: Any) -> None:
        self._refuse("log")
        super().log(*arguments, **options)

    def log_files(self, *arguments: Any, **options: Any) -> None:
        self._refuse("log_files")
        super().log_files(*arguments, **options)

    def close(self, *arguments: Any, **options: Any) -> None:
        self._refuse("close")
        super().close(*arguments, **options)


@pytest.mark.parametrize("refused", ["log_params", "log", "log_files", "close"])
def test_what_a_full_disk_refuses_is_sent_into_the_same_run_later(
    config: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: str
) -> None:
    from greensweep.energy import UnmeteredMeter
    from greensweep.runs.once import run_once

    uri = f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    full = Refusing(uri, "greensweep", str(tmp_path / "artifacts"))
    full.refused = (refused,)
    quick = config(
        "model=dense_linear", "dataset.train_limit=200", "training.epochs=2", "inference.seconds=0",
        "energy=unmetered", "tracking=mlflow",
    )  # fmt: skip
    folder = tmp_path / "run"
    run_once(quick, folder, meter=UnmeteredMeter(), tracker=MlflowTracker(full), test=False)
    kept = read_result(folder)
    assert kept.mlflow_run_id is not None
    assert kept.mlflow_incomplete
    assert upload(folder) == [kept.mlflow_run_id]
    assert upload(folder) == []
    (run,) = full.client.search_runs([full.experiment_id])
    assert run.info.status == "FINISHED"
    assert run.data.params["model.name"] == "dense_linear"
    assert run.data.metrics["validation/accuracy"] == kept.validation_accuracy
    losses = full.client.get_metric_history(run.info.run_id, "train/loss")
    assert [point.step for point in losses] == [1, 2]
    files = {file.path for file in full.client.list_artifacts(run.info.run_id)}
    assert {"config.yaml", "result.json"} <= files
    assert not read_result(folder).mlflow_incomplete


@pytest.mark.parametrize("call", ["log", "log_files", "close"])
def test_a_run_that_was_killed_while_mlflow_was_told_is_sent_whole_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    class Killed(BaseException):
        pass

    def kill(*_: Any, **__: Any) -> None:
        raise Killed

    uri = f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    store = Refusing(uri, "greensweep", str(tmp_path / "artifacts"))
    tracker = MlflowTracker(store)
    tracker.start("a", {}, {})
    monkeypatch.setattr(store, call, kill)
    result = RunResult(
        status="finished", error=None, model="a", dataset="b", seed=0, mlflow_run_id=tracker.run_id
    )
    (tmp_path / "run").mkdir()
    save_run_config({}, tmp_path / "run" / "config.yaml")
    with pytest.raises(Killed):
        record_result(result, tmp_path / "run", tracker, [])
    assert upload(tmp_path / "run") == [tracker.run_id]
    (run,) = store.client.search_runs([store.experiment_id])
    assert run.info.status == "FINISHED"
    assert upload(tmp_path / "run") == []


def test_a_store_that_comes_back_before_the_end_gets_everything(tmp_path: Path) -> None:
    store = Refusing(f"sqlite:///{tmp_path}/mlflow.db", "tests", str(tmp_path / "artifacts"))
    store.refused = ("log", "log_params")
    tracker = MlflowTracker(store)
    tracker.start("a run", {"a": "1"}, {})
    tracker.log_step({"loss": 1.0}, 1)
    assert tracker.incomplete
    store.refused = ()
    tracker.log_step({"loss": 0.5}, 2)
    tracker.finish("FINISHED", {"accuracy": 0.5}, {"status": "finished"}, [])
    assert not tracker.incomplete
    assert tracker.run_id is not None
    run = store.client.get_run(tracker.run_id)
    assert (run.info.status, run.data.params) == ("FINISHED", {"a": "1"})
    history = store.client.get_metric_history(tracker.run_id, "loss")
    assert [(point.step, point.value) for point in history] == [(1, 1.0), (2, 0.5)]


def begun(sweep: Path, number: int) -> Path:
    """Leave what Hydra writes of a trial before it begins."""
    hydra = sweep / str(number) / ".hydra"
    hydra.mkdir(parents=True)
    (hydra / "hydra.yaml").write_text(f"hydra: {{job: {{num: {number}}}}}\n")
    (hydra / "overrides.yaml").write_text(f"- seed={number}\n")
    return hydra.parent


def test_what_a_launcher_killed_of_a_stock_sweep_has_ended(
    store: MlflowStore, config: Compose, tmp_path: Path
) -> None:
    sweep = tmp_path / "sweep"
    folders = [begun(sweep, number) for number in range(3)]
    (folders[2] / ".hydra" / "hydra.yaml").write_text("hydra: {job:")
    parent = store.shared_parent(sweep, "sweep", {})
    run_id = store.create_run("trial 0", {}, parent)
    store.create_run("trial 0, repeat 0", {}, run_id)
    record_dead_trials(sweep, config("tracking=mlflow"), store)
    assert statuses(store) == {
        "sweep": "RUNNING", "trial 0": "KILLED", "trial 0, repeat 0": "KILLED",
    }  # fmt: skip
    trials = read_trials(sweep)
    assert [trial.result.status for trial in trials] == ["stopped", "stopped"]
    assert [trial.searched for trial in trials] == [{"seed": "0"}, {"seed": "1"}]
    assert trials[0].result.mlflow_run_id == run_id


@pytest.mark.parametrize("at_work", [False, True])
def test_a_table_of_a_killed_stock_sweep_ends_what_it_left_open(
    store: MlflowStore, config: Compose, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    at_work: bool,
) -> None:  # fmt: skip
    sweep = tmp_path / "sweep"
    for number in range(2):
        folder = begun(sweep, number)
        save_run_config(asdict(config(f"tracking.uri={store.uri}")), folder / "config.yaml")
    write_result(
        RunResult("finished", None, "m", "d", 0, trial=0, validation_accuracy=0.5), sweep / "0"
    )
    study = optuna.create_study(study_name="any", storage=f"sqlite:///{sweep}/optuna.db")
    study.ask()
    store.create_run("trial 1", {}, store.shared_parent(sweep, "sweep", {}))
    lock = FileLock(sweep / ".command.lock")
    lock.acquire()  # as a command does, until the system lets go of it
    if not at_work:
        lock.release()
    assert main(["summarise", str(sweep)]) == 0
    lock.release()
    ended = ("RUNNING", "RUNNING") if at_work else ("FAIL", "KILLED")
    assert (study.trials[0].state.name, *set(statuses(store).values())) == ended
    assert ("is at work in" in capsys.readouterr().out) == at_work
    assert (sweep / "study.json").is_file() != at_work
    if not at_work:
        assert json.loads((sweep / "study.json").read_text())["status"] == "interrupted"
        assert [trial.result.status for trial in read_trials(sweep)] == ["finished", "stopped"]


def test_what_another_command_of_a_search_still_runs_is_left_alone(
    store: MlflowStore, config: Compose, tmp_path: Path
) -> None:
    begun(tmp_path, 0)
    write_json(tmp_path / "study_of.json", {"study_name": "s", "folder": "f"})
    store.create_run("trial 0", {}, store.shared_parent(tmp_path, "sweep", {}))
    record_dead_trials(tmp_path, config("tracking=mlflow"), store)
    assert set(statuses(store).values()) == {"RUNNING"}
    assert not read_trials(tmp_path)


def test_a_run_that_finished_where_nothing_came_home_from_is_ended_with_its_trial(
    tmp_path: Path, store: MlflowStore
) -> None:
    parent = store.shared_parent(tmp_path, "sweep", {})
    recorded(tmp_path, 0, Outcome("died", "its process died"))
    recorded(tmp_path, 1, Outcome("finished"))
    for name in ("trial 0", "trial 1"):
        store.close(store.create_run(name, {}, parent), "FINISHED")
    record_dead_trials(tmp_path, None, store)
    assert statuses(store).items() >= {"trial 0": "KILLED", "trial 1": "FINISHED"}.items()


def test_half_a_config_of_a_dead_trial_costs_no_other_anything(
    config: Compose, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = recorded(tmp_path, 0, Outcome("died", "its process died"))
    (folder / "config.yaml").write_text("model: {name: dense")
    recorded(tmp_path, 1, Outcome("died", "its process died"))
    asked = config("tracking=local")
    record_dead_trials(tmp_path, asked, None)
    assert [trial.result.model for trial in read_trials(tmp_path)] == [asked.model.name] * 2
    assert str(folder / "config.yaml") in caplog.text


@pytest.mark.parametrize("repeats", [1, 2])
def test_an_interrupt_while_its_run_is_opened_leaves_it_ended(
    store: MlflowStore, config: Compose, tmp_path: Path, repeats: int
) -> None:
    class Slow(MlflowTracker):
        def start(self, *arguments: Any) -> None:
            super().start(*arguments)
            raise KeyboardInterrupt

    asked = config(f"repeats={repeats}", "energy=unmetered")
    with pytest.raises(KeyboardInterrupt):
        run_repeats(
            asked,
            tmp_path / "run",
            meter=build_meter(asked.energy),
            tracker=Slow(store),
            test=False,
        )
    assert statuses(store) == {"run": "KILLED"}
    result = read_result(tmp_path / "run")
    assert result.status == "stopped"
    assert result.mlflow_run_id is not None


def test_an_interrupt_while_the_winners_are_tested_leaves_a_sweep_that_ended(
    cli: Cli, tmp_path: Path
) -> None:
    (tmp_path / "closing.py").write_text(
        "import os\n"
        "import signal\n"
        "from pathlib import Path\n"
        "from torch import nn\n"
        "class Net(nn.Sequential):\n"
        "    def __init__(self, image_size, num_classes):\n"
        "        super().__init__(nn.Flatten(), nn.Linear(image_size**2, num_classes))\n"
        "    def load_state_dict(self, *arguments, **options):\n"
        "        if Path('sweep/1/result.json').exists():  # all trials are over\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "        return super().load_state_dict(*arguments, **options)\n"
    )
    ended = cli(
        "train.py", "-m", "hydra.sweep.dir=sweep", "seed=1,2", "model=custom",
        "model.target=closing.Net", "warmup=0", "energy=unmetered", "training.epochs=1",
        "inference.seconds=0", "dataset.train_limit=100",
    )  # fmt: skip
    assert ended.status == 130, ended.errors
    assert "Traceback" not in ended.errors
    assert json.loads((tmp_path / "sweep" / "study.json").read_text())["status"] == "interrupted"
    store = MlflowStore(f"sqlite:///{tmp_path}/mlruns/mlflow.db", "greensweep", "unused")
    assert sorted(statuses(store).values()) == ["FINISHED", "FINISHED", "KILLED"]


def test_a_winner_without_kept_weights_costs_no_warning(
    store: MlflowStore, config: Compose, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run_id = store.create_run("trial 0", {}, None)
    result = RunResult(
        "finished", None, "m", "d", 0, test_accuracy=0.5, selected_on_test=True,
        mlflow_run_id=run_id,
    )  # fmt: skip
    (tmp_path / "0").mkdir()
    write_result(result, tmp_path / "0")
    winners.evaluate_winners(
        read_trials(tmp_path), build_meter(config("energy=unmetered").energy), store
    )
    assert not caplog.text


def test_no_trial_of_the_stock_sweeper_stays_running(
    cli: Cli, tmp_path: Path, pressing: tuple[str, ...]
) -> None:
    ended = cli(
        "train.py", "-m", "hydra/sweeper=optuna", "hydra.sweep.dir=sweep", "warmup=0",
        *pressing, "+model.kwargs.trial=1", "+model.kwargs.sent=SIGTERM", "energy=unmetered",
        "tracking=local", "training.batch_size=64", "training.epochs=4", "inference.seconds=0",
    )  # fmt: skip
    assert ended.status == 130, ended.errors
    study = optuna.load_study(
        study_name="greensweep", storage=f"sqlite:///{tmp_path}/sweep/optuna.db"
    )
    states = [trial.state.name for trial in study.trials]
    assert (states[0], set(states[1:])) == ("COMPLETE", {"FAIL"})
