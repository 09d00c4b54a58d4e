"""Which epoch and which trial are chosen, and by the accuracy on which split."""

import csv
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch
from conftest import Finished
from mlflow import MlflowClient

from greensweep.analysis import read_mlflow
from greensweep.config.schema import TrainConfig
from greensweep.config.store import save_run_config
from greensweep.energy import UnmeteredMeter
from greensweep.record.reporting import Progress
from greensweep.record.result import RunResult, read_result
from greensweep.runs import kept_model
from greensweep.runs.once import run_once
from greensweep.runs.repeats import run_repeats
from greensweep.study.dead_trials import record_dead_trials
from greensweep.study.planned import objective_values
from greensweep.tracking.tracker import MemoryTracker

Cli = Callable[..., Finished]
Compose = Callable[..., TrainConfig]
Results = Callable[..., list[dict[str, Any]]]

# A rate at which the accuracy falls again before the end.
ROUGH = (
    "training.epochs=6", "optimizer.learning_rate=0.03", "dataset.train_limit=300",
    "tracking=local", "energy=unmetered", "inference.seconds=0",
)  # fmt: skip
SWEEP = ("-m", "hydra.sweep.dir=sweep", "warmup=0", "inference.seconds=0", "training.epochs=2")


def run(config: TrainConfig, folder: Path, **options: Any) -> RunResult:
    given: dict[str, Any] = {"meter": UnmeteredMeter(), "tracker": MemoryTracker(), "test": False}
    return run_once(config, folder, **{**given, **options})


def along(result: RunResult, name: str) -> list[float]:
    """One figure of each epoch."""
    values = [point.to_json()[name] for point in result.history]
    return [value for value in values if value is not None]


def accuracy_of_kept(result: RunResult) -> float:
    """Test accuracy of the weights that a run kept, as `src/evaluate.py` tells it."""
    assert result.checkpoint is not None
    return kept_model.evaluate_checkpoint(Path(result.checkpoint), UnmeteredMeter()).test.accuracy


# --- which epoch --------------------------------------------------------------------------------


def test_the_best_epoch_is_kept_by_default_and_the_last_on_demand(
    config: Compose, tmp_path: Path
) -> None:
    best = run(config(*ROUGH), tmp_path / "best", test=True)
    last = run(config(*ROUGH, "training.keep=last"), tmp_path / "last", test=True)
    reached = along(best, "validation_accuracy")
    assert along(last, "validation_accuracy") == reached
    assert max(reached) > reached[-1], "the last epoch must not be the best, or this shows nothing"
    assert best.validation_accuracy == max(reached)
    assert best.best_epoch == 1 + reached.index(max(reached))
    assert (last.validation_accuracy, last.best_epoch) == (reached[-1], 6)
    assert accuracy_of_kept(best) == best.test_accuracy
    assert accuracy_of_kept(last) == last.test_accuracy != best.test_accuracy


def test_patience_counts_from_the_best_epoch_whichever_is_kept(
    config: Compose, tmp_path: Path
) -> None:
    patient = (*ROUGH, "training.epochs=40", "training.patience=2")
    best = run(config(*patient), tmp_path / "best")
    last = run(config(*patient, "training.keep=last"), tmp_path / "last")
    assert best.best_epoch is not None
    assert best.epochs == last.epochs == last.best_epoch == best.best_epoch + 2 < 40


# --- on which split -----------------------------------------------------------------------------


def test_selected_on_test_each_epoch_and_report_is_of_the_test_split(
    config: Compose, tmp_path: Path
) -> None:
    reports: list[Progress] = []
    tracker = MemoryTracker()
    asked = config(*ROUGH, "select_on=test")
    result = run(asked, tmp_path, tracker=tracker, report=reports.append)
    reached = along(result, "test_accuracy")
    assert result.history[0].split == "test"
    assert [progress.accuracy for progress in reports if progress.epoch] == reached
    assert [metrics["test/accuracy"] for _, metrics in tracker.history] == reached
    assert result.selected_on_test
    assert result.test_accuracy == max(reached) == objective_values(asked.objective, result)
    assert tracker.tags["selected_on_test"] == "true"
    assert accuracy_of_kept(result) == result.test_accuracy


def test_the_validation_accuracy_of_a_run_selected_on_test_is_of_the_validation_split(
    config: Compose, tmp_path: Path
) -> None:
    """The weights of one epoch are the same however they are selected."""
    one = (*ROUGH, "training.epochs=1")
    usual = run(config(*one), tmp_path / "usual", test=True)
    on_test = run(config(*one, "select_on=test"), tmp_path / "on_test")
    assert usual.validation_accuracy != usual.test_accuracy
    assert on_test.validation_accuracy == usual.validation_accuracy
    assert on_test.test_accuracy == usual.test_accuracy
    assert (usual.selected_on_test, on_test.selected_on_test) == (False, True)
    assert objective_values(config().objective, usual) == usual.validation_accuracy


def test_a_search_sees_no_test_accuracy_unless_it_is_told_to(
    config: Compose, tmp_path: Path
) -> None:
    result = run(config(*ROUGH, "training.epochs=1"), tmp_path)
    assert (result.test_accuracy, result.selected_on_test) == (None, False)
    assert {point.split for point in result.history} == {"validation"}
    assert "test" not in result.energy_phases


