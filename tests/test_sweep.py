"""Sweeps: strategies, objectives, launchers, what they print, and what they leave."""

import csv
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from itertools import takewhile
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch
from conftest import Finished
from mlflow import MlflowClient
from omegaconf import OmegaConf

from greensweep.files import write_json
from greensweep.record.result import RunResult, write_result

Cli = Callable[..., Finished]
Results = Callable[..., list[dict[str, Any]]]

SWEEP = (
    "-m", "hydra/sweeper=optuna", "hydra.sweep.dir=sweep", "warmup=0", "inference.seconds=0",
)  # fmt: skip
QUICK = ("training.epochs=1", "tracking=local", "energy=unmetered")


def table_rows(output: str) -> list[list[str]]:
    """The cells of the printed table of trials; the second says what a trial is, if anything."""
    lines = output.splitlines()
    rule = next(place for place, line in enumerate(lines) if line.startswith("───"))
    columns = len(re.split(r" {2,}", lines[rule - 1].strip())) + 1
    rows = [re.split(r" {2,}", row.strip()) for row in takewhile(str.strip, lines[rule + 1 :])]
    return [row if len(row) == columns else [row[0], "", *row[1:]] for row in rows]


def children_of(folder: Path) -> tuple[MlflowClient, Any, dict[str, Any]]:
    client = MlflowClient(f"sqlite:///{folder}/mlruns/mlflow.db")
    experiment = client.get_experiment_by_name("greensweep")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    (parent,) = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    children = {run.info.run_id: run for run in runs if run is not parent}
    return client, parent, children


def test_table_mlflow_tree_and_result_files_agree_number_for_number(
    cli: Cli, results: Results, tmp_path: Path
) -> None:
    ended = cli("train.py", *SWEEP, "hydra.sweeper.n_trials=3", "training.epochs=3")
    assert ended.status == 0, ended.errors
    trials = results("sweep")
    assert [trial["trial"] for trial in trials] == [0, 1, 2]
    client, parent, children = children_of(tmp_path)
    assert parent.info.status == "FINISHED"
    assert set(children) == {trial["mlflow_run_id"] for trial in trials}
    rows = table_rows(ended.output)
    size = {"energy mJ": 0.001, "energy J": 1.0, "energy kJ": 1000.0}[
        re.findall(r"energy m?k?J", ended.output.partition("───")[0])[-1]
    ]
    with (tmp_path / "sweep" / "trials.csv").open() as file:
        lines = list(csv.DictReader(file))

    for trial, row, line in zip(trials, rows, lines, strict=True):
        run = children[trial["mlflow_run_id"]]
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert run.info.run_name == f"trial {trial['trial']}"
        assert run.data.metrics["validation/accuracy"] == trial["validation_accuracy"]
        assert run.data.metrics["energy/training_joules"] == trial["energy_joules"]
        assert run.data.metrics["training/seconds"] == trial["seconds"]
        searched = dict(text.split("=", 1) for text in trial["overrides"])
        rate = searched["optimizer.learning_rate"]
        assert run.data.params["optimizer.learning_rate"] == rate
        assert row[0] == line["trial"] == str(trial["trial"])
        assert row[1].endswith("*") == (line["pareto_optimal"] == "True")
        assert row[2] == f"{trial['validation_accuracy']:.4f}"
        assert float(line["validation_accuracy"]) == trial["validation_accuracy"]
        uncertainty = trial["energy_uncertainty_joules"]
        joules, off = (float(text) for text in row[3].split(" ± "))
        assert joules == pytest.approx(trial["energy_joules"] / size, abs=off)
        assert off == pytest.approx(uncertainty / size, rel=0.5)
        assert run.data.metrics["energy/uncertainty_joules"] == uncertainty
        assert float(line["energy_joules"]) == trial["energy_joules"]
        assert row[4] == f"{trial['seconds']:.4g}"
        assert float(row[5]) == pytest.approx(float(rate), rel=1e-2)
        assert line["optimizer.learning_rate"] == rate
        assert row[6] == line["training.batch_size"] == searched["training.batch_size"]
        stored = client.download_artifacts(run.info.run_id, "result.json")
        assert json.loads(Path(stored).read_text()) == trial

    study = json.loads((tmp_path / "sweep" / "study.json").read_text())
    best = max(trials, key=lambda t: (t["validation_accuracy"], -t["energy_joules"]))
    assert study["best_trial"] == best["trial"]
    assert study["best_energy_joules"] == best["energy_joules"]
    assert study["best_test_accuracy"] == best["test_accuracy"]
    assert study["energy_spent_joules"] == pytest.approx(
        sum(trial["energy_spent_joules"] for trial in trials)
    )
    assert study["mlflow_run_id"] == parent.info.run_id
    assert parent.data.metrics["best/validation_accuracy"] == best["validation_accuracy"]
    assert parent.data.metrics["chosen/energy_joules"] == study["chosen_energy_joules"]
    assert parent.data.tags["mlflow.note.content"].split("\n\n")[0] == study["answer"]
    assert study["answer"] in ended.output
    assert {file.path for file in client.list_artifacts(parent.info.run_id)} == {
        "study.json", "trials.csv",
    }  # fmt: skip
    stored_study = optuna.load_study(
        study_name="greensweep", storage=f"sqlite:///{tmp_path}/sweep/optuna.db"
    )
    assert [t.value for t in stored_study.trials] == [t["validation_accuracy"] for t in trials]
    assert stored_study.metric_names == ["validation accuracy"]
    for stored_trial, trial in zip(stored_study.trials, trials, strict=True):
        shown = stored_trial.user_attrs
        assert shown["status"] == "finished"
        assert shown["validation accuracy"] == stored_trial.value
        assert shown["training energy J"] == trial["energy_joules"]
        assert shown["energy quality"] == trial["energy_quality"]
        assert f"/runs/{trial['mlflow_run_id']}?" in shown["MLflow run"]
    experiment = client.get_experiment_by_name("greensweep")
    sweep = parent.info.run_id
    view = f"/#/experiments/{experiment.experiment_id}/runs?viewStateShareKey={sweep}"
    opened = f"mlflow ui --backend-store-uri sqlite:///{tmp_path}/mlruns/mlflow.db, then open"
    assert f"{opened} http://127.0.0.1:5000{view}" in ended.output  # `make ui` in a checkout
    assert f"mlflow.sharedViewState.{sweep}" in experiment.tags


