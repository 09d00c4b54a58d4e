"""Runs that CodeCarbon logged, joined with what another program knows of them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from conftest import Finished
from other_tools import (
    CODECARBON_2,
    CODECARBON_3,
    GRAMS_PER_KWH,
    JOULES_PER_KWH,
    codecarbon_row,
    logged_search,
    write_codecarbon,
)

from greensweep.analysis import RunTable, energy_bill, read_runs
from greensweep.config.schema_analysis import AnalyseConfig, CodeCarbonColumnsConfig
from greensweep.errors import AnalysisError
from greensweep.sources.codecarbon import read_codecarbon

Cli = Callable[..., Finished]
JOB = ("source=emissions.csv", "columns=codecarbon", "join=metrics.csv", "on=run_id")
END = "2026-05-04T08:00:00"


@pytest.fixture
def joined(tmp_path: Path) -> Callable[..., RunTable]:
    """Write rows of emissions.csv and the text of metrics.csv, and read them as one table."""

    def read(
        rows: list[dict[str, Any]],
        metrics: str | None = "run_id,accuracy\na,0.5\nb,0.75\n",
        on: Any = "run_id",
        **columns: Any,
    ) -> RunTable:
        write_codecarbon(tmp_path / "emissions.csv", rows)
        if metrics is not None:
            (tmp_path / "metrics.csv").write_text(metrics)
        return read_runs(
            AnalyseConfig(
                source=str(tmp_path / "emissions.csv"),
                columns=CodeCarbonColumnsConfig(**columns),
                join=str(tmp_path / "metrics.csv"),
                on=on,
            )
        )

    return read


Joined = Callable[..., RunTable]
TWO = [codecarbon_row("a", 100.0, END), codecarbon_row("b", 200.0, "2026-05-04T08:05:00")]


# --- 300 runs in one command -------------------------------------------------------------------


@pytest.fixture
def job(tmp_path: Path) -> Path:
    logged_search(tmp_path)
    return tmp_path


ANSWERS = {
    "tradeoff": "Take ",
    "strategies": "which of both needs less cannot be told from one search each in 1 setting.",
    "layers": "Over 4 architectures: 3.25",  # 40 s for 4 layers at 325 W: 3250 J
    "options": "cifar10 resnet: ",
}


@pytest.mark.parametrize("analysis", ANSWERS)
def test_runs_that_codecarbon_logged_are_answered(cli: Cli, job: Path, analysis: str) -> None:
    factors = ["analysis.factors=[layers/conv]"] * (analysis == "layers")
    finished = cli("analyse.py", *JOB, f"analysis={analysis}", "analysis.resamples=100", *factors)
    assert finished.status == 0, finished.errors
    assert ANSWERS[analysis] in finished.output
    assert "of 500 rows of emissions.csv; left out: 200, a later row of the same run" in (
        finished.output
    )
    assert (
        "6 of 300 runs of emissions.csv without a row in metrics.csv, counted in energy only: "
        "run_id=00000007-" in finished.output
    )
    assert (job / "outputs" / "analysis" / analysis / "analysis.json").is_file()


@pytest.mark.slow
def test_their_report_is_one_command(cli: Cli, job: Path) -> None:
    finished = cli("report.py", *JOB)
    assert finished.status == 0, finished.errors
    page = (job / "outputs" / "report" / "index.html").read_text(encoding="utf-8")
    assert "300 runs took 11.5 MJ (3.19 kWh, 857 g CO2e) in all (estimated)" in page
    for title in ("Accuracy and energy", "Search strategies", "Layers", "Where the energy went"):
        assert f"{title}</h2>" in page


def test_their_bill_has_parts_and_emissions_and_those_without_metrics(job: Path) -> None:
    source, metrics = str(job / "emissions.csv"), str(job / "metrics.csv")
    columns = CodeCarbonColumnsConfig()
    bill = energy_bill(
        read_runs(AnalyseConfig(source=source, columns=columns, join=metrics, on="run_id"))
    )
    logged = pd.read_csv(source).groupby("run_id").last()
    joules = logged["energy_consumed"].sum() * JOULES_PER_KWH
    assert bill.figures["spent_joules"] == pytest.approx(joules)
    assert bill.figures["emissions_spent_kg"] == pytest.approx(logged["emissions"].sum())
    parts = bill.tables["components"]
    assert parts["joules"].sum() == pytest.approx(joules)
    assert set(parts["quality"]) == {"estimated"}
    ends = bill.tables["ends"].groupby("status")["runs"].sum()
    assert ends.to_dict() == {"finished": 294, "unmatched": 6}


def test_what_the_columns_do_not_allow_is_said_in_a_sentence(cli: Cli, tmp_path: Path) -> None:
    write_codecarbon(tmp_path / "emissions.csv", TWO)
    (tmp_path / "metrics.csv").write_text("run_id,accuracy\na,0.5\nb,0.75\n")
    for analysis in ("strategies", "layers", "options"):
        finished = cli("analyse.py", *JOB, f"analysis={analysis}")
        assert finished.status == 1
        assert len(finished.errors.strip().splitlines()) == 1, finished.errors


# --- what CodeCarbon writes --------------------------------------------------------------------


def test_its_file_is_read_as_it_writes_it(tmp_path: Path) -> None:
    from codecarbon.output_methods.emissions_data import EmissionsData
    from codecarbon.output_methods.file import FileOutput

    file = FileOutput("emissions.csv", str(tmp_path))
    for row in TWO:
        file.out(EmissionsData(**{name: row[name] for name in CODECARBON_3}), None)
    frame = read_codecarbon(tmp_path / "emissions.csv").frame
    assert frame["energy_joules"].tolist() == pytest.approx([32500.0, 65000.0])


def test_its_units_its_emissions_and_its_quality_are_known(joined: Joined) -> None:
    frame = joined(TWO).frame.set_index("run_id")
    assert frame["energy_joules"].to_dict() == pytest.approx({"a": 32500.0, "b": 65000.0})
    assert frame["emissions_kg"]["a"] == pytest.approx(
        32500 / JOULES_PER_KWH * GRAMS_PER_KWH / 1000
    )
    assert frame["seconds"]["b"] == 200.0
    assert frame["energy/gpu_joules"]["a"] == pytest.approx(24000.0)
    assert set(frame["_quality"]) == {"estimated"}
    assert frame["accuracy"].to_dict() == {"a": 0.5, "b": 0.75}


def test_the_last_of_the_cumulative_rows_of_a_run_counts(joined: Joined) -> None:
    table = joined([codecarbon_row("a", 40.0, END), *TWO])
    assert table.frame["energy_joules"].sum() == pytest.approx(97500.0)
    assert table.rows == 3
    assert sum(table.left_out.values()) == 1


def test_an_older_version_without_experiments_is_read_too(tmp_path: Path) -> None:
    write_codecarbon(tmp_path / "emissions.csv", TWO, CODECARBON_2)
    rows = read_codecarbon(tmp_path / "emissions.csv")
    assert rows.frame["energy_joules"].tolist() == pytest.approx([32500.0, 65000.0])
    assert rows.frame["machine"].unique() == [
        "1 x NVIDIA A100-PCIE-40GB, AMD EPYC 7313 16-Core Processor (16 threads), 126 GiB of memory"
    ]


def test_runs_without_an_id_are_each_their_own(tmp_path: Path) -> None:
    write_codecarbon(tmp_path / "emissions.csv", [{**each, "run_id": None} for each in TWO])
    assert len(read_codecarbon(tmp_path / "emissions.csv").frame) == 2


def test_tasks_of_one_run_are_each_their_own(tmp_path: Path) -> None:
    tasks = [{**row, "run_id": "a", "task_name": name} for row, name in zip(TWO, "fg", strict=True)]
    write_codecarbon(tmp_path / "emissions_exp_a.csv", tasks, ["task_name", *CODECARBON_2])
    (tmp_path / "metrics.csv").write_text("task,accuracy\nf,0.5\ng,0.75\n")
    table = read_runs(
        AnalyseConfig(
            source=str(tmp_path / "emissions_exp_a.csv"),
            columns=CodeCarbonColumnsConfig(),
            join=str(tmp_path / "metrics.csv"),
            on={"task_name": "task"},
        )
    )
    assert table.frame["accuracy"].tolist() == [0.5, 0.75]


def test_the_dashboards_export_is_read(tmp_path: Path) -> None:
    (tmp_path / "runs.csv").write_text(
        "runId,timestamp,emissions,energy_consumed,duration,os,python_version,codecarbon_version,"
        "cpu_count,cpu_model,gpu_count,gpu_model,region,provider,ram_total_size,tracking_mode\n"
        "a,2026-05-04T08:00:00,0.002,0.01,360,Linux,3.11.9,3.3.2,16,AMD EPYC,null,N/A,null,null,"
        "125.7,machine\nb,2026-05-04T09:00:00,0.004,0.02,720,,,,,,,,,,,\n"
    )
    frame = read_codecarbon(tmp_path / "runs.csv").frame
    assert frame["run_id"].tolist() == ["a", "b"]
    assert frame["energy_joules"].tolist() == [36000.0, 72000.0]
    assert frame["emissions_kg"].tolist() == [0.002, 0.004]


def test_what_the_api_keeps_is_added_up_by_run(tmp_path: Path) -> None:
    emissions = [
        {"run_id": run, "duration": 10, "emissions_sum": 0.001, "energy_consumed": energy}
        for run, energy in (("a", 0.001), ("b", 0.002), ("a", 0.003))
    ]
    (tmp_path / "page.json").write_text(json.dumps({"items": emissions, "total": 3}))
    frame = read_codecarbon(tmp_path / "page.json").frame.set_index("run_id")
    assert frame["energy_joules"].to_dict() == pytest.approx({"a": 14400.0, "b": 7200.0})
    assert frame["seconds"].to_dict() == {"a": 20.0, "b": 10.0}
    assert frame["emissions_kg"].to_dict() == {"a": 0.002, "b": 0.001}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is no list of runs as CodeCarbon's API has it"),
        ("[1, 2]", "is no list of runs as CodeCarbon's API has it"),
        ('{"detail": "no such run"}', "is no list of runs as CodeCarbon's API has it"),
        ("[]", "has no runs: give a table with a row for each run"),
        ('[{"energy_consumed": "x"}]', "row 1 below the header, energy_consumed must be a number"),
    ],
)
def test_json_that_is_no_answer_of_the_api_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "page.json").write_text(text)
    with pytest.raises(AnalysisError) as refused:
        read_codecarbon(tmp_path / "page.json")
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"pue": 1.5}, "a power usage effectiveness (PUE) of 1, 1.5"),
        ({"tracking_mode": "process"}, "the runs mix tracking modes (machine, process)"),
        ({"timestamp": "2026-05-04T08:02:00"}, "1 run began on such a machine as another run"),
    ],
)
def test_what_makes_its_figures_doubtful_is_a_warning(
    joined: Joined, other: dict[str, Any], said: str
) -> None:
    assert joined(TWO).warnings == ()
    assert said in "; ".join(joined([TWO[0], {**TWO[1], **other}]).warnings)


def test_runs_that_were_all_tracked_by_process_are_no_doubt(joined: Joined) -> None:
    assert joined([{**each, "tracking_mode": "process"} for each in TWO]).warnings == ()


# --- the join ----------------------------------------------------------------------------------


def test_tables_are_joined_by_several_keys_and_by_numbers(joined: Joined) -> None:
    rows = [
        {**each, "project_name": "p", "run_id": name}
        for each, name in zip(TWO, (1, 2), strict=True)
    ]
    metrics = "project_name,number,accuracy,duration\np,1.0,0.5,7\np,,0.1,8\np,2.0,0.75,9\n"
    table = joined(rows, metrics, on={"project_name": "project_name", "run_id": "number"})
    assert table.frame["accuracy"].tolist() == [0.5, 0.75]
    assert table.frame["duration"].tolist() == [100.0, 200.0]
    assert table.frame["metrics.duration"].tolist() == [7, 9]


def test_one_row_may_belong_to_several_runs(joined: Joined) -> None:
    table = joined(TWO, "project_name,accuracy\ncodecarbon,0.5\n", on=["project_name"])
    assert table.frame["accuracy"].tolist() == [0.5, 0.5]


def test_a_run_that_the_other_table_lacks_counts_in_energy_only(joined: Joined) -> None:
    table = joined(TWO, "run_id,accuracy\na,0.5\nc,0.6\n")
    assert table.frame["_spent"].sum() == pytest.approx(97500.0)
    assert table.finished["run_id"].tolist() == ["a"]
    lacking, unused = table.warnings
    assert lacking.startswith("1 of 2 runs of ")
    assert unused.startswith("1 of 2 rows of ")


BAD = {
    "no such file": ({"metrics": None}, "is no file: give a CSV or Parquet file"),
    "empty file": ({"metrics": ""}, "is empty: give a table with a header line"),
    "no rows": ({"metrics": "run_id,accuracy\n"}, "has no rows: nothing to join"),
    "key in one": ({"on": "id"}, "on: no column of "),
    "key not in the other": ({"on": {"run_id": "name"}}, "is called 'name'"),
    "no row matches": (
        {"metrics": "run_id,accuracy\nc,0.5\n"},
        "run_id=a here, run_id=c there; name columns that hold the same",
    ),
    "two rows of one key": (
        {"metrics": "run_id,accuracy\na,0.5\na,0.6\nb,0.7\n"},
        "has run_id=a in more than one row, and 1 such row in all: leave one row for each",
    ),
    "text for a figure": ({"metrics": "run_id,accuracy\na,good\nb,0.7\n"}, "must be a number"),
}


@pytest.mark.parametrize(("given", "said"), BAD.values(), ids=BAD.keys())
def test_tables_that_do_not_belong_together_are_refused(
    joined: Joined, given: dict[str, Any], said: str
) -> None:
    with pytest.raises(AnalysisError) as refused:
        joined(TWO, **given)
    assert said in str(refused.value)


CONTRADICT = {
    "joules beside kWh": ({"energy_consumed": 32500.0}, "times the sum of cpu_energy"),
    "grams beside kWh": ({"emissions": 2.4}, "kg per kWh in the median run, more than any grid"),
    "falling": ({"run_id": "a", "duration": 300.0, "energy_consumed": 0.006}, "are cumulative"),
    "text": ({"energy_consumed": "much"}, "energy_consumed must be a number, got 'much'"),
}


@pytest.mark.parametrize(("other", "said"), CONTRADICT.values(), ids=CONTRADICT.keys())
def test_figures_that_contradict_each_other_are_refused(
    joined: Joined, other: dict[str, Any], said: str
) -> None:
    rows = [TWO[0], {**TWO[0], **other}] if "run_id" in other else [{**TWO[0], **other}]
    with pytest.raises(AnalysisError, match=r"emissions\.csv") as refused:
        joined(rows)
    assert said in str(refused.value)


SENTENCES = {
    "no metric": (("source=emissions.csv", "columns=codecarbon"), "join=metrics.csv on=run_id say"),
    "another table": (
        ("source=metrics.csv", *JOB[1:]),
        "has no column energy_consumed, so that it is no table of",
    ),
    "no columns": (("source=emissions.csv", *JOB[2:]), "set columns=codecarbon if that tool wrote"),
    "no key": (JOB[:3], "join=metrics.csv needs the column by which rows belong together"),
    "no join": ((*JOB[:2], "on=run_id"), "on=run_id needs the table to join: set join="),
    "no name": ((*JOB[:3], "on=3"), "on must be the name of a column"),
    "missing": ((*JOB[:2], "join=gone.csv", "on=run_id"), "join=gone.csv is no file"),
    "other unit": ((*JOB, "columns.energy_unit=kWh"), "more than a machine draws"),
}


@pytest.mark.parametrize(("arguments", "said"), SENTENCES.values(), ids=SENTENCES.keys())
@pytest.mark.parametrize("script", ["analyse.py", "report.py"])
def test_bad_input_is_told_in_one_sentence(
    cli: Cli, tmp_path: Path, script: str, arguments: tuple[str, ...], said: str
) -> None:
    write_codecarbon(tmp_path / "emissions.csv", TWO)
    (tmp_path / "metrics.csv").write_text("run_id,accuracy\na,0.5\nb,0.75\n")
    finished = cli(script, *arguments)
    assert finished.status == 1
    assert said in finished.errors
    assert len(finished.errors.strip().splitlines()) == 1
