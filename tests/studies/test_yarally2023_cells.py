"""Cells of the paper's study, trained small and analysed together."""

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from conftest import Finished

Cli = Callable[..., Finished]
Results = Callable[..., list[dict[str, Any]]]

TINY = ("size=smoke", "dataset.train_limit=100", "training.epochs=1", "training.threads=1")


def test_the_papers_search_runs_a_cell(cli: Cli, tmp_path: Path, results: Results) -> None:
    cell = ("experiment=rq1_strategies", "model=dense_poly", "hydra/sweeper/sampler=paper_gp")
    ended = cli("train.py", "-m", *cell, *TINY, "tracking=local", "energy=unmetered")
    assert ended.status == 0, ended.errors
    runs = results("multirun/rq1-smoke-digits-dense_poly-paper-paper_gp-0")
    assert [run["status"] for run in runs] == ["finished"] * 3
    assert {(run["model"], run["dataset"], run["epochs"]) for run in runs} == {
        ("dense_poly", "digits", 1)
    }
    assert all(run["inference"] == {} for run in runs)


@pytest.mark.slow
def test_the_eight_architectures_answer_which_layers_use_the_energy(
    cli: Cli, tmp_path: Path
) -> None:
    for conv, linear, relu in itertools.product((1, 4), (3, 7), ("false", "true")):
        cell = (f"model.conv_layers={conv}", f"model.linear_layers={linear}", f"model.relu={relu}")
        trials = "hydra.sweeper.n_trials=2"
        ended = cli("train.py", "-m", "experiment=rq2_layers", *cell, *TINY, trials)
        assert ended.status == 0, ended.errors
    factors = ["model.conv_layers", "model.linear_layers", "model.relu"]
    answered = cli(
        "analyse.py", "source=mlflow", "analysis=layers", f"analysis.factors=[{','.join(factors)}]"
    )
    assert answered.status == 0, answered.errors
    folder = tmp_path / "outputs" / "analysis" / "layers"
    anova = pd.read_csv(folder / "anova.csv")
    assert set(factors) < set(anova["term"])
    assert anova["df"].tolist() == [1] * 7 + [8]
    means = pd.read_csv(folder / "architectures.csv")
    assert len(means) == 8
    assert json.loads((folder / "analysis.json").read_text())["rows"] == 16
