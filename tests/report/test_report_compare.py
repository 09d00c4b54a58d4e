"""`report compare=A,B`: sweeps side by side, pooled only where they may be."""

from collections.abc import Callable
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from conftest import Finished
from mlflow import MlflowClient

from greensweep.config.store import save_run_config
from greensweep.files import write_json
from greensweep.record.result import RunResult, write_result
from greensweep.search.folders import OWNER_FILE

Cli = Callable[..., Finished]
MACHINE = {"hardware.cpu": "a CPU"}
RUN = RunResult(
    "finished", None, "mlp", "digits", 0, energy_quality="measured", provenance=MACHINE,
)  # fmt: skip


def sweep(folder: Path, joules: float, result: RunResult = RUN, metric: str = "accuracy") -> None:
    for trial, value in enumerate((0.6, 0.8)):
        figures = {"energy_joules": joules + trial, "energy_spent_joules": joules + trial}
        own: dict[str, Any] = {"objective_metric": metric}
        if metric == "accuracy":
            own["validation_accuracy"] = value
        else:
            own["metrics"] = {"validation": {metric: value}}
        place = folder / str(trial)
        place.mkdir(parents=True)
        overrides = (f"rate={value}",)
        write_result(replace(result, **figures, **own, overrides=overrides, trial=trial), place)
        save_run_config({"rate": value}, place / "config.yaml")
    write_json(folder / OWNER_FILE, {"study_name": folder.name, "folder": folder.name})


def page(folder: Path) -> str:
    return unescape((folder / "outputs" / "report" / "index.html").read_text())


def test_two_folders_stand_side_by_side_and_are_pooled(cli: Cli, tmp_path: Path) -> None:
    sweep(tmp_path / "multirun" / "one", 30.0)
    sweep(tmp_path / "multirun" / "other", 10.0)
    finished = cli("report.py", "compare=multirun/one,multirun/other")
    assert finished.status == 0, finished.errors
    text = page(tmp_path)
    assert "<h1>one and other side by side</h1>" in text
    assert "Of all their runs: Take other's trial 1 (rate 0.8): the most accurate" in text
    assert text.count('<p class="answer">Take trial 1 (rate 0.8)') == 2
    assert text.count('id="figure-fronts"') == 1 and "one: take trial 1" in text
    assert "one 61 J and other 21 J in all." in text
    assert '<a href="../../multirun/other/1/config.yaml">config</a>' in text
    runs = pd.read_csv(tmp_path / "outputs" / "report" / "tables" / "runs.csv")
    assert runs["sweep"].tolist() == ["one"] * 2 + ["other"] * 2


@pytest.mark.parametrize(
    ("result", "metric", "why"),
    [
        (replace(RUN, dataset="mnist"), "accuracy", "in data set (digits against mnist)"),
        (
            replace(RUN, provenance={"hardware.cpu": "another"}), "accuracy",
            "in machine (a CPU against another)",
        ),
        (replace(RUN, provenance={}), "accuracy", "in machine (a CPU against unknown)"),
        (
            replace(RUN, energy_quality="estimated"), "accuracy",
            "in quality of the joules (measured against estimated)",
        ),
        (RUN, "macro_f1", "in metric (accuracy against macro F1)"),
        (None, "accuracy", "within themselves in quality of the joules (estimated, measured)"),
    ],
)  # fmt: skip
def test_what_differs_is_not_pooled(
    cli: Cli, tmp_path: Path, result: RunResult | None, metric: str, why: str
) -> None:
    sweep(tmp_path / "one", 30.0)
    sweep(tmp_path / "other", 10.0, result or RUN, metric)
    for own in ("one", "other") if result is None else ():
        mixed = replace(RUN, energy_joules=1.0, validation_accuracy=0.5, trial=0)
        write_result(replace(mixed, energy_quality="estimated"), tmp_path / own / "0")
    finished = cli("report.py", "compare=one,other")
    assert finished.status == 0, finished.errors
    assert f"They are not pooled: they differ {why}." in page(tmp_path)
    assert "Of all their runs" not in page(tmp_path)


def test_two_sweeps_of_mlflow_stand_side_by_side(cli: Cli, tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    client = MlflowClient(uri)
    experiment = client.create_experiment("greensweep", str(tmp_path / "artifacts"))
    for name, joules in (("first", 30.0), ("second", 10.0)):
        parent = client.create_run(experiment, run_name=name, tags={"strategy": "tpe"})
        for trial, accuracy in enumerate((0.6, 0.8)):
            tags = {
                "mlflow.parentRunId": parent.info.run_id, "energy.quality": "measured",
                "dataset": "digits", "model": "mlp", **MACHINE,
            }  # fmt: skip
            run = client.create_run(experiment, run_name=f"trial {trial}", tags=tags).info.run_id
            client.log_metric(run, "validation/accuracy", accuracy)
            client.log_metric(run, "energy/training_joules", joules)
            client.log_metric(run, "energy/spent_joules", joules)
            client.set_terminated(run)
        client.log_metric(parent.info.run_id, "sweep/trials", 2)
        client.set_terminated(parent.info.run_id)
    finished = cli("report.py", f"compare=first,{parent.info.run_id[:12]}", f"mlflow_uri={uri}")
    assert finished.status == 0, finished.errors
    text = page(tmp_path)
    assert "Of all their runs: Take " in text and "trial 1: the most accurate" in text
    assert "first 60 J and " in text
    refused = cli("report.py", "compare=first,fird", f"mlflow_uri={uri}")
    assert refused.status == 1
    assert "compare: no folder or sweep is called 'fird'" in refused.errors
    assert "first" in refused.errors


@pytest.mark.parametrize("compare", ["one", "[one]", "one,one", "{one: 1}"])
def test_one_sweep_is_not_compared(cli: Cli, compare: str) -> None:
    refused = cli("report.py", f"compare={compare}")
    assert refused.status == 1
    assert "compare must be two sweeps or more, none of them twice" in refused.errors
