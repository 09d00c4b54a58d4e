"""CSV files of people and other programs: the same to every room, and safe in a spreadsheet."""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from conftest import Finished

from greensweep.analysis import RunTable, read_file, standard_table
from greensweep.analysis.result import Result
from greensweep.config import schema_energy
from greensweep.config.schema_analysis import ColumnsConfig
from greensweep.config.schema_replay import ReplayColumnsConfig
from greensweep.csv_files.cells import write_frame, write_rows
from greensweep.energy import build_meter
from greensweep.errors import AnalysisError, EnergyError, StudyError
from greensweep.record.result import RunResult
from greensweep.rendering import write_report
from greensweep.rendering.page import Section
from greensweep.runs.replay.table import read_table
from greensweep.runs.trained import write_table
from greensweep.study.summary import summarise, write_summary
from greensweep.study.trials import Trial
from greensweep.training.layer_time import LayerTime, LayerTimes

PLAIN = "lr,accuracy,energy_joules\n0.1,0.5,1234.5\n0.01,0.25,999\n0.001,1,12000\n"


@pytest.fixture
def table(tmp_path: Path) -> Callable[..., RunTable]:
    """Read a file's content as a table of runs."""

    def read(content: str | bytes, name: str = "runs.csv", **columns: Any) -> RunTable:
        data = content.encode() if isinstance(content, str) else content
        (tmp_path / name).write_bytes(data)
        return standard_table(read_file(tmp_path / name), ColumnsConfig(**columns), "runs.csv")

    return read


Read = Callable[..., RunTable]

# --- one table, written in many ways ------------------------------------------------------------

SAME = {
    "byte order mark": "\ufeff" + PLAIN,
    "UTF-16": PLAIN.encode("utf-16"),
    "Windows": PLAIN.replace("\n", "\r\n"),
    "old Mac": PLAIN.replace("\n", "\r"),
    "blank lines": PLAIN.replace("\n", "\n\n"),
    "tabs": PLAIN.replace(",", "\t"),
    "bars": PLAIN.replace(",", "|"),
    "semicolons": PLAIN.replace(",", ";"),
    "decimal commas": PLAIN.replace(",", ";").replace(".", ","),
    "decimal commas and points of thousands": (
        "lr;accuracy;energy_joules\n0,1;0,5;1.234,5\n0,01;0,25;999\n0,001;1;12.000\n"
    ),
    "Excel's hint": "sep=;\r\n" + PLAIN.replace(",", ";"),
    "spaces": PLAIN.replace(",", " , "),
    "thousands": (
        'lr,accuracy,energy_joules\n0.1,0.5,"1,234.5"\n0.01,0.25,999\n0.001,1,"12,000"\n'
    ),
    "thin spaces": PLAIN.replace("1234.5", "1\u202f234.5").replace("12000", "12\u2009000"),
    "apostrophes": PLAIN.replace("1234.5", "1'234.5").replace("12000", "12’000"),
    "exponents": PLAIN.replace("1234.5", "1.2345E3").replace("12000", "1.2e+04"),
    "units": PLAIN.replace("1234.5", "1.2345 kJ").replace("12000", "0.012MJ"),
    "percent": PLAIN.replace("0.5", "50 %").replace("0.25", "25%").replace(",1,", ",100 %,"),
    "nameless columns": ",lr,accuracy,energy_joules,\n0,0.1,0.5,1234.5,\n1,0.01,0.25,999,\n"
    "2,0.001,1,12000,\n",
}  # fmt: skip


@pytest.mark.parametrize("content", SAME.values(), ids=SAME.keys())
def test_a_table_is_the_same_to_analyses_and_to_replays(
    table: Read, tmp_path: Path, content: str | bytes
) -> None:
    runs = table(content).frame
    assert sorted(zip(runs["lr"], runs["accuracy"], runs["energy_joules"], strict=True)) == [
        (0.001, 1.0, 12000.0),
        (0.01, 0.25, 999.0),
        (0.1, 0.5, 1234.5),
    ]
    replayed = read_table(tmp_path / "runs.csv", options=["lr"]).configurations
    assert [
        (each.values["lr"], each.curve[0].accuracy, each.curve[0].joules) for each in replayed
    ] == [(0.1, 0.5, 1234.5), (0.01, 0.25, 999.0), (0.001, 1.0, 12000.0)]


