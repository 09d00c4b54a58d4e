"""Which rows of a table count, and what is said of the others."""

from pathlib import Path

import pandas as pd
import pytest
from run_tables import runs, search

from greensweep.analysis import (
    analyse_tradeoff,
    compare_strategies,
    energy_bill,
    read_file,
    read_runs,
    standard_table,
)
from greensweep.config.schema_analysis import (
    ColumnsConfig,
    SourceConfig,
    StrategiesConfig,
    TradeoffConfig,
)
from greensweep.errors import AnalysisError
from greensweep.sources.table import qualities


def test_rows_that_cannot_be_used_are_counted_by_their_reason() -> None:
    table = runs(
        [
            {"energy_joules": 5.0, "accuracy": 0.5},
            {"energy_joules": 0.0, "accuracy": 1.0},
            {"energy_joules": None, "accuracy": 0.5},
            {"energy_joules": "n/a", "accuracy": 0.5},
            {"energy_joules": float("inf"), "accuracy": 0.5},
            {"energy_joules": -1.0, "accuracy": 0.5},
            {"energy_joules": 5.0, "accuracy": None},
            {"energy_joules": 5.0, "accuracy": -0.1},
        ]
    )
    assert table.rows == 8
    assert table.frame["energy_joules"].tolist() == [5.0, 0.0]
    assert table.left_out == {
        "the energy is missing or no number": 2,
        "the energy is infinite": 1,
        "the energy is negative": 1,
        "the accuracy is missing or no number": 1,
        "the accuracy is negative": 1,
    }


def test_runs_that_did_not_finish_have_an_energy_and_no_accuracy() -> None:
    table = runs(
        [
            {"energy_joules": 5.0, "accuracy": 0.5, "status": "finished"},
            {"energy_joules": 2.0, "accuracy": 0.9, "status": "pruned"},
            {"energy_joules": 1.0, "accuracy": None, "status": "failed"},
        ]
    )
    assert table.frame["_spent"].sum() == 8.0
    assert table.finished["accuracy"].tolist() == [0.5]
    assert not table.left_out


def test_an_infeasible_run_counts_in_energy_only() -> None:
    run = {"energy_joules": 5.0, "accuracy": 0.5, "status": "finished"}
    table = runs(
        [
            {**run, "infeasible": ""},
            {**run, "infeasible": None},
            {**run, "accuracy": 0.9, "infeasible": "max_joules_per_run, whole_run"},
            {**run, "status": "pruned", "infeasible": "whole_run"},
        ]
    )
    assert table.frame["_spent"].sum() == 20.0
    assert table.finished["accuracy"].tolist() == [0.5, 0.5]
    assert table.warnings == (
        "1 of 4 runs counted in energy only, as infeasible (a constraint of the search is broken, "
        "or the run was cheaper than a whole one)",
    )
    ends = energy_bill(table).tables["ends"].set_index("status")["runs"].to_dict()
    assert ends == {"finished": 2, "infeasible": 1, "pruned": 1}


def test_a_run_that_failed_before_its_training_keeps_what_it_spent() -> None:
    finished = {
        "energy_joules": 5.0,
        "energy_spent_joules": 6.0,
        "accuracy": 0.5,
        "energy_quality": "measured",
    }
    failed = {
        **finished,
        "energy_joules": None,
        "energy_spent_joules": 3.0,
        "status": "failed",
        "energy_quality": "unmeasured",
    }
    table = runs([{**finished, "status": "finished"}, failed, {**failed, "status": "pruned"}])
    assert table.frame["_spent"].sum() == 12.0
    assert table.left_out == {}
    assert table.warnings == (), "what was spent on it is measured"
    assert qualities(table.frame) == ["measured"]
    assert energy_bill(table).figures["spent_joules"] == 12.0
    broken = runs([finished, {**failed, "energy_spent_joules": None}])
    assert broken.left_out == {"the energy is missing or no number": 1}
    with pytest.raises(AnalysisError, match=r"energy of all runs of runs\.csv is 0"):
        runs([{**failed, "energy_spent_joules": 0.0}])


