"""Sweeps for another metric than accuracy: all that is said of them goes by it."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from conftest import Finished
from sklearn.datasets import load_diabetes, load_wine

Cli = Callable[..., Finished]
Results = Callable[..., list[dict[str, Any]]]

SWEEPERS = ["greensweep", "optuna"]
# A second trial that learns nothing, which the first one's figures give up.
PRUNING = (
    "hydra.sweeper.pruner=median", "hydra.sweeper.pruning.min_finished=1",
    "hydra.sweeper.enqueue=[{optimizer.learning_rate: 0.02},{optimizer.learning_rate: 1e-7}]",
)  # fmt: skip
# What is learnt, what it is searched for, what that is called, and which is better.
MACRO_F1 = (load_wine, ("objective.metric=macro_f1",), "macro_f1", "macro F1", max)
RMSE = (load_diabetes, ("task=regression",), "rmse", "RMSE", min)


TASKS = pytest.mark.parametrize("task", [MACRO_F1, RMSE], ids=["macro_f1", "rmse"])


@pytest.fixture
def sweep(cli: Cli, tmp_path: Path) -> Callable[..., Finished]:
    """Sweep over a table, in the folder `sweep`."""

    def run(task: Any, sweeper: str, *further: str) -> Finished:
        load, asked, *_ = task
        load(as_frame=True).frame.to_csv("data.csv", index=False)
        ended = cli(
            "train.py", "-m", f"hydra/sweeper={sweeper}", *asked,
            "dataset=table", "dataset.path=data.csv", "dataset.target_column=target",
            "model=mlp", "hydra.sweep.dir=sweep", "warmup=0",
            "inference.seconds=0", "training.epochs=3", "training.batch_size=32",
            "optimizer.learning_rate=tag(log,interval(1e-7,1e-1))", *further,
        )  # fmt: skip
        assert ended.status == 0, ended.errors
        return ended

    return run


@TASKS
@pytest.mark.parametrize("sweeper", SWEEPERS)
def test_trials_are_drawn_pruned_chosen_and_tested_by_the_metric(
    sweeper: str, task: Any, sweep: Callable[..., Finished], results: Results, tmp_path: Path
) -> None:
    *_, name, label, better = task
    further = PRUNING if sweeper == "greensweep" else ()
    unmetered = ("energy=unmetered", "tracking=local")
    ended = sweep(task, sweeper, "hydra.sweeper.n_trials=3", *unmetered, *further)

    trials = results("sweep")
    done = [trial for trial in trials if trial["status"] == "finished"]
    values = {trial["trial"]: trial["metrics"]["validation"][name] for trial in done}
    storage = f"sqlite:///{tmp_path}/sweep/optuna.db"
    (kept,) = optuna.get_all_study_names(storage)
    study = optuna.load_study(study_name=kept, storage=storage)
    assert {each.number: each.value for each in study.trials if each.number in values} == values
    assert study.best_value == better(values.values())
    if sweeper == "greensweep":
        assert [trial["status"] for trial in trials[:2]] == ["finished", "pruned"]
        assert kept == f"table-mlp-{name}"

    summary = json.loads(Path("sweep/study.json").read_text())
    best = trials[summary["best_trial"]]
    assert summary[f"best_validation_{name}"] == values[best["trial"]] == study.best_value
    assert summary[f"best_test_{name}"] == best["metrics"]["test"][name], "the winners are tested"
    assert summary["best_validation_accuracy"] == best["validation_accuracy"]
    with Path("sweep/trials.csv").open() as file:
        rows = {int(row["trial"]): row for row in csv.DictReader(file)}
    assert {number: float(rows[number][f"validation_{name}"]) for number in values} == values
    assert ("validation_accuracy" in rows[0]) == (name == "macro_f1")
    assert f"validation {label}" in ended.output
    assert summary["answer"] in ended.output and f"{label} " in summary["answer"]
    assert "accurate" not in ended.output


@pytest.mark.slow
@TASKS
@pytest.mark.parametrize("sweeper", SWEEPERS)
def test_a_sweep_is_analysed_and_reported_by_its_metric(
    sweeper: str, task: Any, sweep: Callable[..., Finished], cli: Cli
) -> None:
    label = task[3]
    ended = sweep(task, sweeper, "hydra.sweeper.n_trials=4", "objective=pareto", "report.auto=true")
    assert "accurate" not in ended.output
    for source in ("sweep/trials.csv", "mlflow"):
        asking = cli("analyse.py", f"source={source}", "analysis=tradeoff")
        assert asking.status == 0, asking.errors
        assert asking.output.startswith("Take trial ") and f"({label} " in asking.output
    reporting = cli("report.py", "output=report")
    assert reporting.status == 0, reporting.errors
    for page in (Path("report/index.html"), Path("sweep/report/index.html")):
        text = page.read_text()
        assert "accura" not in text.lower()
        assert f"{label[0].upper()}{label[1:]} and energy" in text
