"""Trackers: one conformance suite, and MLflow's own conditions."""

import json
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from conftest import Finished
from mlflow import MlflowClient

from greensweep.config.schema_tracking import (
    CsvConfig,
    LocalConfig,
    MlflowConfig,
    TrackingConfig,
)
from greensweep.record.result import RunResult
from greensweep.record.summaries import ComponentSummary, PhaseSummary, Replayed, Spread
from greensweep.record.tracked_names import tracked_metrics, tracked_params, tracked_tags
from greensweep.tracking.mlflow_places import known_experiment, known_parent, tracking_uri
from greensweep.tracking.mlflow_store import MlflowStore, unreachable
from greensweep.tracking.mlflow_tracker import MlflowTracker, open_store
from greensweep.tracking.tracker import MemoryTracker, Tracker, build_tracker


def test_a_result_is_tracked_under_the_names_that_are_promised() -> None:
    result = RunResult(
        *("finished", None, "m", "d", 0),
        validation_accuracy=0.9,
        test_accuracy=0.8,
        energy_joules=7.0,
        energy_kwh=2e-6,
        emissions_kg=1e-6,
        emissions_spent_kg=2e-6,
        energy_quality="measured",
        energy_components={"cpu": ComponentSummary(5.0, None, "rapl", "measured")},
        energy_phases={
            "training": PhaseSummary(7.0, None, 2.0, "measured"),
            "test": PhaseSummary(1.0, None, 1.0, "estimated"),
            "warmup": PhaseSummary(None, None, 1.0, "unmeasured"),
        },
        layers={"conv": 2},
        parameters=10,
        flops=20,
        spread={"energy_joules": Spread(1.0, 6.0, 8.0), "test_accuracy": Spread(0.1, 0.7, 0.9)},
        replayed=Replayed("runs.csv", "nearest", {"epoch": 25}, 2, 0.7, outside=True),
    )
    tracked = tracked_metrics(result)
    assert tracked == {
        "validation/accuracy": 0.9, "test/accuracy": 0.8, "energy/training_joules": 7.0,
        "energy/total_joules": 7.0, "emissions/kg": 1e-6, "emissions/spent_kg": 2e-6,
        "energy/kwh": 2e-6, "energy/cpu_joules": 5.0, "layers/conv": 2.0, "model/parameters": 10.0,
        "model/flops": 20.0, "training/epochs": 0.0, "phases/training_joules": 7.0,
        "phases/test_joules": 1.0, "phases/training_seconds": 2.0, "phases/test_seconds": 1.0,
            "phases/warmup_seconds": 1.0, "energy/training_joules_std": 1.0,
        "energy/training_joules_low": 6.0, "energy/training_joules_high": 8.0,
        "test/accuracy_std": 0.1, "test/accuracy_low": 0.7, "test/accuracy_high": 0.9,
    }  # fmt: skip
    assert tracked_tags(result) == {
        "status": "finished", "model": "m", "dataset": "d", "energy.quality": "measured",
        "objective.metric": "accuracy", "objective.direction": "maximize",
        "replay.outside": "true", "energy.source.cpu": "rapl", "energy.quality.cpu": "measured",
        "phases.quality.test": "estimated",
    }  # fmt: skip


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> MlflowStore:
    folder = tmp_path_factory.mktemp("store")
    return MlflowStore(f"sqlite:///{folder}/mlflow.db", "tests", str(folder / "artifacts"))