def test_a_failed_trial_counts_in_the_energy_to_target() -> None:
    trials = search("random", [(1.0, 0.5), (1.0, 0.9)]) + search("tpe", [(0.0, None), (1.0, 0.95)])
    for trial in trials:
        trial["energy_spent_joules"] = trial["energy_joules"]
    trials[2] |= {"status": "failed", "energy_joules": None, "energy_spent_joules": 7.0}
    searches = compare_strategies(runs(trials), StrategiesConfig()).tables["searches"]
    assert searches.set_index("strategy")["joules_to_target"].to_dict() == {
        "random": 2.0,
        "tpe": 8.0,
    }


def test_what_a_run_spent_in_all_stands_beside_its_training() -> None:
    table = runs(
        [
            {"energy_joules": 5.0, "energy_spent_joules": 9.0, "accuracy": 0.5},
            {"energy_joules": 5.0, "energy_spent_joules": None, "accuracy": 0.5},
        ]
    )
    assert table.frame["energy_joules"].tolist() == [5.0, 5.0]
    assert table.frame["_spent"].tolist() == [9.0, 5.0]


def test_trials_are_put_in_the_order_they_ran() -> None:
    table = runs([{"trial": n, "energy_joules": float(n), "accuracy": 0.5} for n in (2, 10, 1)])
    assert table.frame["energy_joules"].tolist() == [1.0, 2.0, 10.0]


def test_what_compares_badly_is_a_warning() -> None:
    one = {"energy_joules": 5.0, "accuracy": 0.5, "energy_quality": "measured", "machine": "a"}
    table = runs([one, {**one, "energy_quality": "estimated", "energy_contended": True}, one])
    assert table.warnings == (
        "the runs mix qualities of energy figures (estimated; measured): they compare badly",
        "1 of 3 runs shared the machine with other work, so that the energy is a share",
    )
    assert runs([one, one]).warnings == ()


def test_a_machine_that_is_not_told_is_none_of_its_own() -> None:
    one = {"energy_joules": 5.0, "accuracy": 0.5, "machine": "a"}
    table = runs([one, {**one, "machine": " "}, {**one, "machine": None}])
    assert table.frame["_machine"].tolist() == ["a", "unknown", "unknown"]
    assert table.warnings == ("the machine is not stated by 2 of 3 runs",)
    assert runs([{**one, "machine": ""}] * 2).warnings == ()


def test_machines_that_were_all_shared_are_a_warning_too() -> None:
    one = {"energy_joules": 5.0, "accuracy": 0.5, "energy_contended": True}
    shared = "shared the machine with other work, so that the energy is a share"
    assert runs([one, one]).warnings == (f"2 of 2 runs {shared}",)
    assert runs([one]).warnings == (f"1 of 1 run {shared}",)


def test_runs_whose_energy_does_not_compare_count_in_energy_only() -> None:
    one = {"energy_joules": 5.0, "accuracy": 0.5, "energy_comparable": True}
    table = runs([one, {**one, "energy_joules": 1.0, "energy_comparable": False}])
    assert table.frame["accuracy"].isna().tolist() == [False, True]
    assert table.warnings == (
        "1 of 2 runs counted in energy only, as the machine was shared while its idle power was "
        "not known, so that the energy does not compare",
    )


def test_runs_selected_on_test_are_a_warning() -> None:
    one = {"energy_joules": 5.0, "accuracy": 0.5, "status": "finished"}
    tested = {**one, "selected_on_test": True}
    failed = {**one, "status": "failed", "selected_on_test": False}
    assert runs([tested, tested, failed]).warnings == (
        "the runs were selected by their accuracy on the test split, so the best of them are "
        "optimistic",
    )
    assert runs([tested, one, one]).warnings == (
        "accuracy on the test split selected 1 of 3 finished runs, and not the others: they "
        "compare badly",
    )


