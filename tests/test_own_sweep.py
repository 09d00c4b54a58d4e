"""A sweep of a program of one's own leaves what a sweep of our own runs leaves."""

import json
import os
import re
import runpy
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from test_bad_input import one_sentence

from greensweep.energy.machine import machine_totals
from greensweep.record.result import read_result, read_results, write_result
from greensweep.search.folders import trial_directories
from greensweep.search.records import Outcome
from greensweep.study.trials import result_of
from greensweep.study.upload import upload

CONFIG = """
defaults: [_self_, override hydra/sweeper: greensweep]
rate: 0.5
epochs: 4
objectives: 2
grid: null
tracked: {{}}
net: {{depth: 2}}
kind: {kind}
hydra:
  sweeper:
    direction: [maximize, minimize]
    pruner: none
    n_trials: 3
    params: {{rate: "choice(0.5,0.25,1.0)"}}
"""

PROGRAM = """
import hydra
import greensweep

def work(size=20_000):
    return sum(each * each for each in range(size))

@hydra.main(config_path=".", config_name="config")
def main(config):
    work(200_000)
    if config.kind == "mute":
        return None
    if config.kind == "silent":
        return config.rate
    if config.kind == "run":
        with greensweep.run("net", grams_co2e_per_kwh=config.grid, **config.tracked) as run:
            for epoch in range(1, config.epochs + 1):
                work()
                run.report(epoch=epoch, epochs=config.epochs, macro_f1=config.rate * epoch / 4)
        return answer(config, run.joules)
    with greensweep.measure() as energy:
        for epoch in range(1, config.epochs + 1):
            work()
            if config.kind == "catching":
                try:
                    report(config, epoch)
                except Exception:
                    pass
            else:
                report(config, epoch)
            if config.kind == "failing" and config.rate == 1.0:
                raise ZeroDivisionError("division by zero")
    return answer(config, energy.joules)

def answer(config, joules):
    if config.objectives == "reported":
        return None
    if config.objectives == "latency":
        return config.rate, 3 - config.rate
    return (config.rate, joules) if config.objectives == 2 else config.rate

def report(config, epoch):
    greensweep.report(
        epoch=epoch, epochs=config.epochs, macro_f1=config.rate * epoch / 4, train_loss=1 / epoch
    )

main()
"""

Sweep = Callable[..., Path]


