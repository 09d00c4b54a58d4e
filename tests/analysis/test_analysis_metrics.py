"""Runs compared by another metric than accuracy, upwards or downwards."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from run_tables import runs, search

from greensweep.analysis import Result, analyse_tradeoff, compare_strategies, energy_bill
from greensweep.analysis.collect import analyses_of
from greensweep.config.schema_analysis import (
    ColumnsConfig,
    LayersConfig,
    ReportConfig,
    StrategiesConfig,
    TradeoffConfig,
)
from greensweep.errors import AnalysisError
from greensweep.rendering import build_page, report_tables, write_report

ROWS = [
    *search("random", [(10.0, 0.5), (20.0, None), (30.0, 0.75), (5.0, 0.25)]),
    *search("tpe", [(10.0, 0.25), (10.0, 0.75), (40.0, 0.875)]),
    *search("random", [(1.0, 0.5), (3.0, 0.625)], setting="wine"),
    *search("tpe", [(2.0, 0.625), (4.0, 0.5)], setting="wine"),
]


def called(rows: list[dict[str, Any]], name: str, times: float = 1.0, add: float = 0.0) -> Any:
    """Return the rows with another metric than accuracy, a line of it."""
    return [
        {
            **{key: value for key, value in row.items() if key != "accuracy"},
            name: None if row["accuracy"] is None else add + times * row["accuracy"],
        }
        for row in rows
    ]


def in_accuracy(table: pd.DataFrame, name: str, times: float, add: float) -> pd.DataFrame:
    """Return a table with a metric's columns as those of the accuracy that it was made from."""
    worse = "added" if times < 0 else "lost"
    figures = {"spread": (f"{name}_{worse}", "regret_at"), "rate": (f"{name}_per_extra",)}
    table = table.copy()
    for column in map(str, table.columns):
        if column.startswith(figures["spread"]):
            table[column] = table[column] / abs(times)
        elif column.startswith(figures["rate"]):
            table[column] = table[column] / times
        elif name in column:
            table[column] = (table[column] - add) / times
    renamed = {each: each.replace(f"{name}_{worse}", f"{name}_lost") for each in map(str, table)}
    renamed = {each: new.replace(name, "accuracy") for each, new in renamed.items()}
    return table.rename(columns=renamed)


# As good as the accuracy that they are made from: one upwards, one downwards from a worst of 1.
@pytest.mark.parametrize(("name", "times", "add"), [("macro_f1", 1.0, 0.0), ("brier", -1.0, 1.0)])
@pytest.mark.parametrize("analysis", ["strategies", "tradeoff"])
def test_a_metric_that_says_the_same_gives_the_same_answers(
    analysis: str, name: str, times: float, add: float
) -> None:
    def ask(rows: list[dict[str, Any]], **columns: Any) -> Result:
        table = runs(rows, **columns)
        if analysis == "tradeoff":
            return analyse_tradeoff(table, TradeoffConfig(resamples=100))
        return compare_strategies(table, StrategiesConfig(resamples=100))

    direction = None if times > 0 else "minimize"
    expected = ask(ROWS)
    found = ask(called(ROWS, name, times, add), metric=name, metric_direction=direction)
    assert found.runs.metric.name == name
    assert found.tables.keys() == expected.tables.keys()
    for table, frame in found.tables.items():
        if table in ("bands", "searches") and times < 0:
            # What counts before the first trial is the worst of the setting, not an accuracy of 0.
            frame = frame.drop(columns=[f"mean_best_{name}"], errors="ignore")
        theirs = in_accuracy(frame, name, times, add)
        if table != "bands" or times > 0:
            columns = [each for each in expected.tables[table] if each in theirs]
            pd.testing.assert_frame_equal(theirs[columns], expected.tables[table][columns])
    words = " ".join([*found.answers, *found.notes]).lower()
    assert "accura" not in words
    assert "points lost" not in words


def test_energy_to_a_lower_target_is_spent_until_the_error_is_that_low() -> None:
    rows = called(ROWS, "rmse", -100.0, 100.0)
    table = runs(rows, metric="rmse")
    found = compare_strategies(table, StrategiesConfig(target=50.0))
    needed = found.to_frame().set_index(["setting", "strategy"])["joules_to_target"]
    assert needed[("digits", "random")] == 10.0
    assert needed[("digits", "tpe")] == 20.0
    assert found.to_frame()["best_rmse"].tolist() == [25.0, 12.5, 37.5, 37.5]
    assert found.tables["curves"]["best_rmse"].tolist()[:2] == [50.0, 25.0]
    assert found.notes[0] == "The target is RMSE 50."
    tenth = compare_strategies(table, StrategiesConfig(fraction_of_best=0.5))
    assert set(tenth.to_frame()["target_rmse"]) == {25.0, 75.0}


def test_the_bands_of_an_error_have_their_lower_end_below() -> None:
    found = compare_strategies(runs(called(ROWS, "rmse", -1.0, 1.0), metric="rmse"), STRATEGIES)
    bands = found.tables["bands"]
    assert (bands["low"] <= bands["rmse"]).all()
    assert (bands["rmse"] <= bands["high"]).all()
    assert bands["rmse"].max() <= 0.75, "the worst trial counts before the first is done"