def test_a_column_that_is_not_there_names_the_nearest() -> None:
    with pytest.raises(AnalysisError) as told:
        runs([{"energy_joule": 5.0, "accuracy": 0.5}])
    assert str(told.value) == (
        "columns.energy: no column of runs.csv is called 'energy_joules': did you mean "
        "energy_joule?"
    )


@pytest.mark.parametrize(
    ("option", "name", "nearest"),
    [
        ("spent", "energy_spnt_joules", "energy_spent_joules"),
        ("setting", ["datset", "model"], "dataset"),
        ("strategy", "stratgy", "strategy"),
        ("seed", "serch", "search"),
        ("order", "trail", "trial"),
        ("status", "statsu", "status"),
        ("quality", "energy_qualty", "energy_quality"),
        ("machine", "machin", "machine"),
        ("contended", "energy_contendd", "energy_contended"),
    ],
)
def test_a_column_that_the_user_names_has_to_be_there(
    option: str, name: str | list[str], nearest: str
) -> None:
    row = {"energy_joules": 1.0, "accuracy": 0.5}
    optional = ("energy_spent_joules", "dataset", "strategy", "search", "trial", "status")
    row |= dict.fromkeys((*optional, "energy_quality", "machine", "energy_contended"), 1)
    missing = name if isinstance(name, str) else name[0]
    with pytest.raises(AnalysisError) as told:
        runs([row], **{option: name})
    assert str(told.value).startswith(
        f"columns.{option}: no column of runs.csv is called {missing!r}: did you mean {nearest}"
    )
    assert len(runs([{"energy_joules": 1.0, "accuracy": 0.5}]).frame) == 1


def test_a_run_that_is_there_twice_is_refused() -> None:
    rows = [
        {"energy_joules": 1.0, "accuracy": accuracy, "run_id": run_id}
        for accuracy, run_id in ((0.5, "x"), (0.6, "y"), (0.7, "x"), (0.8, None), (0.9, None))
    ]
    with pytest.raises(AnalysisError, match=r"^runs\.csv has the run x twice, and 1 such row"):
        runs(rows)
    assert len(runs(rows[1:]).frame) == 4


def test_a_trial_that_is_copied_is_refused() -> None:
    one = {"energy_joules": 1.0, "accuracy": 0.5, "trial": 3, "options": [1]}
    with pytest.raises(AnalysisError, match=r"^runs\.csv has trial 3 twice, and 2 such rows"):
        runs([one] * 3)
    named = {**one, "strategy": "tpe", "dataset": "d"}
    with pytest.raises(AnalysisError, match=r"has trial 3 of tpe in d twice"):
        runs([named] * 2)
    assert len(runs([one, {**one, "options": [2]}]).frame) == 2, "another trial"
    assert len(runs([{**one, "trial": None}] * 2).frame) == 2, "trials are not numbered"


def test_nothing_that_can_be_used_is_one_sentence() -> None:
    with pytest.raises(AnalysisError, match=r"runs\.csv has no runs"):
        runs([])
    with pytest.raises(AnalysisError, match=r"can be used \(2 rows: the energy is negative"):
        runs([{"energy_joules": -1.0, "accuracy": 0.5}] * 2)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty: give a table with a header line"),
        ("a,b\n1,2\n1,2,3\n", r"runs.csv, line 3 has more cells than .* \(3, not 2\): name every"),
        ("a,b\n1,2,3\n1,2\n", r"runs.csv, line 2 has more cells than .* \(3, not 2\)"),
        ("a,b\n1,2\n\n1\n1,2,3\n", r"runs.csv, line 4 has fewer cells than .* \(1, not 2\): write"),
        ('a,b\n"1\n2",2\n1\n', r"runs.csv, line 4 has fewer cells than .* \(1, not 2\): write"),
        ('a,b\n1,2\n"1,2\n1,2\n', r"runs.csv, line 3 has a quote that is not closed"),
        ('a,b\n1,2\n1,"2\n1,2\n', r"runs.csv, line 3 has a quote that is not closed"),
        (None, "is no file: give a CSV or Parquet file, the folder of runs or sweeps, or mlflow"),
    ],
)
def test_a_broken_file_is_one_sentence(tmp_path: Path, text: str | None, said: str) -> None:
    path = tmp_path / "runs.csv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(AnalysisError, match=said) as told:
        read_file(path)
    assert "\n" not in str(told.value)