def test_only_winners_are_tested_and_only_their_weights_kept(
    cli: Cli, results: Results, tmp_path: Path
) -> None:
    cli("train.py", *SWEEP, "hydra.sweeper.n_trials=6", "training.epochs=2")
    trials = results("sweep")
    study = json.loads((tmp_path / "sweep" / "study.json").read_text())
    winners = {study["best_trial"], *study["pareto_trials"]}
    assert 0 < len(winners) < 6
    client, _, children = children_of(tmp_path)
    for trial in trials:
        won = trial["trial"] in winners
        folder = tmp_path / "sweep" / str(trial["trial"])
        assert (trial["test_accuracy"] is not None) == won
        assert (trial["checkpoint"] is not None) == (folder / "model.pt").is_file() == won
        run = children[trial["mlflow_run_id"]]
        assert run.data.metrics.get("test/accuracy") == trial["test_accuracy"]
        kept = {file.path for file in client.list_artifacts(run.info.run_id, "checkpoint")}
        assert kept == ({"checkpoint/model.pt", "checkpoint/config.yaml"} if won else set())
    best = trials[study["best_trial"]]
    again = cli("evaluate.py", f"checkpoint={best['checkpoint']}", "energy=unmetered")
    assert f"test accuracy {best['test_accuracy']:.4f}" in again.output
    torch.load(best["checkpoint"], weights_only=True)