def test_repeats_are_told_by_the_mean_of_what_selects_them(config: Compose, tmp_path: Path) -> None:
    asked = config(*ROUGH, "training.epochs=2", "repeats=2", "select_on=test")
    result = run_repeats(
        asked, tmp_path, meter=UnmeteredMeter(), tracker=MemoryTracker(), test=False
    )
    runs = [read_result(tmp_path / "repeats" / str(number)) for number in range(2)]
    accuracies = [each.test_accuracy or 0.0 for each in runs]
    assert result.selected_on_test
    assert result.test_accuracy == pytest.approx(sum(accuracies) / 2) == result.accuracy
    assert result.checkpoint == runs[accuracies.index(max(accuracies))].checkpoint


def test_without_evaluation_mode_a_kept_model_is_tested_as_it_was_in_its_run(
    config: Compose, tmp_path: Path
) -> None:
    asked = config(*ROUGH, "training.evaluation_mode=false", "training.evaluation_batch_size=50")
    result = run(asked, tmp_path / "batch", test=True)
    usual = run(config(*ROUGH), tmp_path / "running", test=True)
    assert along(result, "validation_loss") != along(usual, "validation_loss")
    assert along(result, "train_loss") == along(usual, "train_loss"), "evaluating changed training"
    assert accuracy_of_kept(result) == result.test_accuracy
    assert result.checkpoint is not None
    weights = torch.load(result.checkpoint, weights_only=True)
    steps = [value for name, value in weights.items() if name.endswith("num_batches_tracked")]
    batches = -(-300 // 64) * (result.best_epoch or 0)
    assert {int(each) for each in steps} == {batches}, "evaluating changed running statistics"


# --- a sweep ------------------------------------------------------------------------------------


def test_a_faithful_sweep_goes_by_test_accuracy_and_says_so_everywhere(
    cli: Cli, results: Results, tmp_path: Path
) -> None:
    ended = cli(
        "train.py", *SWEEP, "hydra/sweeper=optuna", "hydra/sweeper/sampler=random",
        "hydra.sweeper.n_trials=4", "variant=faithful", "dataset.train_limit=300",
        "space={optimizer.learning_rate:{low:1e-4,high:3e-2,log:true,levels:3}}",
        "report.auto=true",
    )  # fmt: skip
    assert ended.status == 0, ended.errors
    trials = results("sweep")
    accuracies = [trial["test_accuracy"] for trial in trials]
    assert all(trial["selected_on_test"] for trial in trials)
    assert [trial["history"][-1]["test_accuracy"] for trial in trials] == accuracies
    assert None not in [trial["validation_accuracy"] for trial in trials]
    study = optuna.load_study(
        study_name="greensweep", storage=f"sqlite:///{tmp_path}/sweep/optuna.db"
    )
    assert [trial.value for trial in study.trials] == accuracies

    summary = json.loads((tmp_path / "sweep" / "study.json").read_text())
    best = max(trials, key=lambda trial: (trial["test_accuracy"], -trial["energy_joules"]))
    assert summary["best_trial"] == best["trial"]
    assert summary["best_test_accuracy"] == best["test_accuracy"]
    assert summary["best_validation_accuracy"] == best["validation_accuracy"]
    assert summary["trials_selected_on_test"] == 4
    assert "  test accuracy  " in ended.output
    assert "Accuracies were selected on the test split (select_on=test), so" in ended.output
    with (tmp_path / "sweep" / "trials.csv").open() as file:
        assert {line["selected_on_test"] for line in csv.DictReader(file)} == {"True"}
    front = {trial["trial"] for trial in trials if trial["checkpoint"] is not None}
    assert front == set(summary["pareto_trials"])

    page = (tmp_path / "sweep" / "report" / "index.html").read_text()
    assert "the runs were selected by their accuracy on the test split, so the best of" in page
    assert "test accuracy" in page
    assert "validation accuracy" not in page
    with (tmp_path / "sweep" / "report" / "tables" / "runs.csv").open() as file:
        told = {int(line["trial"]): float(line["accuracy"]) for line in csv.DictReader(file)}
    assert [told[number] for number in range(4)] == accuracies

    uri = f"sqlite:///{tmp_path}/mlruns/mlflow.db"
    frame = read_mlflow(uri, "greensweep").sort_values("trial")
    assert frame["accuracy"].tolist() == accuracies
    assert set(frame["variant"]) == {"faithful"}
    client = MlflowClient(uri)
    parent = client.get_run(summary["mlflow_run_id"])
    assert parent.data.tags["selected_on_test"] == "true"
    kept = client.list_artifacts(best["mlflow_run_id"], "checkpoint")
    assert {each.path for each in kept} == {"checkpoint/model.pt", "checkpoint/config.yaml"}


def test_a_trial_whose_process_died_keeps_its_accuracy_under_its_own_name(
    config: Compose, tmp_path: Path
) -> None:
    asked = config("select_on=test", "tracking=local")
    outcome = {"status": "died", "error": "its process died", "accuracy": 0.25, "epochs": 1}
    for number in range(2):
        folder = tmp_path / str(number)
        folder.mkdir()
        kept = {"number": number, "values": None, "outcome": outcome, "constraints": {}}
        (folder / "trial.json").write_text(json.dumps(kept))
    save_run_config(asdict(asked), tmp_path / "0" / "config.yaml")
    record_dead_trials(tmp_path, config("tracking=local"), None)
    died, other = (read_result(tmp_path / str(number)) for number in range(2))
    assert (died.test_accuracy, died.validation_accuracy) == (0.25, None)
    assert (other.test_accuracy, other.validation_accuracy) == (None, 0.25)
    assert (died.selected_on_test, other.selected_on_test) == (True, False)
