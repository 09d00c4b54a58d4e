"""Runs out of the logs that carbontracker left."""

from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Finished
from other_tools import JOULES_PER_KWH, write_carbontracker

from greensweep.errors import AnalysisError
from greensweep.sources.carbontracker import read_carbontracker

DATE = "2026-05-04T080000Z"


def test_its_energy_its_emissions_and_its_parts_are_known(tmp_path: Path) -> None:
    write_carbontracker(tmp_path, f"lr_0.1_4244.9246_{DATE}", [130.0, 150.0])
    rows = read_carbontracker(tmp_path)
    (run,) = rows.frame.to_dict("records")
    joules = 1.58 * 28000.0
    assert run["energy_joules"] == pytest.approx(joules)
    assert run["emissions_kg"] == pytest.approx(joules / JOULES_PER_KWH * 0.445)
    assert run["energy/gpu_joules"] == pytest.approx(1.58 * 24000.0)
    assert run["energy/cpu_joules"] == pytest.approx(1.58 * 4000.0)
    assert (run["epochs"], run["seconds"], run["log_prefix"]) == (2, 200.0, "lr_0.1")
    assert run["energy_quality"] == run["energy.quality.gpu"] == "estimated"
    assert run["machine"] == "GPU NVIDIA A100, NVIDIA A100. CPU cpu:0."
    assert rows.warnings == (
        "the energy holds that of a data centre too, by carbontracker's power usage effectiveness "
        "(PUE) of 1.58",
    )


def test_a_run_without_a_told_consumption_has_that_of_its_epochs(tmp_path: Path) -> None:
    write_carbontracker(tmp_path, f"4244_{DATE}", [130.0, 150.0], is_told=False)
    rows = read_carbontracker(tmp_path)
    assert rows.frame["energy_joules"].tolist() == pytest.approx([1.58 * 28000.0])
    assert rows.frame["emissions_kg"].isna().all()
    assert "1 of 1 log ending before carbontracker says what was consumed" in rows.warnings[1]


def test_epochs_that_were_not_monitored_are_told(tmp_path: Path) -> None:
    write_carbontracker(tmp_path, f"4244_{DATE}", [130.0, 150.0], planned=6)
    rows = read_carbontracker(tmp_path)
    assert rows.frame["energy_joules"].tolist() == pytest.approx([1.58 * 28000.0])
    assert rows.frame["predicted_joules"].tolist() == pytest.approx([3 * 1.58 * 28000.0])
    assert rows.warnings[1].startswith("1 of 1 run monitored for some of the epochs")


def test_an_epoch_too_short_to_be_sampled_is_as_the_others(tmp_path: Path) -> None:
    write_carbontracker(tmp_path, f"4244_{DATE}", [130.0, 130.0], is_told=False)
    log = tmp_path / f"4244_{DATE}_carbontracker.log"
    log.write_text(log.read_text().replace("for cpu: 20.0", "for cpu: None", 1))
    frame = read_carbontracker(tmp_path).frame
    assert frame["energy/cpu_joules"].tolist() == pytest.approx([1.58 * 4000.0])


def test_logs_of_an_older_version_are_read_by_what_they_say(tmp_path: Path) -> None:
    (tmp_path / "2020-05-17T19:02Z_carbontracker_output.log").write_text(
        "2020-05-17 19:02:29 - CarbonTracker: The following components were found: GPU with "
        "device(s) Tesla T4.\n2020-05-17 19:02:39 - CarbonTracker: \nActual consumption for 1 "
        "epoch(s):\n\tTime:\t0:00:08\n\tEnergy:\t0.000065 kWh\n\tCO2eq:\t0.019201 g\n\tThis is "
        "equivalent to:\n\t0.000159 km travelled by car\n"
    )
    (run,) = read_carbontracker(tmp_path).frame.to_dict("records")
    assert (run["energy_joules"], run["seconds"]) == (pytest.approx(234.0), 8.0)
    assert run["machine"] == "GPU Tesla T4."


def test_a_figure_that_is_none_is_not_taken_for_one(tmp_path: Path) -> None:
    write_carbontracker(tmp_path, f"4244_{DATE}", [130.0])
    output = tmp_path / f"4244_{DATE}_carbontracker_output.log"
    output.write_text(output.read_text().replace(" kWh", "? kWh"))
    log = tmp_path / f"4244_{DATE}_carbontracker.log"
    log.write_text(log.read_text().replace("cpu: 20.0", "cpu: nan"))
    (run,) = read_carbontracker(tmp_path).frame.to_dict("records")
    assert run["energy_joules"] == pytest.approx(1.58 * 11000.0)
    assert "energy/cpu_joules" not in run


def test_its_runs_are_analysed_with_the_accuracy_of_another_table(
    cli: Callable[..., Finished], tmp_path: Path
) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    for number in range(6):
        write_carbontracker(logs, f"run{number}_4244.{number}_{DATE}", [100.0 + 20 * number])
    (tmp_path / "metrics.csv").write_text(
        "log_prefix,accuracy\n"
        + "".join(f"run{number},0.{5 + number % 4}\n" for number in range(5))
    )
    named = ("source=logs", "columns=carbontracker", "join=metrics.csv", "on=log_prefix")
    finished = cli("analyse.py", *named)
    assert finished.status == 0, finished.errors
    assert (
        "Take run run3_4244.3_2026-05-04T080000Z: the most accurate (accuracy 0.8000) for 25.28 kJ"
        in finished.output
    )
    assert (
        "1 of 6 runs of logs without a row in metrics.csv, counted in energy only: log_prefix=run5"
        in finished.output
    )


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("gone", "is not there: give the log_dir of carbontracker"),
        ("empty", r"has no logs of carbontracker \(\*_carbontracker\.log\): give its log_dir"),
        ("runs.csv", r"has no logs of carbontracker"),
    ],
)
def test_what_holds_no_logs_is_refused(tmp_path: Path, path: str, said: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "runs.csv").write_text("a,b\n")
    with pytest.raises(AnalysisError, match=said):
        read_carbontracker(tmp_path / path)