@pytest.fixture(params=sorted(TrackingConfig.choices))
def tracker(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Tracker:
    """Each tracker that there is, of a run in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "run").mkdir()
    return build_tracker(TrackingConfig.choices[request.param](), tmp_path / "run")


def record(tracker: Tracker, note: Path) -> None:
    tracker.start("a run", {"a": "1"}, {"t": "x"})
    for step in (1, 2, 3):
        tracker.log_step({"loss": 1.0 / step}, step)
    repeat = tracker.child()
    repeat.start("a run, repeat 0", {"a": "1"}, {})
    repeat.log_step({"loss": 0.25}, 1)
    repeat.finish("FINISHED", {"accuracy": 0.5}, {}, [])
    tracker.finish("FINISHED", {"accuracy": 0.5}, {"status": "finished"}, [note])


def test_any_tracker_takes_a_whole_run_and_its_repeats(
    tracker: Tracker, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "note.txt").write_text("a note")
    record(tracker, tmp_path / "note.txt")
    assert not tracker.incomplete
    assert caplog.records == []


def test_no_tracker_fails_a_run_whose_folder_is_gone(tracker: Tracker, tmp_path: Path) -> None:
    (tmp_path / "run").rmdir()
    (tmp_path / "run").write_text("no folder")
    record(tracker, tmp_path / "gone.txt")


def test_the_tracker_in_memory_keeps_all(tmp_path: Path) -> None:
    tracker = MemoryTracker()
    record(tracker, tmp_path / "note.txt")
    assert (tracker.params, tracker.metrics) == ({"a": "1"}, {"accuracy": 0.5})
    assert tracker.history == [(1, {"loss": 1.0}), (2, {"loss": 0.5}), (3, {"loss": 1 / 3})]
    assert (tracker.status, tracker.files) == ("FINISHED", [tmp_path / "note.txt"])
    assert [each.name for each in tracker.children] == ["a run, repeat 0"]


def test_csv_holds_each_figure_in_a_row_that_pandas_reads(tmp_path: Path) -> None:
    record(build_tracker(CsvConfig(), tmp_path), tmp_path / "note.txt")
    found = pd.read_csv(tmp_path / "metrics.csv")
    losses = found[found["metric"] == "loss"]
    assert list(losses["value"]) == [1.0, 0.5, 1 / 3, 0.25]
    assert list(losses["step"]) == [1, 2, 3, 1]
    assert list(losses["run"]) == ["a run"] * 3 + ["a run, repeat 0"]
    results = found[found["step"].isna()]
    assert list(results["run"]) == ["a run, repeat 0", "a run"]
    assert set(results["metric"]) == {"accuracy"}


def test_a_run_and_its_repeats_are_followed_in_one_csv_file(
    cli: Callable[..., Finished], tmp_path: Path
) -> None:
    quick = ("training.epochs=2", "dataset.train_limit=80", "energy=unmetered", "warmup=0")
    done = cli("train.py", "tracking=csv", "repeats=2", "inference.seconds=0", *quick)
    assert done.status == 0, done.errors
    (file,) = tmp_path.rglob("metrics.csv")
    found = pd.read_csv(file)
    by_epoch = found[found["metric"].eq("validation/accuracy") & found["step"].notna()]
    assert list(by_epoch["step"]) == [1, 2, 1, 2]
    assert by_epoch["run"].nunique() == 2
    own = found["run"].eq("simple_cnn") & found["step"].isna()
    mean = found[own & found["metric"].eq("validation/accuracy")]["value"]
    result = json.loads(file.with_name("result.json").read_text())
    assert list(mean) == [result["validation_accuracy"]]
    assert not (tmp_path / "mlruns").exists()


@pytest.mark.parametrize("status", ["FINISHED", "FAILED", "KILLED"])
def test_mlflow_holds_history_params_tags_files_and_the_end(
    store: MlflowStore, tmp_path: Path, status: str
) -> None:
    note = tmp_path / "note.txt"
    note.write_text("a note")
    tracker = MlflowTracker(store)
    tracker.start("a run", {f"p{i}": str(i) for i in range(150)}, {"t": "x"})
    for step in range(1, 1201):  # more points and params than MLflow takes in one call
        tracker.log_step({"loss": 1.0 / step}, step)
    tracker.finish(status, {"accuracy": 0.5, "loss": 1 / 1200}, {"status": "s"}, [note])  # type: ignore[arg-type]
    assert tracker.run_id is not None
    run = store.client.get_run(tracker.run_id)
    assert run.info.status == status
    assert run.data.params == {f"p{i}": str(i) for i in range(150)}
    assert run.data.metrics == {"accuracy": 0.5, "loss": 1 / 1200}
    assert (run.data.tags["t"], run.data.tags["status"]) == ("x", "s")
    history = store.client.get_metric_history(tracker.run_id, "loss")
    assert [(point.step, point.value) for point in history] == [
        (step, 1.0 / step) for step in range(1, 1201)
    ]
    (artifact,) = store.client.list_artifacts(tracker.run_id)
    assert artifact.path == "note.txt"


def test_a_final_figure_that_differs_from_the_last_epoch_is_the_one_shown(
    store: MlflowStore,
) -> None:
    tracker = MlflowTracker(store)
    tracker.start("a run", {}, {})
    tracker.log_step({"validation/accuracy": 0.9}, 1)
    tracker.log_step({"validation/accuracy": 0.7}, 2)
    tracker.finish("FINISHED", {"validation/accuracy": 0.9}, {}, [])
    assert tracker.run_id is not None
    assert store.client.get_run(tracker.run_id).data.metrics == {"validation/accuracy": 0.9}


def test_what_is_told_last_is_shown_when_the_clock_is_set_back(
    store: MlflowStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracker = MlflowTracker(store)
    tracker.start("a run", {}, {})
    tracker.log_step({"accuracy": 0.9}, 1)
    now = time.time
    monkeypatch.setattr("time.time", lambda: now() - 3600.0)
    tracker.finish("FINISHED", {"accuracy": 0.8}, {}, [])
    assert tracker.run_id is not None
    assert store.client.get_run(tracker.run_id).data.metrics == {"accuracy": 0.8}


def test_a_store_that_goes_away_costs_a_warning_and_no_error(
    store: MlflowStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tracker = MlflowTracker(store)
    tracker.start("a run", {}, {})
    assert tracker.run_id is not None
    store.client.delete_run(tracker.run_id)  # a deleted run takes no more figures
    tracker.log_step({"loss": 1.0}, 1)
    tracker.finish("FINISHED", {"accuracy": 0.5}, {}, [tmp_path])
    assert tracker.incomplete
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "python -m greensweep upload" in caplog.text


def test_a_sweep_copied_from_elsewhere_gets_a_parent_in_this_store(
    store: MlflowStore, tmp_path: Path
) -> None:
    parent = store.shared_parent(tmp_path, "sweep", {})
    assert store.shared_parent(tmp_path, "sweep", {}) == parent
    assert known_experiment(tmp_path) == store.experiment_id
    other = MlflowStore(f"sqlite:///{tmp_path}/mlflow.db", "other", str(tmp_path / "artifacts"))
    moved = other.shared_parent(tmp_path, "sweep", {})
    assert moved != parent
    assert known_parent(tmp_path) == moved
    assert other.client.get_run(moved).info.experiment_id == known_experiment(tmp_path)


@pytest.mark.slow
def test_processes_that_open_a_new_store_at_once_share_it(tmp_path: Path) -> None:
    program = (
        "from greensweep.tracking.mlflow_store import MlflowStore\n"
        "from pathlib import Path\n"
        "store = MlflowStore('sqlite:///new/mlflow.db', 'race', 'new/artifacts')\n"
        "parent = store.shared_parent(Path('.'), 'sweep', {})\n"
        "print(store.create_run('run', {}, parent), parent)\n"
    )
    running = [
        subprocess.Popen(
            [sys.executable, "-c", program], cwd=tmp_path, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True,
        )
        for _ in range(3)
    ]  # fmt: skip
    ended = [process.communicate(timeout=120) for process in running]
    assert [process.returncode for process in running] == [0, 0, 0], ended
    runs, parents = zip(*(out.split() for out, _ in ended), strict=True)
    assert len(set(runs)) == 3
    assert len(set(parents)) == 1
    client = MlflowClient(f"sqlite:///{tmp_path}/new/mlflow.db")
    assert len(client.search_experiments(filter_string="name = 'race'")) == 1


def test_a_server_is_probed_once_and_a_local_store_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert unreachable("sqlite:///anywhere.db") is None
    config = MlflowConfig(uri="http://ada:s3cret@127.0.0.1:9")
    assert open_store(config) is None
    assert open_store(config) is None
    assert isinstance(build_tracker(config, tmp_path), MemoryTracker)
    (record,) = caplog.records
    assert "http://ada:***@127.0.0.1:9 cannot be reached" in record.getMessage()
    assert "s3cret" not in caplog.text


def test_local_tracking_opens_no_store() -> None:
    assert open_store(LocalConfig()) is None


def test_a_broken_store_costs_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "broken.db").write_text("this is no database, " * 100)
    assert open_store(MlflowConfig(uri=f"sqlite:///{tmp_path}/broken.db")) is None
    assert "cannot be reached" in caplog.text


def test_a_store_that_is_a_folder_is_told_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert open_store(MlflowConfig(uri=f"sqlite:///{tmp_path}")) is None
    assert "(OperationalError: unable to open database file)" in caplog.text


def test_advice_of_mlflow_is_left_out(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "foo://")
    assert open_store(MlflowConfig()) is None
    assert "foo:// cannot be reached (" in caplog.text
    assert "Supported URI schemes" not in caplog.text


@pytest.mark.parametrize("fault", ["corrupted", "without a table"])
def test_a_database_that_fails_midway_shows_no_traceback(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], fault: str
) -> None:
    database = tmp_path / "own.db"
    tracker = MlflowTracker(MlflowStore(f"sqlite:///{database}", "mine", str(tmp_path)))
    tracker.start("a run", {}, {})
    if fault == "corrupted":
        database.write_bytes(b"no database at all" * 1000)
    else:
        with sqlite3.connect(database) as other:
            other.execute("drop table metrics")
    tracker.log_step({"loss": 1.0}, 1)
    tracker.finish("FINISHED", {"accuracy": 0.5}, {}, [])
    assert tracker.incomplete
    assert "Traceback" not in capfd.readouterr().err


def test_params_are_flat_text() -> None:
    config = {"a": {"b": 1, "c": {"d": None}}, "e": [1, 2], "f": {}}
    assert tracked_params(config, RunResult("finished", None, "m", "d", 0)) == {
        "a.b": "1", "a.c.d": "None", "e": "[1, 2]", "f": "{}", "objective.metric": "accuracy",
    }  # fmt: skip


def test_credentials_stay_out_of_the_log(
    cli: Callable[..., Finished], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://ada:s3cret@127.0.0.1:9")
    ended = cli("train.py", "training.epochs=1", "energy=unmetered", "hydra.run.dir=run")
    assert ended.status == 0
    assert "ada:***@127.0.0.1" in ended.output
    assert "s3cret" not in ended.output + ended.errors + Path("run/train.log").read_text()


def test_runs_of_dvcs_queue_go_into_the_projects_own_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    copy = tmp_path / ".dvc" / "tmp" / "exps" / "tmpabc"
    copy.mkdir(parents=True)
    for folder, store in (
        (tmp_path, tmp_path),
        (copy, tmp_path),
        (copy.parents[1], copy.parents[1]),
    ):
        monkeypatch.chdir(folder)
        assert tracking_uri("sqlite:///mlruns/mlflow.db") == f"sqlite:///{store}/mlruns/mlflow.db"
    monkeypatch.chdir(copy)
    assert tracking_uri("sqlite:////srv/mlflow.db") == "sqlite:////srv/mlflow.db"
    opened = open_store(MlflowConfig(name="mlflow", experiment="queued"))
    assert opened is not None
    found = MlflowClient(f"sqlite:///{tmp_path}/mlruns/mlflow.db").get_experiment_by_name("queued")
    assert found is not None
    assert found.artifact_location == f"{tmp_path}/mlruns/artifacts"
    assert not list(copy.iterdir())
