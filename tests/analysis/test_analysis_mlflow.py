"""Runs out of MLflow: which of them are rows, and the same by SQL as through MLflow."""

import os
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from urllib.parse import unquote

import mlflow
import numpy as np
import pandas as pd
import pytest
from conftest import Finished
from mlflow import MlflowClient

from greensweep.analysis import read_mlflow, read_runs, read_sweeps, standard_table
from greensweep.config.schema_analysis import AnalyseConfig, ColumnsConfig, MlflowTableColumnsConfig
from greensweep.errors import AnalysisError
from greensweep.sources.mlflow import ONLY_SWEEPS, READ_KEYS, sweeps_of, table_of
from greensweep.sources.mlflow_store import (
    columns_of,
    read_database,
    read_server,
)
from greensweep.sources.mlflow_table import read_mlflow_table
from greensweep.tracking.mlflow_places import known_parent
from greensweep.tracking.mlflow_store import MlflowStore
from greensweep.tracking.mlflow_tracker import MlflowTracker
from greensweep.tracking.tracker import SweepRun


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A store with some runs of ours in the experiment `mine`, and of others in `theirs`."""
    folder = tmp_path_factory.mktemp("store")
    uri = f"sqlite:///{folder}/mlflow.db"
    fill(uri, "mine", folder)
    client = MlflowClient(uri)
    experiment = client.create_experiment("theirs", str(folder / "artifacts"))
    for number in range(4):
        run = client.create_run(experiment, run_name=f"run{number}").info.run_id
        for name, value in {"model": "net", "dataset": "mine", "lr": number, "epochs": 5}.items():
            client.log_param(run, name, value)
        client.log_metric(run, "energy_kwh", 0.001 * (number + 1))
        client.log_metric(run, "epochs", 4)
        if number < 3:
            client.log_metric(run, "val_acc", 0.5 + 0.1 * number)
        client.set_terminated(run, "FINISHED" if number < 3 else "FAILED")
    return uri


@pytest.fixture(scope="module")
def tables(uri: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `mlflow.search_runs()` says of each experiment, as CSV files with row labels."""
    folder = tmp_path_factory.mktemp("tables")
    with pytest.MonkeyPatch.context() as patch:  # set_tracking_uri would hold for other tests too
        patch.setenv("MLFLOW_TRACKING_URI", uri)
        for name in ("mine", "theirs"):
            mlflow.search_runs(experiment_names=[name]).to_csv(folder / f"{name}.csv")
    return folder


def fill(uri: str, experiment: str, folder: Path) -> None:
    """Log a sweep (a trial with a repeat, one failed, one running), a run, and a deleted one."""
    store = MlflowStore(uri, experiment, str(folder / "artifacts"))
    sweep = SweepRun(folder, "sweep TPE 1", "tpe")
    params = {"optimizer.learning_rate": "0.01", "training.epochs": "3"}

    def run(name: str, sweep: SweepRun | None, end: str | None, **figures: float) -> MlflowTracker:
        tracker = MlflowTracker(store, sweep)
        tracker.start(name, params, {"hardware.cpu": "one", "hardware.cores": "2"})
        if end is not None:
            metrics = {name.replace("__", "/"): value for name, value in figures.items()}
            tags = {
                "status": end,
                "dataset": "digits",
                "model": "net",
                "energy.quality": "measured",
            }
            tracker.finish("FINISHED" if end == "finished" else "FAILED", metrics, tags, [])
        return tracker

    figures = {
        "validation__accuracy": 0.5,
        "energy__training_joules": 7.0,
        "energy__spent_joules": 9.0,
    }
    first = run("trial 0", sweep, "finished", **figures, layers__conv=2.0)
    repeat = first.child()
    repeat.start("trial 0, repeat 0", params, {})
    repeat.finish("FINISHED", {"validation/accuracy": 0.4}, {"status": "finished"}, [])
    run("trial 1", sweep, "failed", energy__training_joules=3.0)
    run("trial 2", sweep, None)
    run("net", None, "finished", **figures)
    run("gone", None, "finished", **figures)
    client = MlflowClient(uri)
    (gone,) = client.search_runs([store.experiment_id], "attributes.run_name = 'gone'")
    client.delete_run(gone.info.run_id)


