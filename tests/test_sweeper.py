"""`hydra/sweeper=greensweep` as a user runs it: on the default task, and in another program."""

import json
import os
import runpy
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from conftest import PROJECT, Finished
from hydra.core.override_parser.overrides_parser import OverridesParser

from greensweep.search.records import OUTCOME, kept
from greensweep.sweeper.spec import trial_overrides

Cli = Callable[..., Finished]
Results = Callable[..., list[dict[str, Any]]]

QUICK = (
    "-m",
    "hydra/sweeper=greensweep",
    "energy=unmetered",
    "tracking=local",
    "warmup=0",
    "inference.seconds=0",
    "dataset.train_limit=300",
    "space={optimizer.learning_rate:{low:1e-3,high:1e-1,log:true,levels:3}}",
    "training.epochs=2",
    "hydra.sweeper.n_trials=3",
    "hydra.sweeper.pruner=none",
)
STUDY = "digits-simple_cnn-accuracy"


def study_in(folder: Path, name: str = STUDY) -> optuna.Study:
    path = folder / "multirun" / name / "optuna.db"
    return optuna.load_study(study_name=name, storage=f"sqlite:///{path}")


def bill_in(folder: Path, name: str = STUDY) -> dict[str, Any]:
    text = (folder / "multirun" / name / "study.json").read_text()
    bill: dict[str, Any] = json.loads(text)["search"]
    return bill


def test_the_same_command_again_goes_on_to_the_total(
    cli: Cli, tmp_path: Path, results: Results
) -> None:
    two = (*QUICK, "hydra.sweeper.n_trials=2")
    assert cli("train.py", *two).status == 0
    first = results("multirun")
    assert [run["trial"] for run in first] == [0, 1]
    assert cli("train.py", *two).status == 0
    assert results("multirun") == first, "a sweep that is done has nothing to do"

    assert cli("train.py", *QUICK, "hydra.sweeper.n_trials=3").status == 0
    assert [run["trial"] for run in results("multirun")] == [0, 1, 2]
    assert results("multirun")[:2] == first or all(
        {**after, "checkpoint": None} == {**before, "checkpoint": None}
        for after, before in zip(results("multirun"), first, strict=False)
    )
    trials = study_in(tmp_path).trials
    assert [trial.state.name for trial in trials] == ["COMPLETE"] * 3
    assert [trial.value for trial in trials] == [
        run["validation_accuracy"] for run in results("multirun")
    ]


@pytest.mark.slow
def test_another_search_under_the_same_name_is_refused(cli: Cli) -> None:
    assert cli("train.py", *QUICK, "hydra.sweeper.n_trials=1").status == 0
    refused = cli("train.py", *QUICK, "training.batch_size=32")
    assert refused.status == 1
    assert "training.batch_size=32 is new" in refused.errors
    assert "hydra.sweeper.extend=true" in refused.errors
    assert refused.errors.count("\n") == 1
    # Where runs are recorded is no part of what is searched.
    recorded = [each for each in QUICK if not each.startswith("tracking")]
    assert cli("train.py", *recorded, "hydra.sweeper.n_trials=1", "report.auto=true").status == 0
    extended = cli("train.py", *QUICK, "training.batch_size=32", "hydra.sweeper.extend=true")
    assert extended.status == 0
    fresh = cli("train.py", *QUICK, "training.batch_size=16", "hydra.sweeper.fresh=true")
    assert fresh.status == 0


def test_fresh_puts_the_earlier_study_aside(cli: Cli, tmp_path: Path) -> None:
    assert cli("train.py", *QUICK, "hydra.sweeper.n_trials=1").status == 0
    before = study_in(tmp_path).trials[0].value
    again = (*QUICK, "hydra.sweeper.n_trials=1", "hydra.sweeper.fresh=true", "seed=1")
    assert cli("train.py", *again).status == 0
    kept = [path for path in (tmp_path / "multirun").iterdir() if path.name != STUDY]
    assert len(kept) == 1
    assert json.loads((kept[0] / "0" / "result.json").read_text())["validation_accuracy"] == before


def test_the_present_configuration_is_trial_zero(cli: Cli, results: Results) -> None:
    finished = cli(
        "train.py",
        *QUICK,
        "hydra.sweeper.enqueue=present",
        "hydra.sweeper.n_trials=1",
    )
    assert finished.status == 0, finished.errors
    (run,) = results("multirun")
    # What `python src/train.py` trains with.
    assert "optimizer.learning_rate=0.001" in run["overrides"]
    assert "training.batch_size=64" in run["overrides"]


def test_the_default_begins_with_the_present_configuration_where_it_is_in_the_space(
    cli: Cli, tmp_path: Path, results: Results
) -> None:
    assert cli("train.py", *QUICK, "hydra.sweeper.n_trials=1").status == 0
    assert "optimizer.learning_rate=0.001" in results("multirun")[0]["overrides"]
    narrow = "space={optimizer.learning_rate:{low:1e-2,high:1e-1,log:true,levels:3}}"
    elsewhere = ("hydra.sweeper.n_trials=1", "hydra.sweeper.study_name=narrow")
    finished = cli("train.py", *QUICK, narrow, *elsewhere)
    assert finished.status == 0, finished.errors
    said = finished.output + finished.errors
    assert "present configuration is no point of the space (optimizer.learning_rate=0.001)" in said
    assert study_in(tmp_path, "narrow").trials[0].params["optimizer.learning_rate"] >= 1e-2