REFUSED = {
    "either number": (PLAIN.replace("1234.5", '"1,234"'), "may be 1.234 or 1234, got '1,234'"),
    "both marks": (
        PLAIN.replace("1234.5", '"1234,5"').replace("999", "99.9"),
        "has a decimal comma in '1234,5' and a decimal point in '99.9': write both alike",
    ),
    "text": (PLAIN.replace("999", "much"), "must be a number, got 'much'"),
    "date": (PLAIN.replace("999", "2026-03-05"), "must be a number, got '2026-03-05'"),
    "Excel's date": (PLAIN.replace("999", "05. Mar"), "must be a number, got '05. Mar'"),
    "flag": (PLAIN.replace("999", "TRUE"), "must be a number, got 'TRUE'"),
    "another unit": (PLAIN.replace("999", "999 cal"), "'cal' is no unit, nor one of uJ, "),
    "header again": (PLAIN + PLAIN, "must be a number, got "),
    "two accuracies": (
        PLAIN.replace("lr,", "accuracy,"), "has two columns called accuracy: rename one of them"
    ),
    "two with space": (
        PLAIN.replace("lr,", "accuracy ,"), "has two columns called accuracy: rename one of them"
    ),
    "no header": (PLAIN.partition("\n")[2], "line 1 holds numbers (0.1, 0.5, 1234.5), not the nam"),
    "empty": ("", "is empty: give a table with a header line"),
    "blanks": ("  \n\n \n", "is empty: give a table with a header line"),
    "no names": (",,\n1,2,3\n", "is empty: give a table with a header line"),
    "NUL": (PLAIN.encode() + b"0.1,\0,1\n", "line 1 is no UTF-8 text"),
    "title": ("Results of May\n" + PLAIN, "line 2 has more cells than its header has names (3, "),
    "bytes": (b"PK\x03\x04\x00\x00", "line 1 is no UTF-8 text"),
    "Latin-1": ("lr,accuracy,energy_joules,é\n".encode("latin-1"), "line 1 is no UTF-8 text"),
    "percent": (PLAIN.replace(",1,", ",83,"), "accuracy"),
}  # fmt: skip


@pytest.mark.parametrize(("content", "said"), REFUSED.values(), ids=REFUSED.keys())
def test_what_could_be_read_in_two_ways_is_refused_by_both(
    table: Read, tmp_path: Path, content: str | bytes, said: str
) -> None:
    with pytest.raises(AnalysisError) as refused:
        table(content)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
    with pytest.raises(StudyError) as refused_too:
        read_table(tmp_path / "runs.csv", options=["lr"])
    assert said in str(refused_too.value)


def test_missing_figures_are_told_and_no_other_row_is_left_out(table: Read) -> None:
    marks = ("", "NA", "nan", "None", "N/A", "-", "#N/A")
    rows = "".join(f"0.5,{mark}\n" for mark in marks)
    runs = table("accuracy,energy_joules\n0.5,1\n" + rows)
    assert runs.left_out == {"the energy is missing or no number": len(marks)}
    assert table("accuracy,energy_joules\n0.5,inf\n0.5,1\n").left_out == {
        "the energy is infinite": 1
    }


# --- names are names ----------------------------------------------------------------------------


def test_strategies_and_data_sets_may_be_called_na_and_none(table: Read) -> None:
    runs = table(
        "strategy,dataset,model,accuracy,energy_joules\n"
        "NA,None,nan,0.5,1\nnull,None,nan,0.6,2\ngrid,NA,m,0.7,3\n"
    )
    assert list(runs.frame["_strategy"]) == ["grid", "NA", "null"]
    assert list(runs.frame["_setting"]) == ["NA m", "None nan", "None nan"]


def test_numbers_that_are_missing_do_not_make_texts_of_the_others(table: Read) -> None:
    frame = table("flops,lr,accuracy,energy_joules\nNA,1e-3,0.5,1\n200,nan,0.5,2\n").frame
    assert frame["flops"].sum() == 200
    assert frame["lr"].sum() == 1e-3


def test_a_text_of_two_numbers_is_no_decimal_comma(table: Read) -> None:
    frame = table('widths,accuracy,energy_joules\n"3,4",0.5,1\n"64,128",0.5,2\n').frame
    assert list(frame["widths"]) == ["3,4", "64,128"]