def test_parquet_and_csv_are_the_same_table(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {"energy_joules": [5.0, 6.5], "accuracy": [0.5, 0.25], "model": ["a", "b"]}
    )
    frame.to_parquet(tmp_path / "runs.parquet")
    frame.to_csv(tmp_path / "runs.csv", index=False)
    pd.testing.assert_frame_equal(
        read_file(tmp_path / "runs.parquet"), read_file(tmp_path / "runs.csv"), check_dtype=False
    )
    (tmp_path / "broken.parquet").write_bytes(b"no parquet")
    with pytest.raises(AnalysisError, match=r"broken\.parquet cannot be read"):
        read_file(tmp_path / "broken.parquet")


def test_runs_that_cost_nothing_are_refused() -> None:
    with pytest.raises(AnalysisError, match=r"energy of all runs of runs\.csv is 0"):
        runs([{"energy_joules": 0.0, "accuracy": 0.5}] * 2)


def test_a_file_in_another_encoding_says_so(tmp_path: Path) -> None:
    (tmp_path / "runs.csv").write_bytes("dataset,accuracy\na,1\ncafé,0.5\n".encode("latin-1"))
    with pytest.raises(AnalysisError, match="line 3 is no UTF-8 text"):
        read_file(tmp_path / "runs.csv")


@pytest.mark.parametrize("name", ["runs.csv", "runs.csv.gz"])
def test_cells_that_are_empty_break_no_line(tmp_path: Path, name: str) -> None:
    cells = {"a": ["x, y", "two\nlines", "z" * 200_000], "b": [1.0, None, None]}
    frame = pd.DataFrame(cells)
    frame.to_csv(tmp_path / name, index=False, encoding="utf-8-sig")
    pd.testing.assert_frame_equal(read_file(tmp_path / name), frame)


def test_a_flag_may_be_a_text() -> None:
    one = {"energy_joules": 5.0, "accuracy": 0.5}
    flags = ("False", "true", "0", "1")
    table = runs([{**one, "energy_contended": flag} for flag in flags])
    assert table.frame["_contended"].tolist() == [False, True, False, True]


def test_a_line_with_more_cells_than_names_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    path.write_text("energy_joules,accuracy\n1,0.5,7\n2,0.6,7\n")
    with pytest.raises(AnalysisError, match="more cells than its header has names"):
        read_file(path)


def test_a_column_that_is_there_twice_is_refused() -> None:
    frame = pd.DataFrame([[1.0, 0.5, 2.0]], columns=["energy_joules", "accuracy", "energy_joules"])
    with pytest.raises(AnalysisError, match="two columns called energy_joules"):
        standard_table(frame, ColumnsConfig(), "runs.csv")


def test_categories_and_nullable_numbers_count_like_others() -> None:
    frame = pd.DataFrame(
        {
            "energy_joules": pd.array([5, None, 7], dtype="Int64"),
            "accuracy": pd.array([0.5, 0.6, 0.7], dtype="Float64"),
            "dataset": pd.Categorical(["a", "b", "a"]),
            "flag": pd.array([True, None, False], dtype="boolean"),
        }
    )
    table = standard_table(frame, ColumnsConfig(setting=["dataset"]), "runs.csv")
    assert table.frame["energy_joules"].tolist() == [5.0, 7.0]
    assert table.frame["_setting"].tolist() == ["a", "a"]
    both = ColumnsConfig(setting=["dataset", "model"])
    named = frame.assign(dataset="unknown", model="toy")
    assert set(standard_table(named, both, "runs.csv").frame["_setting"]) == {"toy"}
    assert table.left_out == {"the energy is missing or no number": 1}
    assert table.frame["flag"].tolist() == [True, False]


