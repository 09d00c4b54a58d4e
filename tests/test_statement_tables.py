"""A carbon statement of runs that other tools logged."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from conftest import Finished
from other_tools import (
    CODECARBON_2,
    JOULES_PER_KWH,
    WANDB,
    codecarbon_row,
    logged_search,
    write_carbontracker,
    write_codecarbon,
)

Statement = Callable[..., Finished]
CODECARBON = ("source=emissions.csv", "columns=codecarbon")
JOINED = ("join=metrics.csv", "on=run_id")
END = "2026-05-04T08:00:00"
WANDB_NAMES = ("columns=wandb", "columns.energy=energy_kwh", "columns.accuracy=val/acc")


@pytest.fixture
def statement(cli: Callable[..., Finished]) -> Statement:
    """Run `greensweep statement` in an empty folder."""

    def run(*arguments: str) -> Finished:
        return cli("greensweep/__main__.py", "statement", *arguments)

    return run


def stated(finished: Finished) -> str:
    assert finished.status == 0, finished.errors
    return finished.output


def card(output: str) -> dict[str, Any]:
    found = yaml.safe_load(
        output[output.index("# Metadata of a model card") :].rpartition("\nIn")[0]
    )
    kept: dict[str, Any] = found["co2_eq_emissions"]
    return kept


def line(output: str, part: str) -> list[str]:
    (found,) = [each for each in output.splitlines() if each.startswith(f"| {part} ")]
    return [cell.strip() for cell in found.strip("|").split("|")][1:]


def test_300_runs_that_codecarbon_logged_are_stated_by_one_command(
    statement: Statement, tmp_path: Path
) -> None:
    logged_search(tmp_path)
    told = stated(statement(*CODECARBON, *JOINED))
    logged = pd.read_csv("emissions.csv").groupby("run_id").last()
    joules, grams = (
        logged["energy_consumed"].sum() * JOULES_PER_KWH,
        logged["emissions"].sum() * 1e3,
    )
    assert line(told, "Total") == [
        "300", f"{joules / 1e6:.4g} MJ", f"{joules / 3.6e6:.3g} kWh", f"{grams:.3g} g CO2e",
        "9.82 h",
    ]  # fmt: skip
    best = pd.read_csv("metrics.csv").sort_values("accuracy").iloc[-1]
    final = logged.loc[best["run_id"]]
    assert f"The run of the final model ({best['log_prefix']}: resnet on cifar10)" in told
    assert "how much of it was training is not known" in told
    assert "The whole search, 300 trials (294 ended, 6 unmatched), used" in told
    assert "How the runs ended is not known." in told
    assert (
        "Energy is as CodeCarbon 3.3.2 gives it for cpu, gpu, ram, and estimated (nothing" in told
    )
    assert "In tracking_mode=machine it is the whole machine" in told
    assert "268 g CO2e per kWh in the mean for NLD, which it was told or took it to be." in told
    assert "left out: 200 rows of emissions.csv, as " in told
    assert "Not counted are cooling and power supply around the machine (PUE)" in told
    assert "It ran with codecarbon 3.3.2, python 3.11.9." in told
    kept = card(told)
    assert kept["emissions"] == pytest.approx(final["emissions"] * 1e3, rel=1e-4), "grams"
    assert kept["geographical_location"] == "NLD"
    assert kept["hardware_used"].startswith("1 x NVIDIA A100-PCIE-40GB, AMD EPYC 7313 16-Core")
    assert kept["source"].startswith("CodeCarbon 3.3.2, as stated by Greensweep ")


def test_its_files_cite_the_tool_that_measured_and_none_that_did_not(
    statement: Statement, tmp_path: Path
) -> None:
    logged_search(tmp_path, runs=20)
    stated(statement(*CODECARBON, *JOINED))
    written = tmp_path / "outputs" / "statement"
    latex, bib = (written / "statement.tex").read_text(), (written / "statement.bib").read_text()
    assert re.findall(r"^@\w+{(\w+),$", bib, re.M) == ["greensweep", "yarally2023", "codecarbon"]
    assert r"\cite{greensweep,yarally2023,codecarbon}" in latex
    assert "note = {Version 3.3.2}" in bib
    assert re.findall(r"\\(begin|end){(\w+)}", latex) == [
        ("begin", "table"), ("begin", "tabular"), ("end", "tabular"), ("end", "table")
    ]  # fmt: skip
    plain = re.sub(r"\\[\\{}$&#_%]", "", latex)  # without what is escaped
    assert plain.count("{") == plain.count("}")
    assert not set('#^~<>|%"_') & set(plain)


def test_without_a_metric_the_final_run_is_the_one_that_is_named(
    statement: Statement, tmp_path: Path
) -> None:
    write_codecarbon(
        tmp_path / "emissions.csv", [codecarbon_row(each, 100.0, END) for each in "ab"]
    )
    told = stated(statement(*CODECARBON))
    assert (
        "name it by final=RUN, or join the table that has one (join=metrics.csv on=run_id)" in told
    )
    assert "All that was run, 2 runs, used 65 kJ (18.1 Wh, 4.85 g CO2e)." in told
    assert "emissions" not in card(told)
    named = stated(statement(*CODECARBON, "final=a"))
    assert "The run of the final model (a) took 1.67 min and used 32.5 kJ" in named
    write_codecarbon(
        tmp_path / "emissions.csv",
        [codecarbon_row(each, 100.0, END, project_name=f"net-{each}") for each in "ab"],
    )
    by_project = stated(statement(*CODECARBON, "final=net-a"))
    assert "The run of the final model (net-a) took 1.67 min and used 32.5 kJ" in by_project


def test_what_an_older_file_does_not_tell_is_not_known(
    statement: Statement, tmp_path: Path
) -> None:
    lacks = ("pue", "codecarbon_version", "cpu_model", "country_iso_code", "country_name")
    header = [name for name in CODECARBON_2 if name not in lacks]
    write_codecarbon(tmp_path / "emissions.csv", [codecarbon_row("a", 100.0, END)], header)
    told = stated(statement(*CODECARBON))
    assert (
        "Whether cooling and power supply around the machine (PUE) are in it is not known." in told
    )
    assert "268 g CO2e per kWh in the mean, for a grid that is not known." in told
    assert "geographical_location" not in card(told)


def test_energy_with_a_pue_is_not_said_to_lack_cooling(
    statement: Statement, tmp_path: Path
) -> None:
    write_codecarbon(tmp_path / "emissions.csv", [codecarbon_row("a", 100.0, END, pue=1.5)])
    told = stated(statement(*CODECARBON))
    assert "a power usage effectiveness (PUE) of 1.5" in told
    assert "Not counted are its parts other than cpu and gpu and ram, and making the" in told


def test_runs_of_several_machines_and_places_stand_apart(
    statement: Statement, tmp_path: Path
) -> None:
    cloud = {"on_cloud": "Y", "cloud_region": "us-east-1", "country_iso_code": "USA"}
    rows = [
        codecarbon_row("a", 200.0, END),
        codecarbon_row("b", 100.0, END, cpu_model="Another", emissions=0.002),
        codecarbon_row("c", 50.0, END, emissions=0.004, **cloud),
    ]
    write_codecarbon(tmp_path / "emissions.csv", rows)
    told = stated(statement(*CODECARBON))
    assert told.startswith("The runs were on 3 machines or grids, whose figures stand apart")
    assert "with the grid us-east-1, USA**" in told
    for grams in ("4.85 g CO2e", "2 g CO2e", "4 g CO2e"):
        assert f"| {grams} |" in told


def test_emissions_are_the_tools_own_also_where_its_intensity_varied(
    statement: Statement, tmp_path: Path
) -> None:
    rows = [
        codecarbon_row(each, 100.0, END, emissions=kg) for each, kg in (("a", 1e-3), ("b", 3e-3))
    ]
    write_codecarbon(tmp_path / "emissions.csv", rows)
    (tmp_path / "metrics.csv").write_text("run_id,accuracy\na,0.5\n")
    told = stated(statement(*CODECARBON, *JOINED))
    assert line(told, "Final run (a)")[3] == line(told, "Ended runs")[3] == "1 g CO2e"
    assert line(told, "Unmatched runs")[3] == "3 g CO2e"
    assert line(told, "Total")[3] == "4 g CO2e"


def test_a_grid_that_changes_nothing_is_refused_and_one_that_is_asked_for_counts(
    statement: Statement, tmp_path: Path
) -> None:
    write_codecarbon(tmp_path / "emissions.csv", [codecarbon_row("a", 100.0, END)])
    refused = statement(*CODECARBON, "country=USA")
    assert refused.status == 1
    assert refused.errors.startswith(
        "Error: USA as the grid changes nothing, as all runs of emissions.csv have a grid of their "
        "own (NLD): leave country, region and grams_co2e_per_kwh out, or columns.emissions=null"
    )
    told = stated(statement(*CODECARBON, "grams_co2e_per_kwh=100", "columns.emissions=null"))
    assert "Emissions are the energy times 100 g CO2e per kWh, the intensity that was" in told


def test_the_logs_of_carbontracker_are_stated(statement: Statement, tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    for number in (1, 2):
        write_carbontracker(
            logs, f"run{number}_4.{number}_2026-05-04T080000Z", [100.0], is_told=number == 1
        )
    first = next(logs.glob("run1*_output.log"))
    where = "Average carbon intensity during training was 445.00 gCO2/kWh at detected location: "
    first.write_text(f"{where}Copenhagen, Capital Region, DK.\n{first.read_text()}")
    (tmp_path / "metrics.csv").write_text("log_prefix,f1\nrun1,0.5\nrun2,0.4\n")
    named = ("join=metrics.csv", "on=log_prefix", "columns.metric=f1")
    told = stated(
        statement(
            "source=logs", "columns=carbontracker", *named, "columns.metric_direction=maximize"
        )
    )
    assert "The run of the final model (run1) took 1.67 min and used 15.8 kJ" in told
    assert "445 g CO2e per kWh in the mean for Copenhagen, Capital Region, DK, which it" in told
    assert "1 of 2 logs ending before carbontracker says what was consumed" in told
    assert "cooling" not in told, "its PUE is in the energy"
    assert "grids, whose figures stand apart" not in told, "the crashed run was at the same place"
    bib = (tmp_path / "outputs" / "statement" / "statement.bib").read_text()
    assert "@misc{carbontracker," in bib
    assert bib.count("{") == bib.count("}")
    assert "@software{codecarbon," not in bib


def test_a_table_of_wandb_is_stated_with_how_its_runs_ended(
    statement: Statement, tmp_path: Path
) -> None:
    (tmp_path / "wandb.csv").write_text(WANDB)
    told = stated(statement("source=wandb.csv", *WANDB_NAMES))
    assert (
        "The run of the final model (net-2 on mine) took 11.7 min and used 216 kJ (60 Wh)" in told
    )
    assert "3 trials (1 failed, 2 finished), used 360 kJ (100 Wh)" in told
    assert "Energy is as wandb.csv gives it, and of a quality that is not known." in told
    assert "Emissions are not known, as no grid was declared: set country=NLD, say" in told
    assert "Versions are not known." in told
    declared = stated(statement("source=wandb.csv", *WANDB_NAMES, "country=NLD"))
    assert "the yearly mean of the grid of NLD in the data of CodeCarbon" in declared
    assert card(declared)["geographical_location"] == "NLD"


def test_a_table_with_a_column_for_the_training_alone_tells_both(
    statement: Statement, tmp_path: Path
) -> None:
    (tmp_path / "runs.csv").write_text(
        "run_id,energy_joules,energy_spent_joules,seconds,accuracy,status\n"
        "a,100,150,10,0.5,finished\nb,200,300,20,0.7,finished\nc,,50,,,failed\nd,,,,0.9,finished\n"
    )
    told = stated(statement("source=runs.csv", "final=b"))
    assert "Training the final model (b) took 20 s and used 200 J" in told
    assert "2.5 times the final training" in told
    assert line(told, "Failed runs")[:2] == ["1", "50 J"]
    assert "Runs that were not metered (1) are in no sum" in told


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("source=gone.csv", "columns=codecarbon"), "source=gone.csv is no file: give a CSV or"),
        (("source=.", "columns=codecarbon"), "is a folder: give the CSV or Parquet file in it"),
        (("source=wandb.csv", "columns=codecarbon"), "so that it is no table of CodeCarbon: give"),
        (("source=emissions.csv",), "set columns=codecarbon if that tool wrote it"),
        (("source=empty.csv", "columns=codecarbon"), "is empty: give a table with a header line"),
        (("source=joules.csv", "columns=codecarbon"), "times the sum of cpu_energy"),
        (
            ("source=fast.csv", "columns.energy=energy_kwh"),
            "more than a machine draws: set columns",
        ),
        (
            ("source=grams.csv",),
            "is 500 kg per kWh in the median run, more than any grid has: give",
        ),
        (("source=zero.csv",), "no run of zero.csv has an energy above 0 in energy_joules: set"),
        (
            ("source=twice.csv",),
            "has the run a twice, and 1 such row in all: leave out the copies",
        ),
        ((*CODECARBON, "join=other.csv", "on=run_id"), "on: no run of emissions.csv has a row in"),
        ((*CODECARBON, "join=other.csv"), "needs the column by which rows belong together"),
        ((*CODECARBON, "columns.accuracy=acc"), "columns.accuracy: no column of emissions.csv is"),
        ((*CODECARBON, "final=z"), "final: no run is called 'z'"),
        (("source=run", "join=other.csv", "on=run_id"), "columns and join are of tables"),
        (("source=mlflow", "columns=wandb"), "source=mlflow has columns of its own: leave columns"),
    ],
)
def test_a_table_that_cannot_be_stated_is_refused_in_one_sentence(
    statement: Statement, tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    row = codecarbon_row("a", 100.0, END)
    write_codecarbon(tmp_path / "emissions.csv", [row])
    write_codecarbon(tmp_path / "joules.csv", [{**row, "energy_consumed": 32500.0}])
    (tmp_path / "wandb.csv").write_text(WANDB)
    (tmp_path / "fast.csv").write_text("run_id,energy_kwh,seconds\na,1,1\n")
    (tmp_path / "grams.csv").write_text("energy_joules,emissions_spent_kg\n3.6e6,500\n")
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "zero.csv").write_text("run_id,energy_joules\na,0\nb,\n")
    (tmp_path / "twice.csv").write_text("run_id,energy_joules\na,1\na,2\n")
    (tmp_path / "other.csv").write_text("run_id,accuracy\nz,0.5\n")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "result.json").write_text(json.dumps({"status": "finished"}))
    refused = statement(*arguments)
    assert refused.status == 1, refused.output
    assert said in refused.errors
    assert len(refused.errors.strip().splitlines()) == 1