@pytest.mark.parametrize("sampler", ["grid", "random", "tpe", "gp"])
@pytest.mark.slow
def test_every_strategy_searches_the_same_declared_space(
    cli: Cli, results: Results, tmp_path: Path, sampler: str
) -> None:
    ended = cli(
        "train.py", *SWEEP, *QUICK, f"hydra/sweeper/sampler={sampler}", "hydra.sweeper.n_trials=6"
    )
    assert ended.status == 0, ended.errors
    searched = [dict(t.split("=") for t in trial["overrides"]) for trial in results("sweep")]
    rates = [float(values["optimizer.learning_rate"]) for values in searched]
    assert len(searched) == 6
    assert all(1e-4 <= rate <= 0.1 for rate in rates)
    assert {values["training.batch_size"] for values in searched} <= {"32", "64", "128", "256"}
    assert {values["training.epochs"] for values in searched} == {"1"}  # fixed by the command
    study = optuna.load_study(
        study_name="greensweep", storage=f"sqlite:///{tmp_path}/sweep/optuna.db"
    )
    assert study.direction == optuna.study.StudyDirection.MAXIMIZE
    if sampler == "grid":
        assert set(rates) <= {1e-4, 1e-3, 1e-2, 1e-1}
        assert len({tuple(sorted(values.items())) for values in searched}) == 6
    else:
        assert len(set(rates)) == 6


@pytest.mark.slow
def test_grid_takes_a_seeded_subset_and_ends_when_it_is_done(cli: Cli, results: Results) -> None:
    def grid(folder: str, seed: int) -> list[tuple[str, ...]]:
        cli("train.py", "-m", "hydra/sweeper=optuna", "hydra/sweeper/sampler=grid", *QUICK,
            f"hydra.sweep.dir={folder}", "hydra.sweeper.n_trials=4", f"seed={seed}")  # fmt: skip
        return [tuple(trial["overrides"][:2]) for trial in results(folder)]

    first, again, other = grid("a", 1), grid("b", 1), grid("c", 2)
    assert first == again != other

    cli("train.py", *SWEEP, *QUICK, "hydra/sweeper/sampler=grid", "training.batch_size=64",
        "hydra.sweeper.n_trials=50")  # fmt: skip
    rates = [trial["overrides"][0] for trial in results("sweep")]
    assert sorted(rates) == sorted(
        f"optimizer.learning_rate={rate}" for rate in ("0.0001", "0.001", "0.01", "0.1")
    )


@pytest.mark.slow
def test_the_same_seed_draws_the_same_trials(cli: Cli, results: Results) -> None:
    for folder in ("a", "b"):
        cli("train.py", "-m", "hydra/sweeper=optuna", *QUICK, "hydra.sweeper.n_trials=6",
            f"hydra.sweep.dir={folder}")  # fmt: skip
    a, b = results("a"), results("b")
    assert [t["overrides"] for t in a] == [t["overrides"] for t in b]
    assert [t["validation_accuracy"] for t in a] == [t["validation_accuracy"] for t in b]


def test_pareto_objective_maximises_accuracy_and_minimises_energy(
    cli: Cli, results: Results, tmp_path: Path
) -> None:
    ended = cli("train.py", *SWEEP, "objective=pareto", "training.epochs=1", "tracking=local",
                "hydra.sweeper.n_trials=2")  # fmt: skip
    assert ended.status == 0, ended.errors
    study = optuna.load_study(
        study_name="greensweep", storage=f"sqlite:///{tmp_path}/sweep/optuna.db"
    )
    assert [direction.name for direction in study.directions] == ["MAXIMIZE", "MINIMIZE"]
    assert [trial.values for trial in study.trials] == [
        [trial["validation_accuracy"], trial["energy_joules"]] for trial in results("sweep")
    ]


def test_priced_objective_takes_the_price_of_energy_off(
    cli: Cli, results: Results, tmp_path: Path
) -> None:
    cli("train.py", *SWEEP, "objective=priced", "objective.price_per_kilojoule=5",
        "training.epochs=1", "tracking=local", "hydra.sweeper.n_trials=2")  # fmt: skip
    study = optuna.load_study(
        study_name="greensweep", storage=f"sqlite:///{tmp_path}/sweep/optuna.db"
    )
    for trial, result in zip(study.trials, results("sweep"), strict=True):
        price = 5 * result["energy_joules"] / 1000
        assert trial.value == pytest.approx(result["validation_accuracy"] - price)


def test_tpe_draws_its_first_four_trials_at_random(cli: Cli) -> None:
    shown = cli("train.py", "hydra/sweeper=optuna", "--cfg", "hydra", "-p", "hydra.sweeper")
    settings = OmegaConf.create(shown.output)
    assert settings.sampler.n_startup_trials == 4
    assert settings.sampler._target_ == "optuna.samplers.TPESampler"
    assert settings.n_trials == 12


