"""Budgets and constraints of a command that cannot bind are refused before anything is run."""

import json
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import PROJECT, Finished
from test_sweeper import QUICK, study_in

Cli = Callable[..., Finished]
Results = Callable[..., list[dict[str, Any]]]

METERED = [each for each in QUICK if each not in ("energy=unmetered", "warmup=0")]
RECORDED = "optimizer.learning_rate,training.batch_size,accuracy,energy_joules\n" + "".join(
    f"{rate},{size},{0.5 + 0.1 * size / 256},{size}\n"
    for rate in (1e-4, 1e-2)
    for size in (32, 256)
)


def refused(cli: Cli, folder: Path, *arguments: str) -> str:
    """The one sentence of a command that ran nothing: no trial and no reference job."""
    ended = cli("train.py", *arguments)
    assert ended.status == 1
    assert ended.errors.count("Error: ") == 1
    assert ended.errors.count("\n") == 1
    assert not list(folder.glob("multirun/**/*.json"))
    return ended.errors


@pytest.mark.parametrize(
    ("override", "option"),
    [
        ("hydra.sweeper.budget.joules=400", "hydra.sweeper.budget.joules=400"),
        ("hydra.sweeper.constraints={max_joules_per_run:5}", "constraints.max_joules_per_run=5"),
        ("hydra.sweeper.constraints={max_inference.joules_per_1000:5}", "joules_per_1000=5"),
        ("hydra.sweeper.stop.min_gain_per_kilojoule=1", "stop.min_gain_per_kilojoule=1"),
        ("hydra.sweeper.price_per_kilojoule=1", "hydra.sweeper.price_per_kilojoule=1"),
    ],
)
def test_what_bounds_energy_is_refused_where_nothing_is_metered(
    cli: Cli, tmp_path: Path, override: str, option: str
) -> None:
    said = refused(cli, tmp_path, *METERED, "energy=unmetered", "inference.seconds=1", override)
    assert option in said
    assert "needs energy figures, and no trial has any: set energy=codecarbon" in said


@pytest.mark.parametrize("meter", ["nothing", "trials"])
def test_an_own_program_without_a_meter_is_refused_a_budget_of_joules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], meter: str
) -> None:
    monkeypatch.chdir(tmp_path)
    bound = ["-m", "hydra.sweeper.budget.joules=400", f"hydra.sweeper.meter={meter}"]
    (tmp_path / "conf" / "unmetered").mkdir(parents=True)
    (tmp_path / "conf" / "unmetered" / "meter.yaml").write_text(
        "# @package hydra.sweeper.energy\ndefaults: [/schema/energy/unmetered@_here_]\n"
    )
    if meter == "trials":
        bound += ["--config-dir=conf", "+unmetered=meter"]
    monkeypatch.setattr(sys, "argv", ["own_loop.py", *bound])
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(PROJECT / "examples" / "own_loop.py"), run_name="__main__")
    assert ended.value.code == 1
    assert (
        "hydra.sweeper.meter=search where the program reports joules itself"
        in capsys.readouterr().err
    )
    assert not (tmp_path / "multirun").exists()


def test_replayed_joules_are_bound_though_nothing_is_metered(
    cli: Cli, tmp_path: Path, results: Results
) -> None:
    (tmp_path / "recorded.csv").write_text(RECORDED)
    replayed = (*QUICK, "training=replay", "replay.table=recorded.csv", "space=paper_log")
    ended = cli(
        "train.py", *replayed, "hydra.sweeper.budget.joules=400", "hydra.sweeper.n_trials=9",
        "hydra/sweeper/sampler=random",
        "hydra.sweeper.constraints={max_energy_joules:200}",
    )  # fmt: skip
    assert ended.status == 0, ended.errors
    spent = sum(run["energy_spent_joules"] for run in results("multirun"))
    assert 100 < spent <= 400
    (folder,) = (tmp_path / "multirun").iterdir()
    assert json.loads((folder / "study.json").read_text())["search"]["ended"] is not None
    done = [each for each in study_in(tmp_path, folder.name).trials if each.values]
    assert done and all("max_energy_joules" in each.constraints for each in done)


@pytest.mark.parametrize(
    ("constraints", "said"),
    [
        ("max_accuracy: 80", "max_accuracy must be from 0 to 1, as accuracy is, got 80"),
        ("max_seconds: nan", "max_seconds must be finite, got nan"),
        ("max_seconds: '10'", "max_seconds must be a number, got '10'"),
        ("max_seconds: -5, max_xyz: 1", "no figure is called 'xyz': there are accuracy, joules"),
        ("max_latency: 1", "no figure of inference.seconds_per_1000: set inference.seconds=0.1"),
    ],
)
def test_a_constraint_that_means_nothing_is_refused_before_the_reference_job(
    cli: Cli, tmp_path: Path, constraints: str, said: str
) -> None:
    bound = f"hydra.sweeper.constraints={{{constraints}}}"
    assert said in refused(cli, tmp_path, *METERED, "inference.seconds=0", bound)


@pytest.mark.parametrize("budget", ["joules=nan", "joules=-400", "kwh=0", "hours=inf"])
def test_a_budget_that_is_no_amount_is_refused(cli: Cli, tmp_path: Path, budget: str) -> None:
    name, _, value = budget.partition("=")
    said = refused(cli, tmp_path, *METERED, f"hydra.sweeper.budget.{budget}")
    assert f"hydra.sweeper.budget.{name} must be" in said
    assert f"got {value}" in said


def test_nested_figures_and_short_names_are_bounds(cli: Cli, tmp_path: Path) -> None:
    bounds = "{max_inference.seconds_per_1000: 1e-9, max_latency: 1e6, min_size: 1, max_time: 600}"
    ended = cli(
        "train.py", *QUICK, "inference.seconds=0.001", f"hydra.sweeper.constraints={bounds}",
        "+hydra.sweeper.constraints.max_spread={validation_accuracy: {std: 1}}",
        "hydra.sweeper.n_trials=1", "repeats=2", "training.epochs=1",
    )  # fmt: skip
    assert ended.status == 0, ended.errors
    (trial,) = study_in(tmp_path).trials
    kept = {name: value <= 0 for name, value in trial.constraints.items()}
    assert kept == {
        "max_inference.seconds_per_1000": False,
        "max_latency": True,
        "min_size": True,
        "max_time": True,
        "max_spread.validation_accuracy.std": True,
    }


def test_max_seconds_ends_a_running_trial(cli: Cli, tmp_path: Path, results: Results) -> None:
    ended = cli(
        "train.py", *QUICK, "training.epochs=50", "hydra.sweeper.n_trials=1",
        "hydra.sweeper.constraints={max_seconds: 1e-6}",
    )  # fmt: skip
    assert ended.status == 1  # none of the trials finished
    (run,) = results("multirun")
    assert (run["status"], run["epochs"]) == ("pruned", 1)
    assert "s are above max_seconds=1e-06" in run["error"]


def test_a_budget_below_one_trial_is_kept_to_and_told(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "recorded.csv").write_text(
        "optimizer.learning_rate,training.batch_size,epoch,accuracy,energy_joules\n"
        + "".join(f"0.001,64,{epoch},0.5,{10 * epoch}\n" for epoch in range(1, 11))
    )
    ended = cli(
        "train.py", *QUICK, "training=replay", "replay.table=recorded.csv", "training.epochs=10",
        "space=paper_log", "hydra.sweeper.budget.joules=30", "replay.outside=mark",
    )  # fmt: skip
    assert ended.status == 0, ended.errors
    said = "the budget of 30 J is spent, before a trial finished: one takes about 100 J"
    assert said in ended.output