def test_flags_and_states_that_say_nothing_are_as_if_not_there(table: Read) -> None:
    runs = table(
        "accuracy,energy_joules,status,infeasible,energy_contended\n"
        "0.5,1,NA,none,nan\n0.6,2, Finished ,False,FALSE\n0.7,3,finished,,TRUE\n"
    )
    assert list(runs.finished["accuracy"]) == [0.5, 0.6, 0.7]
    assert runs.frame["_contended"].sum() == 1
    with pytest.raises(AnalysisError, match=r"columns\.contended: .* must be true or false, got"):
        table("accuracy,energy_joules,energy_contended\n0.5,1,wahr\n")


def test_a_status_of_another_program_is_named(table: Read) -> None:
    runs = table("accuracy,energy_joules,status\n0.5,1,finished\n0.6,2,COMPLETE\n")
    assert runs.warnings == (
        "1 of 2 runs counted in energy only, as the status is not finished, failed, pruned or "
        "stopped but complete, say",
    )


def test_copies_are_seen_behind_the_numbers_of_rows(table: Read) -> None:
    with pytest.raises(AnalysisError, match="has trial 0 twice"):
        table(",trial,accuracy,energy_joules\n0,0,0.5,1\n1,0,0.5,1\n")


def test_rows_that_are_copies_are_told_where_their_joules_could_differ(table: Read) -> None:
    row = "0.5,1234.56789\n"
    runs = table("accuracy,energy_joules\n" + row + row + row + "0.5,2\n0.5,2\n")
    assert runs.warnings == ("copies of other rows, each counted as a run: 2",)