def test_plain_multirun_needs_no_sweeper(cli: Cli, results: Results) -> None:
    ended = cli("train.py", "-m", "seed=1,2", "warmup=0", *QUICK)
    assert ended.status == 0, ended.errors
    assert [trial["seed"] for trial in results("multirun")] == [1, 2]
    assert [row[-1] for row in table_rows(ended.output)] == ["1", "2"]


def test_a_sweep_of_one_trial_shows_what_it_searches_alone(cli: Cli) -> None:
    ended = cli("train.py", *SWEEP, "hydra.sweeper.n_trials=1", "dataset.train_limit=128", *QUICK)
    assert ended.status == 0, ended.errors
    ((*_, rate, batch_size),) = rows = table_rows(ended.output)
    assert (len(rows[0]), float(rate) < 1, batch_size in ("32", "64", "128")) == (6, True, True)


def test_a_failed_trial_keeps_its_energy_and_the_sweep_goes_on(
    cli: Cli, results: Results, tmp_path: Path
) -> None:
    ended = cli(
        "train.py", *SWEEP, "hydra/sweeper/sampler=grid", "hydra.sweeper.n_trials=2",
        "optimizer=sgd", "optimizer.learning_rate=choice(0.05,1e30)", "training.batch_size=64",
        "training.epochs=2",
    )  # fmt: skip
    assert ended.status == 0, ended.errors
    by_status = {trial["status"]: trial for trial in results("sweep")}
    assert set(by_status) == {"finished", "failed"}
    failed = by_status["failed"]
    assert failed["energy_joules"] > 0
    study = json.loads((tmp_path / "sweep" / "study.json").read_text())
    assert study["trials_by_status"] == {"finished": 1, "failed": 1}
    assert study["energy_spent_joules"] == pytest.approx(
        failed["energy_spent_joules"] + by_status["finished"]["energy_spent_joules"]
    )
    _, _, children = children_of(tmp_path)
    assert children[failed["mlflow_run_id"]].info.status == "FAILED"
    assert "failed" in [row[1] for row in table_rows(ended.output)]


def test_a_sweep_without_a_finished_trial_says_why(cli: Cli, results: Results) -> None:
    ended = cli("train.py", *SWEEP, *QUICK, "model=timm", "model.name=no_such_model",
                "hydra.sweeper.n_trials=2")  # fmt: skip
    assert ended.status == 1
    assert "no trial of 2 finished; the first: no timm model is called" in ended.errors
    assert {trial["status"] for trial in results("sweep")} == {"failed"}


SWEEPERS = pytest.mark.parametrize(
    "sweep", [SWEEP, ("-m", "hydra/sweeper=greensweep", *SWEEP[2:])], ids=["optuna", "greensweep"]
)
TABLE = ("dataset=table", "dataset.path=small.csv", "dataset.target_column=y", "model=mlp")


@SWEEPERS
def test_a_fault_that_all_trials_share_ends_the_sweep(
    cli: Cli, results: Results, sweep: tuple[str, ...]
) -> None:
    ended = cli("train.py", *sweep, *QUICK, "dataset=image_folder", "dataset.root=absent")
    assert ended.status == 1
    assert "Error: no trial of 3 finished; the first: dataset.root=absent " in ended.errors
    assert "All trials so far failed alike" in ended.output
    assert [trial["status"] for trial in results("sweep")] == ["failed"] * 3


def test_a_fault_that_names_what_is_searched_lets_the_sweep_go_on(
    cli: Cli, results: Results
) -> None:
    space = "space={training.batch_size:{choices:[2000,3000]}}"
    ended = cli("train.py", *SWEEP, *QUICK, space, "hydra.sweeper.n_trials=4")
    assert ended.status == 1
    assert len(results("sweep")) == 4


@SWEEPERS
def test_a_table_that_is_not_there_is_refused_before_the_first_trial(
    cli: Cli, results: Results, sweep: tuple[str, ...]
) -> None:
    ended = cli("train.py", *sweep, *QUICK, *TABLE)
    assert ended.status == 1
    assert ended.errors == (
        "Error: dataset.path=small.csv is no file: give a CSV or Parquet file\n"
    )
    assert not results("sweep")


