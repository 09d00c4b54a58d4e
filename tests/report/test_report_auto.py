"""`report.auto=true`: a sweep ends with its page, in its folder and in MLflow."""

import json
from collections.abc import Callable
from dataclasses import replace
from html import unescape
from pathlib import Path

import pandas as pd
import pytest
from conftest import Finished
from mlflow import MlflowClient

from greensweep.analysis import read_mlflow
from greensweep.analysis.statement_parts import BESIDE
from greensweep.config.schema_analysis import ColumnsConfig, SourceConfig
from greensweep.sources.sweeps import beside_runs

Cli = Callable[..., Finished]
SMALL = ("dataset.train_limit=120", "training.epochs=1,2,3", "warmup=0", "inference.seconds=0")


def test_a_sweep_ends_with_its_report(cli: Cli, tmp_path: Path) -> None:
    sweep = ("-m", "hydra.sweep.dir=sweep", "report.auto=true", *SMALL)
    finished = cli("train.py", *sweep, f"tracking.uri=sqlite:///{tmp_path}/mlflow.db")
    assert finished.status == 0, finished.errors
    assert "Report: sweep/report/index.html" in finished.output
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    (experiment,) = (each for each in client.search_experiments() if each.name == "greensweep")
    runs = client.search_runs([experiment.experiment_id])
    (parent,) = (run for run in runs if "mlflow.parentRunId" not in run.data.tags)
    assert {each.path for each in client.list_artifacts(parent.info.run_id, "report")} == {
        "report/index.html", "report/figures", "report/tables",
    }  # fmt: skip
    told = pd.read_csv(tmp_path / "sweep" / "report" / "tables" / "runs.csv")
    trials = pd.read_csv(tmp_path / "sweep" / "trials.csv")
    assert told["energy_joules"].tolist() == trials["energy_joules"].tolist()
    assert told["accuracy"].tolist() == trials["validation_accuracy"].tolist()
    assert (told["layers/linear"] > 0).all()
    assert (told["phases/training_joules"] > 0).all()
    by_component = told["energy/cpu_joules"] + told["energy/ram_joules"]
    assert by_component.tolist() == pytest.approx(told["energy_joules"].tolist())
    assert set(told["energy.quality.ram"]) == {"estimated"}
    from_mlflow = read_mlflow(f"sqlite:///{tmp_path}/mlflow.db", "greensweep")
    assert set(from_mlflow["energy.quality.ram"]) == {"estimated"}
    assert from_mlflow["machine"].unique().tolist() == told["machine"].unique().tolist()
    assert from_mlflow["layers/linear"].tolist() == told["layers/linear"].tolist()
    page = (tmp_path / "sweep" / "report" / "index.html").read_text()
    assert "validation accuracy" in page
    assert f"Machine of the runs: {told['machine'].iloc[0]} (3 runs)." in page
    assert f"torch {told['version.torch'].iloc[0]}" in page
    for run in trials["mlflow_run_id"]:
        assert (
            f"/#/experiments/{experiment.experiment_id}/runs/{run}?workflowType=machine_learning"
            in page
        )
    answer = json.loads((tmp_path / "sweep" / "study.json").read_text())["answer"]
    assert answer.startswith("Take trial ")
    assert answer in finished.output and answer in unescape(page)
    assert client.get_run(parent.info.run_id).data.tags["mlflow.note.content"].startswith(answer)
    config = SourceConfig(columns=ColumnsConfig(), mlflow_uri=f"sqlite:///{tmp_path}/mlflow.db")
    beside = [beside_runs(replace(config, source=each)) for each in (f"{tmp_path}/sweep", "mlflow")]
    sums = [each.reindex(columns=[*BESIDE]).sum().sum() for each in beside if each is not None]
    assert sums[0] == pytest.approx(sums[1]) and sums[0] > 0
    for source in ("sweep", "mlflow"):
        store = f"mlflow_uri=sqlite:///{tmp_path}/mlflow.db"
        assert answer in cli("analyse.py", f"source={source}", store).output


def test_an_infeasible_trial_is_on_no_front(cli: Cli, tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    bound = "hydra.sweeper.constraints={max_accuracy: 0.78}"  # the most accurate one breaks it
    fixed = ("optimizer.learning_rate=1e-3", "training.batch_size=32", "training.epochs=3,9,15")
    options = ("hydra/sweeper/sampler=grid", "hydra.sweeper.pruner=none", *fixed, bound)
    sweep = ("-m", "hydra/sweeper=greensweep", *options, "hydra.sweep.dir=sweep")
    quick = ("dataset.train_limit=300", "warmup=0", "inference.seconds=0", "report.auto=true")
    finished = cli("train.py", *sweep, *quick, f"tracking.uri={uri}")
    assert finished.status == 0, finished.errors
    trials = pd.read_csv(tmp_path / "sweep" / "trials.csv").set_index("training.epochs")
    assert trials["infeasible"].fillna("").to_dict() == {3: "", 9: "", 15: "max_accuracy"}
    assert trials["validation_accuracy"].idxmax() == 15
    front = pd.read_csv(tmp_path / "sweep" / "report" / "tables" / "front.csv")
    assert 0 < len(front) <= 2
    assert trials["mlflow_run_id"][15] not in set(front["run_id"])
    page = (tmp_path / "sweep" / "report" / "index.html").read_text()
    assert "1 of 3 runs counted in energy only, as infeasible" in page
    told = read_mlflow(uri, "greensweep").set_index("run_id")["infeasible"].fillna("")
    assert told[trials["mlflow_run_id"]].tolist() == trials["infeasible"].fillna("").tolist()


def test_a_report_that_cannot_be_made_costs_no_sweep(cli: Cli, tmp_path: Path) -> None:
    sweep = ("-m", "hydra.sweep.dir=sweep", "report.auto=true", *SMALL)
    finished = cli("train.py", *sweep, "energy=unmetered", "tracking=local")
    assert finished.status == 0, finished.errors
    assert "No report of this sweep: " in finished.output
    assert (tmp_path / "sweep" / "study.json").is_file()