def test_the_users_columns_keep_their_values() -> None:
    row = {
        "energy_joules": 1.0,
        "accuracy": 0.5,
        "seed": 7,
        "order": 3,
        "setting": "x",
        "status": 1,
    }
    table = runs([row], status=None)
    assert table.frame[["seed", "order", "setting", "status"]].iloc[0].tolist() == [7, 3, "x", 1]


def test_a_status_in_capitals_counts_and_others_are_named() -> None:
    row = {"energy_joules": 1.0, "accuracy": 0.5}
    assert len(runs([{**row, "status": "FINISHED"}]).finished) == 1
    with pytest.raises(AnalysisError, match=r"columns\.status has done \(2\)"):
        _ = runs([{**row, "status": "done"}, {**row, "status": "Done"}]).finished


def test_energy_that_no_training_takes_is_left_out() -> None:
    rows = [{"energy_joules": each, "accuracy": 0.5} for each in (1.0, 1e300)]
    assert runs(rows).left_out == {"the energy is above 1e+21 J, which no training takes": 1}


def test_an_analysis_may_be_asked_of_some_runs_only() -> None:
    rows = [
        {"trial": n, "energy_joules": 1.0 + n, "accuracy": 0.5, "experiment": name}
        for n, name in enumerate(["layers", "strategies", "layers"])
    ]
    table = runs(rows)
    assert list(table.only({"experiment": "layers"}, "layers.where").frame["energy_joules"]) == [
        1,
        3,
    ]
    assert list(table.only({"trial": 1}, "layers.where").frame["energy_joules"]) == [2]
    assert table.only(None, "layers.where") is table
    with pytest.raises(AnalysisError, match=r"layers.where must be values by column, got layers"):
        table.only("layers", "layers.where")
    with pytest.raises(
        AnalysisError, match=r"layers.where.experiment=rq3 leaves no run .*layers, "
    ):
        table.only({"experiment": "rq3"}, "layers.where")
    with pytest.raises(AnalysisError, match=r"layers.where.experimnt: .*experiment"):
        table.only({"experimnt": "layers"}, "layers.where")


def test_the_answer_names_what_was_chosen_in_a_table_of_others(tmp_path: Path) -> None:
    """And no figures, ids and moments, which nobody chose."""
    table = {
        "run_id": [f"{place:08x}{'a' * 24}" for place in range(3)],
        "started": ["9:00", "9:05", "9:10"],
        "note": ["a", "b", "c"],
        "lr": [0.1, 0.01, 0.001],
        "width": 8,
        "loss": ["mse", "mse", "huber"],
        "train_loss": [3.0, 2.0, 1.0],
        "gpu_energy": [1.0, 2.0, 3.0],
        "val_rmse": [3.0, 2.0, 1.0],
        "energy_joules": [10.0, 20.0, 30.0],
        "accuracy": [0.7, 0.8, 0.9],
    }
    pd.DataFrame(table).to_csv(tmp_path / "runs.csv", index=False)
    found = analyse_tradeoff(
        read_runs(SourceConfig(source=f"{tmp_path}/runs.csv", columns=ColumnsConfig())),
        TradeoffConfig(),
    )
    assert found.answers[0].startswith(
        "Take run 00000002 (lr 0.001, loss huber): the most accurate"
    )
    front = found.tables["front"]
    assert front["lr"].tolist() == [0.1, 0.01, 0.001]
    assert front["is_chosen"].tolist() == [False, False, True]
    assert not {"train_loss", "gpu_energy", "val_rmse", "note"} & set(front)