def test_rows_are_the_runs_that_ended(uri: str) -> None:
    frame = read_mlflow(uri, "mine")
    assert frame["trial"].tolist()[:2] == [0.0, 1.0]
    assert len(frame) == 3
    assert frame["status"].tolist() == ["finished", "failed", "finished"]
    assert frame["energy_joules"].tolist() == [7.0, 3.0, 7.0]
    assert frame["strategy"].tolist()[:2] == ["tpe", "tpe"]
    assert pd.isna(frame["strategy"].iloc[2]), "no search drew it"
    assert {*frame["machine"]} == {"one, 2 cores"}
    assert frame["optimizer.learning_rate"].tolist() == [0.01] * 3
    assert frame["layers/conv"].iloc[0] == 2.0
    table = standard_table(frame, ColumnsConfig(), "mlflow")
    assert table.frame["_spent"].sum() == 9.0 + 3.0 + 9.0
    assert table.finished["accuracy"].tolist() == [0.5, 0.5]
    assert set(table.frame["_setting"]) == {"digits net"}
    assert table.warnings == ()


def both_ways(uri: str, experiment: str = "mine") -> list[pd.DataFrame]:
    """The rows by SQL, and those through MLflow."""
    return [
        table_of(*found).sort_values("run_id", ignore_index=True)
        for found in (read_database(uri, experiment, READ_KEYS), read_server(uri, experiment))
    ]


def test_the_database_says_what_mlflow_says(uri: str) -> None:
    pd.testing.assert_frame_equal(*both_ways(uri), check_like=True, check_dtype=False)


def test_postgresql_says_what_mlflow_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uri = os.environ.get("GREENSWEEP_TEST_POSTGRESQL")
    if uri is None:
        pytest.skip("GREENSWEEP_TEST_POSTGRESQL names no empty database")
    monkeypatch.undo()  # MLflow makes the tables, as the copied ones are SQLite's
    experiment = f"mine {time.time():.0f}"
    fill(uri, experiment, tmp_path)
    by_sql, by_api = both_ways(uri, experiment)
    assert len(by_sql) == 3
    pd.testing.assert_frame_equal(by_sql, by_api, check_like=True, check_dtype=False)
    with pytest.raises(AnalysisError, match="no experiment is called 'our'"):
        read_mlflow(uri, "our")