@pytest.mark.parametrize("name", ["runs.csv.gz", "runs.csv.bz2", "runs.csv.xz", "runs.zip"])
def test_a_table_may_be_packed_and_a_torn_one_is_refused(
    table: Read, tmp_path: Path, name: str
) -> None:
    (tmp_path / "plain.csv").write_text(PLAIN)
    pd.read_csv(tmp_path / "plain.csv").to_csv(tmp_path / name, index=False)
    packed = (tmp_path / name).read_bytes()
    assert len(table(packed, name).frame) == len(
        read_table(tmp_path / name, options=["lr"]).configurations
    )
    with pytest.raises(AnalysisError, match=r"cannot be (unpacked|read)"):
        table(packed[: len(packed) // 2], name)
    with pytest.raises(StudyError, match=r"cannot be (unpacked|read)"):
        read_table(tmp_path / name, options=["lr"])


# --- odd types of Parquet -----------------------------------------------------------------------


def test_odd_types_of_parquet_are_read_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "runs.parquet"
    odd: dict[str, Any] = {
        "energy_joules": [Decimal("1.5"), Decimal(2)],
        "accuracy": pd.Categorical([0.5, 0.25]),
        "dataset": [["a", "b"], ["c"]],
        "when": pd.to_datetime(["2026-01-01", "2026-01-02"]),
        "took": pd.to_timedelta([1, 2], unit="s"),
    }
    pd.DataFrame(odd, index=[7, 7]).to_parquet(path)
    runs = standard_table(read_file(path), ColumnsConfig(), "runs")
    assert sorted(runs.frame["energy_joules"]) == [1.5, 2.0]
    assert len(set(runs.frame["_setting"])) == 2
    for name in ("when", "took", "dataset"):
        with pytest.raises(AnalysisError, match=rf"columns\.energy: .* {name} must be a number"):
            standard_table(read_file(path), ColumnsConfig(energy=name), "runs")
    flags = pd.DataFrame({"energy_joules": [1.0], "accuracy": [True]})
    with pytest.raises(AnalysisError, match="accuracy must be a number, got True"):
        standard_table(flags, ColumnsConfig(), "runs")


# --- units --------------------------------------------------------------------------------------

CODECARBON = "timestamp,duration,emissions,energy_consumed,accuracy\n2026-01-01,450,1e-3,0.00375,.9"


def test_codecarbons_kilowatt_hours_are_known(table: Read) -> None:
    assert table(CODECARBON, energy="energy_consumed").frame["energy_joules"].tolist() == [13500.0]


def test_codecarbons_column_in_another_table_is_asked_for(table: Read) -> None:
    bare = "energy_consumed,accuracy\n0.00375,0.9\n"
    with pytest.raises(AnalysisError, match=r"names no unit.* set columns\.energy_unit=kWh, or"):
        table(bare, energy="energy_consumed")
    for unit, joules in (("kWh", 13500.0), ("J", 0.00375)):
        runs = table(bare, energy="energy_consumed", energy_unit=unit)
        assert runs.frame["energy_joules"].tolist() == [joules]


@pytest.mark.parametrize(
    ("name", "unit", "joules"),
    [
        ("energy_joules", None, 2.0),
        ("energy_kwh", None, 7.2e6),
        ("energy (kWh)", None, 7.2e6),
        ("power_consumption(kWh)", None, 7.2e6),
        ("Energy [kJ]", None, 2e3),
        ("total_Wh", None, 7.2e3),
        ("energy_MJ", None, 2e6),
        ("pkg_uJ", None, 2e-6),
        ("cost", None, 2.0),
        ("cost", "mWh", 7.2),
        ("energy_joules", "kJ", 2e3),
    ],
)
def test_a_unit_is_what_is_declared_or_what_the_name_says(
    table: Read, tmp_path: Path, name: str, unit: Any, joules: float
) -> None:
    content = f"{name},lr,accuracy\n2,1,0.5\n"
    frame = table(content, energy=name, energy_unit=unit).frame
    assert frame["energy_joules"].tolist() == pytest.approx([joules])
    columns = ReplayColumnsConfig(energy=name, energy_unit=unit)
    replayed = read_table(tmp_path / "runs.csv", options=["lr"], columns=columns)
    assert replayed.configurations[0].curve[0].joules == pytest.approx(joules)
    meter = build_meter(
        schema_energy.ReplayConfig(path=str(tmp_path / "runs.csv"), column=name, unit=unit)
    )
    meter.start()
    assert meter.lap().joules == pytest.approx(joules)


def test_a_unit_that_may_be_milli_or_mega_is_asked_for(table: Read) -> None:
    with pytest.raises(AnalysisError, match=r"energy_mj may be of milli or of mega \(mj\): set "):
        table("energy_mj,accuracy\n2,0.5\n", energy="energy_mj")


def test_what_runs_spent_has_the_unit_of_its_own_name(table: Read) -> None:
    content = "energy_kwh,energy_spent_joules,accuracy\n1,4e6,0.5\n"
    frame = table(content, energy="energy_kwh").frame
    assert frame[["energy_joules", "_spent"]].iloc[0].tolist() == [3.6e6, 4e6]


@pytest.mark.parametrize("columns", [{"accuracy_unit": "percent"}, {"accuracy": "top1_pct"}])
def test_accuracies_in_percent(table: Read, columns: dict[str, str]) -> None:
    name = columns.get("accuracy", "accuracy")
    content = f"{name},energy_joules\n95,1\n0.8,2\n100,3\n"
    assert table(content, **columns).frame["accuracy"].tolist() == [0.95, 0.008, 1.0]


def test_accuracies_above_one_are_asked_about(table: Read) -> None:
    with pytest.raises(AnalysisError) as refused:
        table("accuracy,energy_joules\n95,1\n0.8,2\n")
    assert str(refused.value) == (
        "columns.accuracy: accuracy of 1 finished run of runs.csv is above 1, such as 95: set "
        "columns.accuracy_unit=percent if they are percent, columns.metric if they are another "
        "metric, else correct them"
    )


# --- plausible power ----------------------------------------------------------------------------


def timed(joules: float, quality: str = "measured") -> str:
    return f"lr,accuracy,energy_joules,seconds,energy_quality\n1,0.5,{joules},100,{quality}\n"


@pytest.mark.parametrize("joules", [3.75e-5, 3.6e9])
def test_a_power_that_no_machine_draws_is_refused(
    table: Read, tmp_path: Path, joules: float
) -> None:
    with pytest.raises(AnalysisError, match=r"W in the median run, .* columns\.energy_unit=kWh"):
        table(timed(joules))
    with pytest.raises(StudyError, match=r"W in the median run, .* replay\.columns\.energy_unit="):
        read_table(tmp_path / "runs.csv", options=["lr"])
    assert not table(timed(joules), seconds=None).warnings
    assert not table(timed(joules, "replayed")).warnings


@pytest.mark.parametrize(("joules", "doubtful"), [(3.0, True), (3000.0, False), (3e6, True)])
def test_a_power_that_few_machines_draw_is_warned_of(
    table: Read, tmp_path: Path, joules: float, doubtful: bool
) -> None:
    runs = table(timed(joules))
    assert any("is columns.energy_unit right?" in each for each in runs.warnings) == doubtful
    assert bool(read_table(tmp_path / "runs.csv", options=["lr"]).warnings) == doubtful


def test_codecarbons_seconds_are_known_too(table: Read) -> None:
    with pytest.raises(AnalysisError, match=r"energy_consumed over duration is 8\.33e-06 W in the"):
        table(CODECARBON, energy="energy_consumed", energy_unit="J")


def test_a_trace_that_is_not_in_watts_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "trace.csv").write_text("s,w\n0,70000\n1,71000\n")
    asked = schema_energy.ReplayConfig(
        path=str(tmp_path / "trace.csv"), column="w", time_column="s"
    )
    build_meter(asked)
    assert "is 7.05e+04 W in the median run, more than a machine draws: it must be" in caplog.text
    (tmp_path / "trace.csv").write_text("s,w\n0,70 mW\n1,much\n")
    with pytest.raises(EnergyError, match=r"line 3: w must be a number, got 'much'"):
        build_meter(asked)


def test_a_command_tells_units_in_one_sentence(
    cli: Callable[..., Finished], tmp_path: Path
) -> None:
    (tmp_path / "emissions.csv").write_text(CODECARBON + "\n2026-01-02,900,2e-3,0.0075,.95\n")
    named = ("analyse.py", "source=emissions.csv", "columns.energy=energy_consumed")
    ended = cli(*named, "output=out")
    assert ended.status == 0
    front = pd.read_csv(tmp_path / "out" / "tradeoff" / "front.csv")
    assert front["energy_joules"].tolist() == [13500.0, 27000.0]
    ended = cli(*named, "columns.energy_unit=J", "output=out2")
    assert ended.status == 1
    assert ended.errors.strip().count("\n") == 0
    assert "Error: emissions.csv: energy_consumed over duration is 8.33e-06 W" in ended.errors


# --- cells that a spreadsheet would run ---------------------------------------------------------

RUN = ("=1+1", "+cmd|'/c calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "＝1", "'=1", "''+x")
HARMLESS = ("-0.5", "+1e-3", "-inf", "adam", "'tis", "a=b", "x-y", "", "-.5", "−1", "5%")


@pytest.mark.parametrize("text", [*RUN, *HARMLESS])
def test_a_text_is_read_as_it_was_written(tmp_path: Path, text: str) -> None:
    write_rows([["name", "other"], [text, "x"], ["plain", "y"]], tmp_path / "rows.csv")
    write_frame(pd.DataFrame({"name": [text, "plain"], "other": ["x", "y"]}), tmp_path / "f.csv")
    for path in (tmp_path / "rows.csv", tmp_path / "f.csv"):
        cells = path.read_text(encoding="utf-8").splitlines(keepends=True)
        assert any(cell.startswith(("'", "\"'")) for cell in cells) == (
            text in RUN or text.startswith("'")
        )
        assert read_file(path)["name"].fillna("").tolist() == [text, "plain"]


def test_numbers_and_names_of_columns_stay_what_they_are(tmp_path: Path) -> None:
    frame = pd.DataFrame({"=x": [-0.5, 2.0], "flag": [True, False], "list": [[1], [-2]]})
    write_frame(frame, tmp_path / "f.csv")
    assert (tmp_path / "f.csv").read_text() == "'=x,flag,list\n-0.5,True,[1]\n2.0,False,[-2]\n"
    assert read_file(tmp_path / "f.csv").columns.tolist() == ["=x", "flag", "list"]


def test_no_table_that_is_written_holds_a_formula(tmp_path: Path) -> None:
    bad = "=HYPERLINK(1)"
    result = RunResult("finished", None, bad, bad, 0, validation_accuracy=0.5, energy_joules=1.0)
    trial = Trial(0, tmp_path, result, {"model.kwargs.name": bad, bad: "1"}, (bad,))
    write_summary(summarise([trial]), [trial], tmp_path / "sweep")
    times = LayerTimes((LayerTime(bad, bad, 1.0, 0.1, 0.1),), {"other": 0.8}, 1.0, 1, 1.0)
    write_table(times, 5.0, tmp_path / "layer_energy.csv")
    frame = pd.DataFrame({bad: [bad], "n": [-1]})
    Result("a", ["so"], {"main": frame}, RunTable(frame, bad, 1)).write(tmp_path / "analysis")
    write_report(tmp_path / "report", "title", [Section("one")], {"runs": frame}, {})
    written = list(tmp_path.glob("**/*.csv"))
    assert len(written) == 4
    for path in written:
        text = path.read_text(encoding="utf-8")
        assert text.count(bad) == text.count(f"'{bad}") > 0, path
    assert read_file(tmp_path / "sweep" / "trials.csv")["model"].tolist() == [bad]