@pytest.fixture
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sweep:
    """Search a program of one's own in this process: `sweep("measure", "epochs=1")`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
    monkeypatch.setenv("COLUMNS", "50")  # of the terminal that writes the file

    def run(kind: str = "measure", *overrides: str) -> Path:
        (tmp_path / "config.yaml").write_text(CONFIG.format(kind=kind))
        (tmp_path / "program.py").write_text(PROGRAM)
        monkeypatch.setattr(sys, "argv", ["program.py", "-m", *overrides])
        runpy.run_path(str(tmp_path / "program.py"), run_name="__main__")
        return tmp_path / "multirun" / "greensweep"

    return run


def results_in(folder: Path) -> list[dict[str, Any]]:
    return [json.loads((each / "result.json").read_text()) for each in trial_directories(folder)]


def test_the_machine_is_read_as_long_as_the_search_has_it(
    sweep: Sweep, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = sweep()
    (total,) = machine_totals(folder).values()
    assert (total.watches, total.releases) == (1, 1)
    charged = sum(each["energy_charged_joules"] for each in results_in(folder))
    assert 0 < charged < total.trials_joules < total.machine_joules  # the search is between
    study = json.loads((folder / "study.json").read_text())
    idle, off = study["energy_idle_nodes_joules"], study["energy_idle_nodes_uncertainty_joules"]
    assert idle == total.machine_joules - total.trials_joules
    assert off > total.uncertainty_joules
    said = capsys.readouterr().out.replace("\n", " ")
    assert "The machine used " in said and "went to no trial" in said


def test_no_machine_is_read_where_nothing_is_metered(sweep: Sweep) -> None:
    folder = sweep("silent", "hydra.sweeper.meter=nothing", "hydra.sweeper.direction=maximize")
    assert machine_totals(folder) == {}
    assert json.loads((folder / "study.json").read_text())["energy_idle_nodes_joules"] is None


@pytest.mark.parametrize("kind", ["measure", "run"])
def test_each_trial_leaves_a_result_and_the_sweep_its_table(
    sweep: Sweep, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = sweep(kind, "hydra.sweeper.energy={grams_co2e_per_kwh: 300}")
    results = results_in(folder)
    assert [each["trial"] for each in results] == [0, 1, 2]
    for each in results:
        rate = float(dict(text.split("=") for text in each["overrides"])["rate"])
        assert each["metrics"]["validation"] == {"macro_f1": rate}
        assert (each["objective_metric"], each["status"]) == ("macro_f1", "finished")
        assert [point["validation_macro_f1"] for point in each["history"]] == [
            rate / 4, rate / 2, 3 * rate / 4, rate
        ]  # fmt: skip
        phases = {name: phase["joules"] for name, phase in each["energy_phases"].items()}
        assert each["energy_joules"] == phases["training"] > 0
        assert each["energy_spent_joules"] == pytest.approx(sum(phases.values()))
        spent_kwh = each["energy_spent_joules"] / 3.6e6
        assert each["emissions_spent_kg"] == pytest.approx(0.3 * spent_kwh)
        assert {part["source"] for part in each["energy_components"].values()}
        assert "rate" in (folder / str(each["trial"]) / "config.yaml").read_text()
    table = pd.read_csv(folder / "trials.csv")
    assert table["validation_macro_f1"].tolist() == table["rate"].tolist()
    assert table["energy_joules"].tolist() == [each["energy_joules"] for each in results]
    study = json.loads((folder / "study.json").read_text())
    assert study["best_validation_macro_f1"] == 1.0
    assert study["search"]["finished_joules"] == pytest.approx(table["energy_spent_joules"].sum())
    said = capsys.readouterr().out
    assert study["answer"] in said and study["answer"].startswith("Take trial ")
    assert "Trials, trials.csv and study.json: " in said


def test_all_that_a_trial_spent_is_emitted_on_the_grid_that_the_program_declares(
    sweep: Sweep,
) -> None:
    folder = sweep("run", "grid=300", "hydra.sweeper.n_trials=1")
    (found,) = results_in(folder)
    bill = json.loads((folder / "study.json").read_text())["search"]
    assert bill["spent_kg"] == pytest.approx(0.3 * bill["spent_joules"] / 3.6e6)
    assert found["energy_spent_joules"] > found["energy_joules"]
    assert found["emissions_kg"] == pytest.approx(0.3 * found["energy_joules"] / 3.6e6)
    assert found["emissions_spent_kg"] == pytest.approx(0.3 * found["energy_spent_joules"] / 3.6e6)


def test_the_objective_of_energy_is_the_energy_of_every_column(sweep: Sweep) -> None:
    import optuna

    folder = sweep()
    study = optuna.load_study(study_name="greensweep", storage=f"sqlite:///{folder}/optuna.db")
    found = read_results(trial_directories(folder)).values()
    assert [trial.values[1] for trial in study.trials] == [each.energy_joules for each in found]


@pytest.mark.parametrize("kind", ["measure", "catching", "run"])
def test_pruned_and_constraint_breaking_trials_are_marked(
    sweep: Sweep, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = sweep(
        kind,
        "objectives=1",
        "hydra.sweeper.direction=maximize",
        "hydra.sweeper.constraints={min_macro_f1: 0.6}",
        "hydra.sweeper.pruner=median",
        "hydra.sweeper.pruning={min_finished: 2, grace_epochs: 1}",
        "hydra.sweeper.enqueue=[{rate: 1.0}, {rate: 0.5}, {rate: 0.25}]",
    )
    table = pd.read_csv(folder / "trials.csv", keep_default_na=False)
    assert table["status"].tolist() == ["finished", "finished", "pruned"]
    assert table["infeasible"].tolist() == ["", "min_macro_f1", ""]
    results = results_in(folder)
    assert [each["status"] for each in results] == table["status"].tolist()
    assert (results[2]["error"], results[2]["epochs"]) == ("pruned after epoch 2 by median", 2)
    said = capsys.readouterr().out
    assert re.search(r"\n +1  breaks min_macro_f1 +0\.5000 ", said)
    assert re.search(r"\n +2  pruned +0\.1250 ", said)
    assert "Trial 2: pruned after epoch 2 by median, macro F1 0.1250 for " in said


def test_cheaper_runs_are_marked(sweep: Sweep, capsys: pytest.CaptureFixture[str]) -> None:
    folder = sweep(
        "measure", "objectives=1", "hydra.sweeper.direction=maximize",
        "hydra.sweeper.fidelities=[{epochs: 2}]", "hydra.sweeper.n_trials=4",
    )  # fmt: skip
    table = pd.read_csv(folder / "trials.csv", keep_default_na=False)
    assert (table["infeasible"] == "whole_run").tolist() == (table["epochs"] == 2).tolist()
    assert "cheaper run" in capsys.readouterr().out


@pytest.mark.slow
def test_trials_in_other_processes_leave_the_same(sweep: Sweep) -> None:
    for name, others in (("workers", ()), ("jobs", ("hydra/launcher=joblib",))):
        folder = sweep("measure", "hydra.sweeper.n_workers=2", f"hydra.sweep.dir={name}", *others)
        folder = folder.parents[1] / name
        assert [each["status"] for each in results_in(folder)] == ["finished"] * 3
        assert all(each["energy_joules"] > 0 for each in results_in(folder))
        assert len(pd.read_csv(folder / "trials.csv")) == 3


@pytest.mark.parametrize(("metric", "best"), [("macro_f1", 1.0), ("val_loss", 0.25)])
def test_a_metric_is_searched_for_in_the_direction_that_its_name_tells(
    sweep: Sweep, metric: str, best: float
) -> None:
    folder = sweep(
        "silent", f"hydra.sweeper.metric={metric}", "hydra.sweeper.direction=null",
        "hydra.sweeper.meter=nothing",
    )  # fmt: skip
    (found,) = json.loads((folder / "study.json").read_text())["search"]["best_trials"]
    assert pd.read_csv(folder / "trials.csv")["rate"][found] == best


def test_a_metric_is_not_searched_for_in_the_direction_in_which_it_is_worse(
    sweep: Sweep, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        sweep("silent", "hydra.sweeper.metric=macro_f1", "hydra.sweeper.direction=minimize")
    said = "hydra.sweeper.direction=minimize, but macro_f1 is better the higher it is"
    assert said in capsys.readouterr().err


def test_a_name_that_is_no_metric_of_the_table_is_better_as_was_asked_and_doubted(
    sweep: Sweep, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = sweep(
        "silent", "hydra.sweeper.metric=policy_entropy", "hydra.sweeper.direction=maximize",
        "hydra.sweeper.meter=nothing",
    )  # fmt: skip
    study = json.loads((folder / "study.json").read_text())
    doubt = "hydra.sweeper.direction=maximize seeks the highest policy_entropy, whose name tells"
    assert capsys.readouterr().out.count(doubt) == 1
    assert study["objective_direction"] == "maximize"
    assert study["search"]["best_trials"] == [study["best_trial"]]


def test_a_second_objective_that_is_no_energy_is_in_the_table(sweep: Sweep) -> None:
    folder = sweep("run", "objectives=latency", "hydra.sweeper.n_trials=2")
    table = pd.read_csv(folder / "trials.csv")
    assert table["validation_objective_2"].tolist() == (3 - table["rate"]).tolist()


@pytest.mark.parametrize(
    ("kind", "objectives", "said"),
    [
        ("mute", 2, "returned nothing and reported no macro_recall"),
        (
            "measure", "reported", "reported no macro_recall that is a number, which "
            "hydra.sweeper.metric searches for: it told macro_f1; did you mean macro_f1?",
        ),
        (
            "measure", 2, "the program returned 0.5, its macro_f1, and "
            "hydra.sweeper.metric=macro_recall searches for another: return that or nothing, "
            "or set hydra.sweeper.metric=macro_f1",
        ),
    ],
)  # fmt: skip
def test_a_search_for_a_metric_that_no_trial_has_ends_after_the_first(
    sweep: Sweep,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    kind: str,
    objectives: object,
    said: str,
) -> None:
    with pytest.raises(SystemExit):
        sweep(kind, "hydra.sweeper.metric=macro_recall", f"objectives={objectives}")
    assert said in capsys.readouterr().err
    (only,) = results_in(tmp_path / "multirun" / "greensweep")
    assert len(pd.read_csv(tmp_path / "multirun" / "greensweep" / "trials.csv")) == 1
    assert only["status"] == "failed" and only["energy_joules"] > 0


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("rat=1,2", "there is no option rat: did you mean rate? If not, write +rat=VALUE to add"),
        ("+hydra.sweeper.params.epoch='range(1,3)'", "mean epochs?"),
        ("net.dept=1,2", "did you mean net.depth?"),
        ("nte.depth=1,2", "did you mean net.depth?"),
        (
            "hydra.sweeper.fidelities=[{epoch:1}] hydra.sweeper.direction=maximize",
            "fidelities: epoch=1: there is no option epoch: did you mean epochs?",
        ),
        ("kidn=choice(a,b)", "did you mean kind?"),
    ],
)
def test_a_searched_option_that_there_is_not_is_refused_before_the_first_trial(
    sweep: Sweep, tmp_path: Path, capsys: pytest.CaptureFixture[str], wrong: str, said: str
) -> None:
    with pytest.raises(SystemExit):
        sweep("silent", *wrong.split())
    assert said in one_sentence(capsys.readouterr().err)
    assert not (tmp_path / "multirun").exists()


def test_an_option_that_a_sweep_adds_or_that_one_choice_alone_has_is_searched(
    sweep: Sweep, tmp_path: Path
) -> None:
    for name, text in {"big": "depth: 1", "small": "width: 1"}.items():
        (tmp_path / "part").mkdir(exist_ok=True)
        (tmp_path / "part" / f"{name}.yaml").write_text(text)
    folder = sweep(
        "silent", "hydra.sweeper.meter=nothing", "hydra.sweeper.params=null",
        "+part=small,big", "part.depth=choice(2)", "+new=1,2", "hydra/sweeper/sampler=grid",
        "hydra.sweeper.n_trials=4", "hydra.sweeper.direction=maximize", "objectives=1",
    )  # fmt: skip
    ended = [each["status"] for each in results_in(folder)]
    assert sorted(ended) == ["failed", "failed", "finished", "finished"]


def test_a_failed_trial_keeps_what_it_reported_and_spent(sweep: Sweep) -> None:
    folder = sweep("failing")
    failed = next(each for each in results_in(folder) if each["status"] == "failed")
    assert failed["error"] == "ZeroDivisionError: division by zero"
    assert failed["metrics"]["validation"] == {"macro_f1": 0.25}
    assert failed["history"][0]["train_loss"] == 1.0
    assert 0 < failed["energy_joules"] <= failed["energy_spent_joules"]


@pytest.mark.parametrize("kind", ["measure", pytest.param("run", marks=pytest.mark.slow)])
def test_mlflow_has_a_parent_and_its_children(
    sweep: Sweep,
    kind: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from mlflow import MlflowClient

    uri = f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    folder = sweep(kind, "hydra.sweeper.n_trials=2")
    runs = MlflowClient(uri).search_runs(["1"])
    (parent,) = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    children = [run for run in runs if run is not parent]
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parent.info.run_id}
    # By which the run of a trial whose process died is found, and ended.
    assert {run.info.run_name for run in children} == {"trial 0", "trial 1"}
    assert {run.data.metrics["validation/macro_f1"] for run in children} <= {0.25, 0.5, 1.0}
    assert parent.info.status == "FINISHED"
    assert parent.data.metrics["sweep/trials"] == 2
    assert {run.data.params["epochs"] for run in children} == {"4"}
    assert {each["mlflow_run_id"] for each in results_in(folder)} == {
        run.info.run_id for run in children
    }
    for each in results_in(folder):
        tracked = next(run for run in children if run.info.run_id == each["mlflow_run_id"])
        phases = {
            f"phases/{name}_joules": of["joules"] for name, of in each["energy_phases"].items()
        }
        assert tracked.data.metrics.items() >= phases.items()
        assert tracked.data.metrics["energy/training_joules"] == each["energy_joules"]
        assert tracked.data.metrics["energy/spent_joules"] == each["energy_spent_joules"]
    said = capsys.readouterr().out
    assert "Compare the runs in the MLflow UI: mlflow ui --backend-store-uri" in said
    assert "Not in MLflow yet" not in said
    write_result(replace(read_result(folder / "0"), mlflow_run_id=None), folder / "0")
    sweep(kind, "hydra.sweeper.n_trials=2")
    said = capsys.readouterr().out
    assert "Not in MLflow yet, or not whole: 1 trial; greensweep upload" in said
    tags = MlflowClient(uri).get_experiment("1").tags
    columns = json.loads(tags[f"mlflow.sharedViewState.{parent.info.run_id}"])["selectedColumns"]
    assert columns[:2] == ["tags.`validation macro_f1`", "tags.`training energy`"]
    assert [each for each in columns if each.startswith("params.")] == ["params.`rate`"]


@pytest.mark.parametrize(
    ("energy", "said"),
    [
        ("{country: NLX}", "NLX"),
        ("{contry: NLD}", "hydra.sweeper.energy.meter=codecarbon: no option is called 'contry'"),
        ("{meter: wattmeter}", "hydra.sweeper.energy: no meter is called 'wattmeter'"),
        ("[NLD]", "hydra.sweeper.energy must be a mapping of a meter's options"),
    ],
)
def test_a_meter_that_there_is_not_is_refused_in_a_sentence(
    sweep: Sweep, energy: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        sweep("measure", f"hydra.sweeper.energy={energy}")
    assert ended.value.code == 1
    errors = capsys.readouterr().err
    assert said in errors and errors.startswith("Error: ") and errors.count("\n") == 1


def test_a_budget_of_emissions_is_kept_to_on_the_declared_grid(sweep: Sweep) -> None:
    folder = sweep(
        "measure",
        "hydra.sweeper.energy={grams_co2e_per_kwh: 300}",
        "hydra.sweeper.budget.emissions_kg=1e-12",
    )
    study = json.loads((folder / "study.json").read_text())
    assert "the budget of 1e-12 kg CO2e" in study["search"]["ended"]


def test_a_program_that_reports_nothing_is_compared_by_what_it_returns(
    sweep: Sweep, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = sweep("silent", "hydra.sweeper.meter=nothing", "hydra.sweeper.direction=minimize")
    assert {each["metrics"]["validation"]["objective"] for each in results_in(folder)} == {
        0.25, 0.5, 1.0
    }  # fmt: skip
    said = capsys.readouterr().out
    assert "the best by objective (objective 0.2500). Its energy was not metered" in said


def test_a_trial_whose_process_died_leaves_what_it_had_reported(tmp_path: Path) -> None:
    (tmp_path / ".hydra").mkdir()
    (tmp_path / ".hydra" / "hydra.yaml").write_text("hydra: {job: {name: program}}")
    (tmp_path / "config.yaml").write_text("rate: 0.1")
    reported = {"val_error": 0.3, "macro_f1": 0.6, "train_loss": 0.1}
    metrics = {name.removeprefix("val_"): value for name, value in reported.items()}
    energy: dict[str, Any] = {"joules": 4.0, "spent_joules": 5.0, "quality": "measured"}
    died = Outcome("died", "its process died", metric_value=0.3, metrics=metrics, **energy)
    result = result_of(tmp_path, 3, died, None)
    assert (result.model, result.trial, result.status) == ("program", 3, "stopped")
    assert result.metrics == {"validation": {"error": 0.3, "macro_f1": 0.6}}
    assert (result.objective_metric, result.objective_direction) == ("error", "minimize")
    assert (result.energy_joules, result.energy_spent_joules) == (4.0, 5.0)
    assert result.energy_quality == "measured"


@pytest.mark.slow
def test_a_store_that_the_program_names_has_the_sweep_too(sweep: Sweep, tmp_path: Path) -> None:
    from mlflow import MlflowClient

    uri = f"sqlite:///{tmp_path}/named.db"
    sweep("run", "hydra.sweeper.n_trials=1", f"+tracked={{mlflow: '{uri}', experiment: mine}}")
    client = MlflowClient(uri)
    assert {each.name for each in client.search_experiments()} == {"Default", "mine"}
    child, parent = client.search_runs(["1"])
    assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert (parent.info.status, parent.data.metrics["sweep/trials"]) == ("FINISHED", 1)


def test_a_folder_that_cannot_be_written_is_one_sentence(
    sweep: Sweep, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(SystemExit):
        sweep("measure", "hydra.sweep.dir=file/sweep")
    errors = capsys.readouterr().err
    assert errors.startswith("Error: ") and errors.count("\n") == 1, errors


@pytest.mark.slow
def test_a_sweep_that_was_not_tracked_is_uploaded(
    sweep: Sweep, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from mlflow import MlflowClient

    folder = sweep("measure", "hydra.sweeper.n_trials=2")
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert len(upload(folder)) == 2
    runs = MlflowClient(uri).search_runs(["1"])
    assert sorted("mlflow.parentRunId" in run.data.tags for run in runs) == [False, True, True]


@pytest.mark.slow
def test_a_sweep_of_ones_own_loads_neither_torch_nor_mlflow(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(CONFIG.format(kind="run"))
    code = "import sys\nsys.argv = ['program.py', '-m', 'hydra.sweeper.n_trials=1']\n"
    code += PROGRAM + "print('loaded', {'torch', 'mlflow'} & {*sys.modules})\n"
    (tmp_path / "program.py").write_text(code)
    environment = {**os.environ, "MLFLOW_TRACKING_URI": ""}
    ended = subprocess.run(
        [sys.executable, "program.py"], cwd=tmp_path, env=environment, capture_output=True,
        text=True, check=True,
    )  # fmt: skip
    assert "loaded set()" in ended.stdout
    assert (tmp_path / "multirun" / "greensweep" / "trials.csv").is_file()