def test_a_layer_type_that_a_network_lacks_counts_0(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    store = MlflowStore(uri, "mine", str(tmp_path / "artifacts"))
    counts = ({"conv": 1.0, "relu": 2.0}, {"conv": 3.0}, {})
    for number, each in enumerate(counts):
        tracker = MlflowTracker(store)
        tracker.start(f"run {number}", {}, {})
        metrics = {f"layers/{kind}": count for kind, count in each.items()}
        metrics |= {"energy/training_joules": 1.0 + number, "validation/accuracy": 0.5}
        tracker.finish("FINISHED", metrics, {}, [])
    for frame in both_ways(uri):
        frame = frame.sort_values("energy_joules")
        np.testing.assert_array_equal(frame["layers/conv"], [1.0, 3.0, np.nan])
        np.testing.assert_array_equal(frame["layers/relu"], [2.0, 0.0, np.nan])


def test_the_repeats_of_a_run_that_no_search_drew_are_no_rows(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    store = MlflowStore(uri, "mine", str(tmp_path / "artifacts"))
    for figure in ("energy/training_joules", "energy/spent_joules"):
        run = MlflowTracker(store)
        run.start("net", {}, {"hardware.cpu": "one", "hardware.cores": ""})
        for number in range(2):
            repeat = run.child()
            repeat.start(f"net, repeat {number}", {}, {})
            repeat.finish("FINISHED", {"validation/accuracy": 0.4}, {}, [])
        run.finish("FINISHED", {"validation/accuracy": 0.45, figure: 5.0}, {}, [])
    for frame in both_ways(uri):
        assert frame["accuracy"].tolist() == [0.45, 0.45]
        assert frame["search"].isna().all()
        assert frame["machine"].tolist() == ["one", "one"]


def test_runs_of_earlier_versions_are_read_by_their_name_of_the_training_energy(
    tmp_path: Path,
) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    store = MlflowStore(uri, "mine", str(tmp_path / "artifacts"))
    old, new = "energy/total_joules", "energy/training_joules"
    for names, value in (([old], 5.0), ([new], 7.0), ([old, new], 9.0)):
        run = MlflowTracker(store)
        run.start("run", {}, {})
        repeat = run.child()
        repeat.start("repeat 0", {}, {})
        repeat.finish("FINISHED", dict.fromkeys(names, value), {}, [])
        figures = dict.fromkeys(names, value) | {f"{names[-1]}_std": value / 10}
        run.finish("FINISHED", {"validation/accuracy": 0.5, **figures}, {"status": "finished"}, [])
    for frame in both_ways(uri):
        frame = frame.sort_values("energy_joules")
        assert frame["energy_joules"].tolist() == [5.0, 7.0, 9.0], "repeats of either are no rows"
        assert frame["energy/training_joules"].tolist() == [5.0, 7.0, 9.0]
        assert frame["energy/training_joules_std"].tolist() == [0.5, 0.7, 0.9]
        assert not [name for name in frame if "total_joules" in name]


def test_a_run_that_begins_while_others_are_read_is_left_out() -> None:
    rows = [("late", "a", "1"), ("two", "b", "2"), ("one", "a", "3")]
    assert columns_of(rows, ["one", "two"]) == {"a": ["3", None], "b": [None, "2"]}


def test_reading_changes_nothing(uri: str) -> None:
    path = Path(uri.removeprefix("sqlite:///"))
    before = path.read_bytes()
    path.chmod(0o444)
    read_mlflow(uri, "mine")
    assert path.read_bytes() == before
    assert {each.name for each in path.parent.glob("mlflow.db-*")} == set(), "no journal is begun"


def test_an_experiment_that_is_not_there_lists_those_that_are(uri: str) -> None:
    with pytest.raises(AnalysisError, match=r"mlflow_experiment: no experiment is called 'our'"):
        read_mlflow(uri, "our")


def test_a_store_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(AnalysisError, match=r"no MLflow store at .*mlflow\.db: train something"):
        read_mlflow(f"sqlite:///{tmp_path}/mlflow.db", "mine")
    assert not list(tmp_path.iterdir())
    (tmp_path / "broken.db").write_bytes(b"no database" * 100)
    with pytest.raises(AnalysisError, match="cannot be read") as told:
        read_mlflow(f"sqlite:///{tmp_path}/broken.db", "mine")
    assert "\n" not in str(told.value)


def test_figures_that_are_not_finite_come_back_as_they_were_logged(tmp_path: Path) -> None:
    """MLflow's database keeps NaN as 0 and infinity as the largest number."""
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    client = MlflowClient(uri)
    experiment = client.create_experiment("mine", str(tmp_path / "artifacts"))
    values = (float("-inf"), 3.0, float("inf"), float("nan"))
    for value in values:
        run_id = client.create_run(experiment).info.run_id
        client.log_metric(run_id, "energy/training_joules", value)
        client.log_param(run_id, "run_id", "the user's own")
        client.log_param(run_id, "size", value)
        client.set_terminated(run_id)
    for frame in both_ways(uri):
        np.testing.assert_array_equal(frame["energy_joules"].sort_values(), values)
        assert not frame["run_id"].eq("the user's own").any()


@pytest.mark.parametrize(("name", "other"), [("rmse", "loss"), ("loss", "accuracy")])
def test_runs_bring_the_metric_that_they_were_selected_by(
    tmp_path: Path, name: str, other: str
) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    store = MlflowStore(uri, "mine", str(tmp_path / "artifacts"))
    figures = {
        "validation/loss": 25.0, f"validation/{name}": 5.0, f"test/{name}": 6.0,
        f"validation/{name}_std": 0.1,
        "validation/recall_per_class/cat": 0.5, "energy/training_joules": 9.0,
    }  # fmt: skip
    for on_test in ({}, {"selected_on_test": "true"}):
        tracker = MlflowTracker(store, None)
        tracker.start("run", {}, {})
        selected = {"objective.metric": name, "objective.direction": "minimize"}
        tracker.finish("FINISHED", figures, {"status": "finished", **selected, **on_test}, [])
    for raw in both_ways(uri):
        table = standard_table(raw, ColumnsConfig(), "mlflow")
        assert (table.metric.name, table.metric.direction) == (name, "minimize")
        assert sorted(table.finished[name]) == [5.0, 6.0]
        assert table.frame.loc[table.frame["_selected_on_test"], name].tolist() == [6.0]
        assert not {other, f"{name}_std", "accuracy"} & {*table.frame.columns}


def test_an_experiment_that_was_deleted_is_none(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    client = MlflowClient(uri)
    client.delete_experiment(client.create_experiment("mine", str(tmp_path / "artifacts")))
    for read in (partial(read_database, keys=READ_KEYS), read_server):
        with pytest.raises(AnalysisError, match="no experiment is called 'mine'"):
            read(uri, "mine")


@pytest.mark.parametrize("folder", ["a#b", "a b", "a%3Fc", "a%41"])
def test_a_store_is_where_mlflow_takes_it_from(tmp_path: Path, folder: str) -> None:
    uri = f"sqlite:///{tmp_path}/{folder}/mlflow.db"
    (tmp_path / unquote(folder)).mkdir()
    MlflowClient(uri).create_experiment("mine", str(tmp_path))
    with pytest.raises(AnalysisError, match="called 'yours'"):
        read_mlflow(uri, "yours")


def test_what_sweeps_spent_beside_their_runs_is_read_both_ways(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    store = MlflowStore(uri, "mine", str(tmp_path / "artifacts"))
    tracker = MlflowTracker(store, SweepRun(tmp_path, "sweep TPE 1", "tpe"))
    tracker.start("trial 0", {}, {})
    tracker.finish("FINISHED", {"validation/accuracy": 0.5}, {"status": "finished"}, [])
    figures = {"sweep/trials": 1.0, "search/search_joules": 4.0, "sweep/energy_test_joules": 2.0}
    store.log_now(str(known_parent(tmp_path)), {**figures, "best/energy_joules": 3.0})
    sweeps = read_sweeps(uri, "mine")
    assert sweeps.to_dict("records") == [figures]
    by_api = sweeps_of(*read_server(uri, "mine", ONLY_SWEEPS))
    assert by_api.to_dict("records") == [figures]


# --- runs of others, and tables -----------------------------------------------------------------

NAMED = ("columns.energy=energy_kwh", "columns.accuracy=val_acc")


@pytest.mark.parametrize("kind", ["store", "table"])
def test_runs_that_others_logged_are_analysed(
    cli: Callable[..., Finished], uri: str, tables: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    source = {
        "store": ("source=mlflow", f"mlflow_uri={uri}", "mlflow_experiment=theirs"),
        "table": (f"source={tables / 'theirs.csv'}", "columns=mlflow_table"),
    }
    finished = cli("analyse.py", *source[kind], *NAMED)
    assert finished.status == 0, finished.errors
    assert "Take " in finished.output and "for 10.8 kJ" in finished.output
    assert "4 runs, 10 Wh, of 4 rows of " in finished.output, "the failed one counts in energy"
    stated = cli("greensweep/__main__.py", "statement", *source[kind], *NAMED)
    assert stated.status == 0, stated.errors
    assert "The run of the final model (run2: net on mine) used 10.8 kJ (3 Wh)" in stated.output
    assert "4 runs (1 failed, 3 finished), used 36 kJ (10 Wh), 3.33 times the" in stated.output
    unnamed = cli("greensweep/__main__.py", "statement", *source[kind])
    assert unnamed.status == 1
    assert "energy_kwh" in unnamed.errors
    assert "energy_comparable" not in unnamed.errors, "no flag of ours, which they lack"


@pytest.mark.parametrize("experiment", ["mine", "theirs"])
def test_a_table_says_what_the_store_says(uri: str, tables: Path, experiment: str) -> None:
    by_store = read_mlflow(uri, experiment).drop(columns="started")
    by_table = read_mlflow_table(tables / f"{experiment}.csv").frame.drop(columns="started")
    pd.testing.assert_frame_equal(by_store, by_table, check_like=True, check_dtype=False)


def test_runs_that_name_no_data_set_are_of_one_setting(uri: str, tables: Path) -> None:
    table = pd.read_csv(tables / "theirs.csv").drop(columns=["params.dataset", "params.model"])
    table.to_csv(tables / "plain.csv", index=False)
    columns = MlflowTableColumnsConfig(energy="energy_kwh", accuracy="val_acc")
    runs = read_runs(AnalyseConfig(source=str(tables / "plain.csv"), columns=columns))
    assert set(runs.frame["_setting"]) == {"all"}


def test_a_metric_with_a_params_name_is_told_apart(uri: str) -> None:
    frame = read_mlflow(uri, "theirs")
    assert frame["epochs"].tolist() == [5] * 4
    assert frame["metrics.epochs"].tolist() == [4.0] * 4


def test_what_the_ui_downloads_is_read(tmp_path: Path) -> None:
    (tmp_path / "runs.csv").write_text(
        "Start Time,Duration,Run ID,Name,Source Type,Source Name,User,Status,lr,val_acc,energy_kwh,"
        "team\n2026-05-04 08:00:00,5.0s,a,run0,LOCAL,train.py,me,FINISHED,0.1,0.5,0.001,x\n"
        "2026-05-04 09:00:00,5.0s,b,run1,LOCAL,train.py,me,FAILED,0.2,,0.002,y\n"
    )
    frame = read_mlflow_table(tmp_path / "runs.csv").frame
    assert frame["status"].tolist() == ["finished", "failed"]
    assert frame["lr"].tolist() == [0.1, 0.2]
    assert frame["energy_kwh"].tolist() == [0.001, 0.002]
    assert frame["run_name"].tolist() == ["run0", "run1"]


def test_columns_that_are_not_named_are_asked_for(tables: Path) -> None:
    columns = MlflowTableColumnsConfig()
    with pytest.raises(AnalysisError, match=r"columns\.energy: no .* mean .*energy_kwh\?") as told:
        read_runs(AnalyseConfig(source=str(tables / "theirs.csv"), columns=columns))
    assert "energy_spent_joules" not in str(told.value), "a column without a figure is no help"


def test_another_table_is_refused(tmp_path: Path) -> None:
    (tmp_path / "runs.csv").write_text("accuracy,energy_joules\n0.5,1.5\n")
    with pytest.raises(AnalysisError, match="has no columns run_id and status, so that it is no"):
        read_mlflow_table(tmp_path / "runs.csv")


def test_a_store_is_joined_with_another_table(uri: str, tmp_path: Path) -> None:
    (tmp_path / "accuracies.csv").write_text(
        "name,accuracy\n" + "".join(f"run{number},0.{number + 5}\n" for number in range(3))
    )
    columns, path = ColumnsConfig(energy="energy_kwh"), str(tmp_path / "accuracies.csv")
    source = AnalyseConfig(source="mlflow", mlflow_uri=uri, mlflow_experiment="theirs")
    runs = read_runs(replace(source, columns=columns, join=path, on={"run_name": "name"}))
    assert runs.finished["accuracy"].tolist() == [0.5, 0.6, 0.7]
    assert runs.frame["_spent"].sum() == pytest.approx(36000.0)
