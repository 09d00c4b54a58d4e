"""A folder of runs is a source: single runs, a sweep, or both, whichever program left them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from conftest import Finished

from greensweep.analysis import standard_table
from greensweep.config.schema_analysis import ColumnsConfig
from greensweep.config.store import save_run_config
from greensweep.errors import AnalysisError
from greensweep.files import write_json
from greensweep.record.result import RunResult, read_result, write_result
from greensweep.search.folders import OWNER_FILE
from greensweep.sources.folder import read_runs
from greensweep.study.trials import keep_searched

Cli = Callable[..., Finished]

RUN = RunResult(
    "finished", None, "mlp", "unknown", 0,
    metrics={"validation": {"macro_f1": 0.5}}, objective_metric="macro_f1",
    energy_joules=10.0, energy_spent_joules=15.0, energy_quality="estimated",
)  # fmt: skip


def leave(folder: Path, macro_f1: float, joules: float, trial: int | None = None) -> None:
    folder.mkdir(parents=True)
    overrides = () if trial is None else (f"rate={macro_f1}",)
    metrics = {"validation": {"macro_f1": macro_f1}}
    figures = {"energy_joules": joules, "energy_spent_joules": joules, "trial": trial}
    write_result(replace(RUN, metrics=metrics, overrides=overrides, **figures), folder)
    save_run_config({"rate": macro_f1, "net": {"width": 8}}, folder / "config.yaml")


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Two sweeps of two trials each, and two single runs, of a program of one's own."""
    for name, joules in (("first", 30.0), ("second", 40.0)):
        for trial, macro_f1 in enumerate((0.6, 0.9)):
            leave(tmp_path / "multirun" / name / str(trial), macro_f1, joules + trial, trial)
        write_json(tmp_path / "multirun" / name / OWNER_FILE, {"study_name": name, "folder": name})
    for number in range(2):
        leave(tmp_path / "outputs" / "mlp" / str(number), 0.7 + number / 10, 20.0 + number)
    return tmp_path


def test_sweeps_and_single_runs_stand_in_one_table(runs: Path) -> None:
    table = read_runs(runs).frame
    assert len(table) == 6
    assert sorted(table["search"].dropna().unique()) == ["multirun/first", "multirun/second"]
    assert table["trial"].isna().sum() == 2
    assert table["rate"].tolist() == table["macro_f1"].tolist()  # searched, or an option
    assert set(table["net.width"]) == {8}
    assert set(table["folder"]) >= {"multirun/first/0", "outputs/mlp/1"}


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (
            "multirun/first",
            "Take trial 1 (rate 0.9): the best by macro F1 (macro F1 0.9000) for 31 J",
        ),
        ("outputs", "Take mlp/1 (rate 0.8): the best by macro F1 (macro F1 0.8000) for 21 J"),
        ("outputs/mlp/0", "for 20 J. There is no other whose energy compares."),
        (".", "Take multirun/first/1 (rate 0.9): the best by macro F1 (macro F1 0.9000) for 31 J"),
    ],
)
def test_a_folder_is_analysed(cli: Cli, runs: Path, source: str, said: str) -> None:
    ended = cli("analyse.py", f"source={source}", "output=answers")
    assert ended.status == 0, ended.errors
    assert said in ended.output + ended.errors


def test_a_folder_is_reported(cli: Cli, runs: Path) -> None:
    ended = cli("report.py", "source=.", "output=page")
    assert ended.status == 0, ended.errors
    assert "macro F1" in (runs / "page" / "index.html").read_text()


def test_a_sweep_has_the_space_that_it_searched(runs: Path) -> None:
    keep_searched(runs / "multirun" / "first", ["rate"], "small rate=interval(0,1)")
    rows = read_runs(runs / "multirun").frame.groupby("search")["space"].first()
    assert rows["first"] == "small rate=interval(0,1)"
    assert pd.isna(rows["second"])


def test_of_runs_that_all_failed_the_first_says_why(cli: Cli, tmp_path: Path) -> None:
    for trial, error in enumerate(("no data", "no disk")):
        leave(folder := tmp_path / "runs" / str(trial), 0.5, 2.0)
        write_result(replace(RUN, status="failed", error=error), folder)
    ended = cli("report.py", "source=runs")
    assert (ended.status, ended.errors.count("\n")) == (1, 1)
    assert "no run of runs finished, of 2: columns.status has failed (2); the first: no data" in (
        ended.errors
    )


def test_runs_that_were_not_metered_are_refused_with_where_their_best_is(tmp_path: Path) -> None:
    leave(tmp_path / "run", 0.5, 2.0)
    bare = replace(RUN, energy_joules=None, energy_spent_joules=None, energy_quality="unmeasured")
    write_result(bare, tmp_path / "run")
    raw = read_runs(tmp_path).frame
    with pytest.raises(AnalysisError, match=r"nothing was metered: study\.json has the best"):
        standard_table(raw, ColumnsConfig(), "runs")


def test_a_folder_without_runs_is_refused_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(AnalysisError, match="holds no run: give the folder of a run, a sweep"):
        read_runs(tmp_path)


def test_single_runs_are_summarised_and_leave_no_summary_that_more_runs_would_make_stale(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from greensweep.__main__ import main

    assert main(["summarise", str(runs / "outputs")]) == 0
    assert (
        "Take trial 1: the best by macro F1 (macro F1 0.8000) for 21 J" in capsys.readouterr().out
    )
    assert not (runs / "outputs" / "study.json").exists()


def test_a_summary_says_that_runs_shared_their_machine(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from greensweep.__main__ import main

    alone = read_result(runs / "outputs" / "mlp" / "0")
    write_result(replace(alone, energy_contended=True), runs / "outputs" / "mlp" / "0")
    assert main(["summarise", str(runs / "outputs")]) == 0
    said = capsys.readouterr().out
    assert "1 of 2 metered trials shared the machine with other work" in said


def test_runs_that_are_compared_by_different_metrics_are_not_summarised_as_one(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from greensweep.__main__ import main

    other = runs / "outputs" / "other"
    other.mkdir()
    write_result(replace(RUN, objective_metric="accuracy", validation_accuracy=0.7), other)
    assert main(["summarise", str(runs / "outputs")]) == 1
    assert "compared by accuracy and by macro F1: name a folder" in capsys.readouterr().err