def test_points_are_tried_with_fewer_epochs_first(cli: Cli, results: Results) -> None:
    fidelities = "hydra.sweeper.fidelities=[{training.epochs:1}]"
    finished = cli("train.py", *QUICK, fidelities, "hydra.sweeper.n_trials=6")
    assert finished.status == 0, finished.errors
    # The present configuration and, after four tries, the best of them are trained whole.
    assert [run["epochs"] for run in results("multirun")] == [2, 1, 1, 1, 1, 2]


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("hydra.sweeper.fidelities=[{optimizer.learning_rate:0.1}]", "is searched itself"),
        ("hydra.sweeper.fidelities=[{}]", "one of them is empty"),
        ("hydra.sweeper.n_trials=0", "hydra.sweeper.n_trials must be at least 1"),
        ("hydra.sweeper.budget.joules=-1", "hydra.sweeper.budget.joules must be above 0"),
        ("hydra.sweeper.pruner=pareto", "hydra.sweeper.direction=[maximize,minimize]"),
        ("hydra.sweeper.budget.emissions_kg=1", "energy.country"),
        ("+hydra.sweeper.constraints.speed=3", "max_NAME or min_NAME"),
        ("hydra.sweeper.constraints={max_joule_per_run:3}", "did you mean joules_per_run"),
        ("hydra.sweeper.constraints=3", "must be bounds by name"),
        ("+hydra.sweeper.budget.jouls=5", "did you mean hydra.sweeper.budget.joules?"),
        ("hydra.sweeper.fidelities=[{training.epoch:1}]", "training.epoch=1"),
        ("hydra.sweeper.enqueue=[{optimizer.learning_rate:5}]", "outside of its space"),
        ("hydra.sweeper.storage=sqlite:////nowhere/optuna.db", "the study's storage"),
    ],
)
def test_a_wrong_option_is_one_sentence(cli: Cli, override: str, said: str) -> None:
    refused = cli("train.py", *QUICK, override)
    assert refused.status == 1
    assert said in refused.errors
    assert refused.errors.startswith("Error: ")
    assert refused.errors.count("\n") == 1
    assert "Traceback" not in refused.errors