STRATEGIES = StrategiesConfig(resamples=100)


def test_the_best_by_an_error_is_recommended_under_its_name() -> None:
    points = [(50.0, 5.0), (52.5, 1.0), (80.0, 0.5), (90.0, 3.0)]
    rows = [{"dataset": "d", "rmse": rmse, "energy_joules": joules} for rmse, joules in points]
    found = analyse_tradeoff(runs(rows, metric="rmse"), TradeoffConfig(resamples=100))
    assert found.answers[0].startswith("Take configuration 1: the best by RMSE (RMSE 50) for 5 J.")
    front = found.tables["front"]
    assert front["rmse"].tolist() == [80.0, 52.5, 50.0]
    assert front["rmse_per_extra_kilojoule"].tolist()[1:] == [-55000.0, -625.0]
    assert found.tables["halving"]["rmse_added"].tolist()[:2] == [0.0, 2.5]
    assert found.figures["groups"]["d"]["knee_rmse"] == 52.5
    bill = energy_bill(runs(rows, metric="rmse"))
    assert "1.9 times the training of the best by RMSE of them" in bill.answers[0]


def test_the_volume_of_an_unbounded_metric_is_within_what_was_reached() -> None:
    rows = [
        {"dataset": "d", "rmse": rmse, "energy_joules": joules}
        for rmse, joules in [(20.0, 10.0), (10.0, 5.0), (30.0, 1.0)]
    ]
    found = analyse_tradeoff(runs(rows, metric="rmse"), TradeoffConfig(resamples=100))
    assert found.figures["groups"]["d"]["hypervolume"] == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"metric": "loss_of_mine"}, "set columns.metric_direction=maximize, or minimize"),
        ({"metric": "f2"}, "no column of runs.csv is called 'f2'"),
        ({}, "'accuracy': .*; columns.metric=NAME goes by another metric"),
        (
            {"metric": "macro_f1"},
            "columns.metric: macro_f1 of 1 finished run of runs.csv is above ",
        ),
    ],
)
def test_what_is_wrong_with_a_metric_is_said(columns: dict[str, Any], message: str) -> None:
    rows = [{"macro_f1": value, "energy_joules": 1.0} for value in (0.5, 71.0)]
    columns = {"metric_direction": "maximize", **columns} if "f2" in str(columns) else columns
    with pytest.raises(AnalysisError, match=message):
        runs(rows, **columns)


def test_a_target_out_of_the_metrics_range_is_refused() -> None:
    with pytest.raises(AnalysisError, match=r"analysis\.target must be accuracy, from 0 to 1"):
        compare_strategies(runs(ROWS), StrategiesConfig(target=1.5))
    negative = called(ROWS, "r2", 2.0, -1.5)
    with pytest.raises(AnalysisError, match=r"R², which may be negative: set analysis\.target"):
        compare_strategies(runs(negative, metric="r2"), StrategiesConfig(fraction_of_best=0.5))


def test_runs_are_compared_by_what_they_were_selected_by() -> None:
    rows = called(ROWS, "mine", -1.0, 9.0)
    theirs = {"objective_metric": "mine", "objective_direction": "minimize"}
    table = runs([{**row, **theirs} for row in rows])
    assert (table.metric.name, table.metric.direction) == ("mine", "minimize")
    assert analyse_tradeoff(table, TradeoffConfig()).tables["front"]["mine"].min() == 8.125
    mixed = runs([*({**row, **theirs} for row in rows), *ROWS[:2]])
    assert mixed.metric.name == "mine"
    assert "selected by several metrics (mine (10), accuracy (1))" in mixed.warnings[0]
    assert mixed.left_out == {"the mine is missing or no number": 1}


@pytest.mark.parametrize("name", ["macro_f1", "rmse"])
def test_no_word_of_accuracy_is_on_the_page_of_another_metric(name: str, tmp_path: Path) -> None:
    rows = [
        {**row, "model": model, "layers/conv": layers, "optimizer.learning_rate": row["trial"]}
        for model, layers in (("net", 1), ("wide", 2))
        for row in called([*ROWS, *search("grid", [(3.0, None)])], name)  # none finished
    ]
    config = ReportConfig(
        source="runs.csv",
        columns=ColumnsConfig(metric=name, setting=["dataset", "model"]),
        tradeoff=TradeoffConfig(resamples=100),
        strategies=STRATEGIES,
        layers=LayersConfig(),
        ui="http://localhost",
    )
    analyses = analyses_of(runs(rows, metric=name), config)
    page = write_report(
        tmp_path, "Runs", build_page(analyses, config), report_tables(analyses), {}
    ).read_text(encoding="utf-8")
    assert "accura" not in page.lower()
    assert not [file.name for file in tmp_path.glob("**/*.csv") if "accura" in file.read_text()]
    label = {"macro_f1": "Macro F1", "rmse": "RMSE"}[name]
    assert f"{label} against training energy" in page
    assert set(analyses.results) >= {"tradeoff", "strategies", "layers", "options"}
