"""Runs out of tables that Weights & Biases exports."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from conftest import Finished
from other_tools import WANDB, codecarbon_row, write_codecarbon

from greensweep.errors import AnalysisError
from greensweep.sources.wandb_table import read_wandb

NAMED = ("columns=wandb", "columns.energy=energy_kwh", "columns.accuracy=val/acc")


def test_the_exported_runs_table_is_analysed(cli: Callable[..., Finished], tmp_path: Path) -> None:
    (tmp_path / "wandb.csv").write_text(WANDB)
    finished = cli("analyse.py", "source=wandb.csv", *NAMED)
    assert finished.status == 0, finished.errors
    assert "the most accurate (accuracy 0.7500) for 216 kJ" in finished.output
    assert "3 runs, 100 Wh, of 3 rows of wandb.csv" in finished.output, "also the crashed one"
    frame = read_wandb(tmp_path / "wandb.csv").frame
    assert frame["status"].tolist() == ["finished", "finished", "failed"]
    assert frame["seconds"].tolist() == [600, 700, 200]


def test_a_table_of_its_api_has_options_and_figures_as_columns(tmp_path: Path) -> None:
    summaries = [
        {"val/acc": 0.5, "loss": float("nan"), "best": {"max": 0.6}, "lr": 0.05},
        {"val/acc": 0.75, "loss": float("-inf"), "_wandb": {"runtime": 3}},
    ]
    configs = [{"lr": 0.1, "layers": [1, 2]}, {"lr": 0.2, "layers": None}]
    table = {"summary": summaries, "config": configs, "name": ["net-1", "net-2"]}
    pd.DataFrame(table).to_csv(tmp_path / "project.csv")  # the example of its documentation
    frame = read_wandb(tmp_path / "project.csv").frame
    assert frame["val/acc"].tolist() == [0.5, 0.75]
    assert frame["lr"].tolist() == [0.1, 0.2]
    assert frame["summary.lr"].tolist()[0] == 0.05
    assert frame["best.max"].tolist()[0] == 0.6
    assert pd.isna(frame["loss"][0])
    assert frame["loss"][1] == float("-inf")
    assert frame["run_name"].tolist() == ["net-1", "net-2"]


def test_energy_of_codecarbon_is_joined_with_its_runs(
    cli: Callable[..., Finished], tmp_path: Path
) -> None:
    rows = [
        codecarbon_row(str(number), 100.0 * number, "2026-05-04T08:00:00", project_name=name)
        for number, name in enumerate(("net-1", "net-2", "net-3"), start=1)
    ]
    write_codecarbon(tmp_path / "emissions.csv", rows)
    (tmp_path / "wandb.csv").write_text(WANDB)
    joined = ("join=wandb.csv", "on={project_name: Name}", "columns.status=State")
    named = ("columns=codecarbon", "columns.accuracy=val/acc")
    finished = cli("analyse.py", "source=emissions.csv", *named, *joined)
    assert finished.status == 0, finished.errors
    assert "the most accurate (accuracy 0.7500) for 65 kJ" in finished.output


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("accuracy,energy\n0.5,1\n", "has none of the columns Name, ID and State"),
        ("name,summary\na,<Summary>\n", "row 1 below the header: summary is no dictionary"),
        ("name,summary\na,{}\nb,\"{'a': exit()}\"\n", "row 2 below the header: summary is no dict"),
        ("name,config\na,[1]\n", "row 1 below the header: config is no dictionary"),
        ('"Name","lr","lr"\n"a","1","2"\n', "has two columns called lr: rename one of them"),
    ],
)
def test_what_is_no_such_table_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "wandb.csv").write_text(text)
    with pytest.raises(AnalysisError) as refused:
        read_wandb(tmp_path / "wandb.csv")
    assert said in str(refused.value)
