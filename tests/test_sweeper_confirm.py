"""A sweep that would take long asks first: `hydra.sweeper.confirm_hours`."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Finished
from test_sweeper import QUICK as ANY

Cli = Callable[..., Finished]
Results = Callable[..., list[dict[str, Any]]]

QUICK = (
    *ANY,
    "hydra/sweeper/sampler=random",
    "hydra.sweeper.enqueue=null",
    "hydra.sweeper.n_trials=2",
)
SHORT = "hydra.sweeper.confirm_hours=1e-9"


def test_a_long_sweep_is_refused_with_its_forecast_and_leaves_nothing(
    cli: Cli, tmp_path: Path
) -> None:
    refused = cli("train.py", *QUICK, SHORT, "repeats=3")
    assert refused.status == 1
    said = re.sub(r"about \S+ s", "about ? s", refused.errors)
    assert said == (
        "Error: this sweep would take about ? s on this machine (trials in all: 2, of 3 repeats of "
        "2 epochs; about ? s for each), and hydra.sweeper.confirm_hours=1e-09 has longer ones "
        "confirmed: set hydra.sweeper.confirmed=true, or make it smaller, as with size=small\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_it_runs_once_confirmed_or_when_it_is_short_enough(cli: Cli, results: Results) -> None:
    assert cli("train.py", *QUICK, SHORT, "hydra.sweeper.confirmed=true").status == 0
    assert len(results("multirun")) == 2
    longer = cli("train.py", *QUICK, "hydra.sweeper.confirm_hours=1", "hydra.sweeper.n_trials=3")
    assert longer.status == 0
    assert len(results("multirun")) == 3


def test_trials_that_ended_tell_what_the_rest_takes(
    cli: Cli, results: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cli("train.py", *QUICK, "hydra.sweeper.n_trials=1").status == 0

    def not_timed(_: object) -> float:
        raise AssertionError("a step was timed")

    monkeypatch.setattr("greensweep.study.planned.seconds_of_run", not_timed)
    refused = cli("train.py", *QUICK, SHORT, "hydra.sweeper.n_trials=5")
    assert refused.status == 1
    assert "(trials in all: 5, of which 1 ended; about " in refused.errors
    found = re.search(r"about (\S+) s on this machine .* about (\S+) s for each", refused.errors)
    assert found is not None
    assert float(found[1]) == pytest.approx(4 * float(found[2]), rel=0.02)
    assert len(results("multirun")) == 1
    # Nothing is left to forecast, or an earlier study does not count.
    assert cli("train.py", *QUICK, SHORT, "hydra.sweeper.n_trials=1").status == 0
    anew = cli("train.py", *QUICK, SHORT, "hydra.sweeper.fresh=true")
    assert anew.status == 1
    assert "a step was timed" in anew.errors
    assert len(results("multirun")) == 1, "nothing is put aside for a sweep that is refused"


def test_trials_of_a_study_that_will_be_put_aside_tell_nothing(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "images.txt").write_text("1")
    asked = (*QUICK, "hydra.sweeper.made_from=[images.txt]", "hydra.sweeper.n_trials=1")
    assert cli("train.py", *asked).status == 0
    assert cli("train.py", *asked, SHORT).status == 0
    (tmp_path / "images.txt").write_text("2")
    refused = cli("train.py", *asked, SHORT)
    assert "(trials in all: 1, of 2 epochs; about " in refused.errors
    assert refused.status == 1


def test_the_papers_study_is_forecast_without_its_images(cli: Cli, tmp_path: Path) -> None:
    refused = cli(
        "train.py", "-m", "experiment=rq1_strategies", "size=paper", "dataset.download=false",
        "tracking=local", "energy=unmetered", "model.conv_layers=1", "model.linear_layers=1",
        "hydra.sweeper.confirm_hours=0.01",
    )  # fmt: skip
    assert refused.status == 1
    assert "(trials in all: 64, of 8 repeats of 25 epochs; about " in refused.errors
    assert list(tmp_path.iterdir()) == []


def test_a_replayed_sweep_is_not_forecast(cli: Cli, tmp_path: Path, results: Results) -> None:
    table = tmp_path / "runs.csv"
    table.write_text("optimizer.learning_rate,accuracy,energy_joules\n0.001,0.5,9\n0.1,0.6,8\n")
    replayed = cli("train.py", *QUICK, SHORT, "training=replay", f"replay.table={table}")
    assert replayed.status == 0, replayed.errors
    assert len(results("multirun")) == 2