@SWEEPERS
def test_batches_that_a_small_table_does_not_fill_are_left_out_of_the_space(
    cli: Cli, results: Results, tmp_path: Path, sweep: tuple[str, ...]
) -> None:
    rows = "".join(f"{number / 100},{number % 2}\n" for number in range(100))
    (tmp_path / "small.csv").write_text(f"x,y\n{rows}")
    search = ("hydra/sweeper/sampler=grid", "optimizer.learning_rate=0.01")
    ended = cli("train.py", *sweep, *QUICK, *TABLE, *search)
    assert ended.status == 0, ended.errors
    assert "searched up to 256, and small.csv has 68 training samples" in ended.output
    assert [trial["status"] for trial in results("sweep")] == ["finished"] * 2
    ended = cli("train.py", *sweep, *QUICK, *TABLE, *search, "dataset.train_limit=20")
    assert ended.status == 1
    assert "small.csv has 20 training samples: add training.batch_size=20, say" in ended.errors


@pytest.mark.parametrize("sent", ["SIGINT", "SIGTERM"])
def test_an_interrupted_sweep_keeps_its_trials_and_prints_its_summary(
    cli: Cli, tmp_path: Path, pressing: tuple[str, ...], sent: str
) -> None:
    ended = cli(
        "train.py", *SWEEP, *pressing, "+model.kwargs.trial=2", f"+model.kwargs.sent={sent}",
        "training.batch_size=64", "training.epochs=4",
    )  # fmt: skip
    assert ended.status == 130, ended.errors
    assert ended.errors == "Interrupted: what was measured so far is kept.\n"
    rows = table_rows(ended.output)
    assert [row[0] for row in rows] == ["0", "1", "2"]
    assert rows[2][1] == "stopped"
    assert "\nTake trial " in ended.output
    stored = [
        json.loads((tmp_path / "sweep" / str(n) / "result.json").read_text()) for n in range(3)
    ]
    assert [trial["status"] for trial in stored] == ["finished", "finished", "stopped"]
    assert [trial["epochs"] for trial in stored] == [4, 4, 2]
    study = json.loads((tmp_path / "sweep" / "study.json").read_text())
    assert study["status"] == "interrupted"
    _, parent, children = children_of(tmp_path)
    assert parent.info.status == "KILLED"
    assert [children[t["mlflow_run_id"]].info.status for t in stored] == [
        "FINISHED", "FINISHED", "KILLED",
    ]  # fmt: skip


@pytest.mark.slow
def test_joblib_runs_trials_side_by_side_into_one_tree(
    script: Callable[..., "subprocess.CompletedProcess[str]"], results: Results, tmp_path: Path
) -> None:
    ended = script("train.py", *SWEEP, "hydra/launcher=joblib", "hydra.launcher.n_jobs=2",
                   "hydra.sweeper.n_trials=4", "training.epochs=15")  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert sorted(re.findall(r"^Trial (\d): ", ended.stdout, re.M)) == [*"0123"]
    trials = results("sweep")
    assert [trial["status"] for trial in trials] == ["finished"] * 4
    _, parent, children = children_of(tmp_path)
    assert set(children) == {trial["mlflow_run_id"] for trial in trials}
    assert all(
        run.data.tags["mlflow.parentRunId"] == parent.info.run_id for run in children.values()
    )
    study = json.loads((tmp_path / "sweep" / "study.json").read_text())
    assert study["energy_neighbours"] == 1
    trained = sum(trial["energy_charged_joules"] for trial in trials)
    machine, remainder = study["energy_machine_joules"], study["energy_remainder_joules"]
    assert 0 < trained < machine - remainder  # which has the trials' other phases too
    assert 0 <= remainder < machine
    assert "Up to 2 runs shared the machine: of its " in ended.stdout


def test_an_experiment_is_one_file(cli: Cli, results: Results) -> None:
    ended = cli("train.py", *SWEEP, "experiment=digits_pareto", "hydra.sweeper.n_trials=2",
                "training.epochs=1", "tracking=local")  # fmt: skip
    assert ended.status == 0, ended.errors
    assert [row[5:] for row in table_rows(ended.output)]
    first = results("sweep")[0]
    assert {text.partition("=")[0] for text in first["overrides"]} >= {
        "model.conv_layers", "model.linear_layers", "model.relu", "optimizer.learning_rate",
    }  # fmt: skip