def test_a_further_process_of_a_distributed_training_does_not_search(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCAL_RANK", "1")
    ended = cli("train.py", *QUICK)
    assert ended.status == 1
    assert "which would search a second time (LOCAL_RANK is set)" in ended.errors
    assert not [*tmp_path.glob("multirun/*/0")]


def test_a_failed_trial_counts_and_the_sweep_goes_on(
    cli: Cli, tmp_path: Path, results: Results
) -> None:
    finished = cli(
        "train.py",
        *QUICK,
        "optimizer=sgd",
        "space={optimizer.learning_rate:{low:1e20,high:1e30,log:true}}",
        "hydra.sweeper.n_trials=2",
    )
    assert finished.status == 1
    assert [run["status"] for run in results("multirun")] == ["failed"] * 2
    assert [trial.state.name for trial in study_in(tmp_path).trials] == ["FAIL"] * 2
    assert "no trial of 2 finished" in finished.errors


def test_pareto_sweep_is_billed_to_the_last_joule(cli: Cli, tmp_path: Path) -> None:
    metered = [each for each in QUICK if each != "energy=unmetered"]
    finished = cli(
        "train.py", *metered, "objective=pareto", "hydra.sweeper.n_trials=2", "tracking=mlflow"
    )
    assert finished.status == 0, finished.errors
    name = "digits-simple_cnn-pareto"
    bill = bill_in(tmp_path, name)
    lines = ("finished", "pruned", "stopped", "failed", "search")
    assert bill["spent_joules"] == pytest.approx(sum(bill[f"{each}_joules"] for each in lines))
    runs = [
        json.loads(path.read_text())
        for path in (tmp_path / "multirun" / name).glob("*/result.json")
    ]
    spent = sum(run["energy_spent_joules"] for run in runs)
    assert bill["finished_joules"] + bill["pruned_joules"] == pytest.approx(spent)
    assert "The bill: " in finished.output
    front = study_in(tmp_path, name).best_trials
    assert sorted(bill["best_trials"]) == [trial.number for trial in front]

    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{tmp_path / 'mlruns' / 'mlflow.db'}")
    found = client.search_runs(["1"])
    (parent,) = [run for run in found if "mlflow.parentRunId" not in run.data.tags]
    assert parent.data.metrics["search/spent_joules"] == pytest.approx(bill["spent_joules"])
    assert parent.data.tags["space"].endswith("levels:3}}"), "what the command line searches"
    starts = {run.info.run_name for run in found if "starting_point" in run.data.tags}
    assert starts == {"trial 0"}
    answer = json.loads((tmp_path / "multirun" / name / "study.json").read_text())["answer"]
    for source in (f"multirun/{name}", "mlflow"):
        assert answer in cli("analyse.py", f"source={source}").output


def test_a_preview_forecasts_and_starts_nothing(cli: Cli, tmp_path: Path) -> None:
    metered = [each for each in QUICK if each != "energy=unmetered"]
    finished = cli("train.py", *metered, "hydra.sweeper.preview=true", "training.epochs=6")
    assert finished.status == 0, finished.errors
    assert "Forecast for 3 trials" in finished.output
    (folder,) = (tmp_path / "multirun" / f"{STUDY}.preview").iterdir()
    runs = [json.loads(path.read_text()) for path in folder.glob("*/result.json")]
    assert [(run["status"], run["epochs"]) for run in runs] == [("stopped", 2)] * 4
    assert not (tmp_path / "multirun" / STUDY).exists()
    assert not (tmp_path / "mlruns").exists()


def test_a_program_of_ones_own_is_searched_metered_and_pruned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*overrides: str) -> None:
        monkeypatch.setattr(sys, "argv", ["own_loop.py", *sweep, *overrides])
        runpy.run_path(str(PROJECT / "examples" / "own_loop.py"), run_name="__main__")

    monkeypatch.chdir(tmp_path)
    # Energy is measured, so no seed makes certain which trials are pruned: of 10 some are.
    sweep = ("-m", "hydra/sweeper=greensweep", "hydra.sweeper.n_trials=10", "hydra.sweeper.seed=0")
    run("hydra.sweeper.pruning.min_finished=2", "epochs=6")
    study = study_in(tmp_path, "greensweep")
    done = [trial for trial in study.trials if trial.state.name == "COMPLETE"]
    pruned = [trial for trial in study.trials if trial.state.name == "PRUNED"]
    assert len(done) + len(pruned) == 10
    assert pruned and all(kept(trial, OUTCOME)["epochs"] < 6 for trial in pruned)
    for trial in done:
        macro_f1, joules = trial.values
        outcome = kept(trial, OUTCOME)
        assert outcome["metric_value"] == macro_f1
        assert 0 < joules <= outcome["spent_joules"]
        assert [point[0] for point in outcome["curve"]] == list(range(1, 7))
    assert "The bill: " in capsys.readouterr().out
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
    with pytest.raises(SystemExit) as ended:
        run("hydra.sweeper.study_name=other", "hydra.sweeper.storage=sqlite:////nowhere/optuna.db")
    assert ended.value.code == 1
    errors = capsys.readouterr().err
    assert errors.startswith("Error: the study's storage")
    assert "Traceback" not in errors


def test_constraints_are_set_as_documented(cli: Cli, tmp_path: Path) -> None:
    bounds = "hydra.sweeper.constraints={max_seconds: 600, min_accuracy: 1}"
    finished = cli("train.py", *QUICK, bounds, "hydra.sweeper.n_trials=1")
    assert finished.status == 0, finished.errors
    assert bill_in(tmp_path)["constraints"] == {"max_seconds": 600.0, "min_accuracy": 1.0}
    (trial,) = study_in(tmp_path).trials
    assert trial.constraints["max_seconds"] < 0 < trial.constraints["min_accuracy"]
    assert bill_in(tmp_path)["best_trials"] == []


def test_an_option_that_nothing_knows_is_refused_before_anything_is_trained(
    cli: Cli, results: Results
) -> None:
    for wrong in ("constraints={max_bogus: 1}", "fidelities=[{training.epoch: 1}]"):
        assert cli("train.py", *QUICK, f"hydra.sweeper.{wrong}").status == 1
        assert results("multirun") == []


@pytest.mark.parametrize(
    "value", ["c,d", "e=f", "a b", "it's", "true", "1", "", "null", "a\\'b", "{x}", "0.1", "plain"]
)
def test_a_choice_reaches_its_trial_as_it_was_given(value: str) -> None:
    (said,) = trial_overrides({"mode": value}, [])
    parsed = OverridesParser.create().parse_override(said)
    assert not parsed.is_sweep_override()
    assert parsed.value() == value
    assert isinstance(parsed.value(), str)


@pytest.mark.slow
def test_a_launcher_of_one_job_is_charged_once(cli: Cli, tmp_path: Path) -> None:
    """What runs in a launcher's jobs is no part of the search between them."""
    metered = [each for each in QUICK if each != "energy=unmetered"]
    began = time.monotonic()
    finished = cli(
        "train.py", *metered, "hydra/launcher=joblib", "hydra.launcher.n_jobs=1",
        "training.epochs=40",
    )  # fmt: skip
    assert finished.status == 0, finished.errors
    most_watts = 20.0 + 4.0 * (os.cpu_count() or 1)  # CodeCarbon's guess for memory and processor
    assert bill_in(tmp_path)["spent_joules"] < most_watts * (time.monotonic() - began)
    assert bill_in(tmp_path)["finished_joules"] > bill_in(tmp_path)["search_joules"]