@pytest.mark.parametrize("sampler", ["grid", "random", "tpe", "gp"])
@pytest.mark.slow
def test_every_strategy_sweeps_real_images(
    cli: Cli, results: Results, cifar10_images: Path, sampler: str
) -> None:
    ended = cli(
        "train.py", *SWEEP, f"hydra/sweeper/sampler={sampler}", "dataset=image_folder",
        f"dataset.root={cifar10_images}", "dataset.train_limit=2000", "training.epochs=2",
        "hydra.sweeper.n_trials=4",
    )  # fmt: skip
    assert ended.status == 0, ended.errors
    assert [trial["status"] for trial in results("sweep")] == ["finished"] * 4


def test_what_a_sweep_chose_is_trained_anew(cli: Cli, results: Results, tmp_path: Path) -> None:
    lists = (
        "-m",
        "hydra.sweep.dir=sweep",
        "training.epochs=1,2",
        "warmup=0",
        "inference.seconds=0",
    )
    swept = cli("train.py", *lists, "energy=unmetered", "tracking=local", "dataset.train_limit=90")
    assert "Train it anew: greensweep train --from " in swept.output
    study = json.loads((tmp_path / "sweep" / "study.json").read_text())
    (chosen,) = [each for each in results("sweep") if each["trial"] == study["chosen_trial"]]
    for file in ("sweep/study.json", "sweep"):
        again = cli("train.py", "--from", file, "hydra.run.dir=again")
        assert again.status == 0, again.errors
        (run,) = results("again")
        assert run["overrides"] == chosen["overrides"]
        assert run["validation_accuracy"] == chosen["validation_accuracy"]
        assert run["test_accuracy"] == chosen["test_accuracy"]
        shutil.rmtree(tmp_path / "again")
    longer = cli("train.py", "--from=sweep", "training.epochs=3", "hydra.run.dir=longer")
    assert longer.status == 0, longer.errors
    assert results("longer")[0]["epochs"] == 3


@pytest.mark.parametrize(
    ("kept", "said"),
    [
        (None, "is no summary of a sweep: name its study.json"),
        ({"chosen_trial": None}, "has no trial to take, since none finished"),
        ({"chosen_trial": 0}, "is a sweep of another program: call that with rate=0.5"),
        (
            {"chosen_trial": 0, "command": ["./fit.sh", "{rate}"]},
            "is a sweep of a command: run it by greensweep exec rate=0.5 -- ./fit.sh '{rate}'",
        ),
    ],
)
def test_what_cannot_be_trained_anew_is_said(
    kept: dict[str, Any] | None, said: str, cli: Cli, tmp_path: Path
) -> None:
    if kept is not None:
        (tmp_path / "0" / ".hydra").mkdir(parents=True)
        command = kept.pop("command", None)
        overrides = ["rate=0.5", *([f"command={command}"] if command else [])]
        write_json(tmp_path / "0" / ".hydra" / "overrides.yaml", overrides)
        write_json(tmp_path / "0" / "config.yaml", {"rate": 0.5, "command": command})
        result = RunResult("finished", None, "mine", "d", seed=0, trial=0, validation_accuracy=0.5)
        write_result(result, tmp_path / "0")
        study = {"status": "finished", "trials": 1, "trials_by_status": {"finished": 1}}
        write_json(tmp_path / "study.json", {**study, **kept})
    ended = cli("train.py", "--from", "study.json")
    assert ended.status == 1 and said in ended.errors


def test_a_secret_that_a_sweep_hides_is_asked_for(cli: Cli, tmp_path: Path) -> None:
    secret = "tracking.uri=http://ada:planted@127.0.0.1:9"
    small = ("training.epochs=1,2", "warmup=0", "inference.seconds=0", "dataset.train_limit=90")
    cli("train.py", "-m", "hydra.sweep.dir=sweep", *small, "energy=unmetered", secret)
    ended = cli("train.py", "--from", "sweep/study.json")
    assert "hides the secret tracking.uri: set tracking.uri=VALUE too" in ended.errors
    store = f"tracking.uri=sqlite:///{tmp_path}/mlflow.db"
    assert cli("train.py", "--from", "sweep/study.json", store).status == 0
