"""The doctor: truthful about this machine, and exit status 1 where a sweep would fail."""

import json
import platform
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import no_sensors
from gpus import Gpus

from greensweep.__main__ import main
from greensweep.app.doctor.examine import find_mlflow, find_optuna
from greensweep.app.doctor.findings import (
    ComponentSource,
    Examination,
    Finding,
    SelfCheck,
    page,
)
from greensweep.app.doctor.self_check import judge
from greensweep.app.doctor.sources import find_gpus, find_rapl
from greensweep.config.schema_tracking import LocalConfig, MlflowConfig

Doctor = Callable[..., tuple[int, str, str]]

STEADY = SelfCheck(
    short_seconds=1.0,
    short_joules=30.0,
    long_seconds=2.0,
    long_joules=60.0,
    outer_joules=100.0,
    sum_share=1.0,
    idle_watts=20.0,
    idle_load=0.02,
    edge_seconds=0.0001,
)


@pytest.fixture
def doctor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Doctor:
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str, str]:
        status = main(["doctor", *arguments])
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return run


@no_sensors
def test_without_sensors_it_says_so_and_what_the_estimates_rest_on(doctor: Doctor) -> None:
    status, out, _ = doctor("--json")
    assert status == 0
    found = json.loads(out)
    assert found["is_fit"] is True
    sources = {each["component"]: each for each in found["components"]}
    assert {name: each["quality"] for name, each in sources.items()} == {
        "cpu": "estimated",
        "ram": "estimated",
    }
    assert "load³ of " in sources["cpu"]["basis"]
    assert " W whatever the load" in sources["ram"]["basis"]
    findings = {each["subject"]: each for each in found["findings"]}
    assert findings["energy"]["verdict"] == "note"
    assert "estimated, not measured" in findings["energy"]["text"]
    assert "energy.calibration" in findings["RAPL (CPU, memory)"]["advice"]
    assert found["versions"]["torch"] == torch.__version__.partition("+")[0]
    check = found["self_check"]
    assert check["long_seconds"] > 1.5 * check["short_seconds"]
    assert check["short_joules"] > 0 and check["outer_joules"] > check["long_joules"]


def test_the_page_holds_components_findings_and_the_verdict() -> None:
    component = ComponentSource("cpu", "rapl", "measured", "the kernel's counter", 0.001)
    found = Examination(
        {"python": "3.11"},
        (component,),
        STEADY,
        (Finding("device", "ok", "trains on cpu"), Finding("MLflow", "note", "away", "start it")),
    )
    assert page(found).splitlines() == [
        "python 3.11",
        "",
        "cpu  measured by rapl: the kernel's counter; a new figure every 0.001 s",
        "",
        "ok    device: trains on cpu",
        "note  MLflow: away",
        "      start it",
        "",
        "A sweep will run here.",
    ]
    failing = replace(found, findings=(Finding("device", "fail", "no CUDA"),))
    assert page(failing).splitlines()[-3:] == [
        "FAIL  device: no CUDA",
        "",
        "A sweep would fail here: see FAIL above.",
    ]


def test_the_slowest_counter_says_how_short_a_window_may_be() -> None:
    told = {each.subject: each.text for each in judge(replace(STEADY, update_seconds=0.1))}
    assert told["metering"].endswith(
        "; the slowest counter has a new figure every 0.1 s, so that epochs have figures of their "
        "own from 1 s on"
    )
    assert "counter" not in {each.subject: each.text for each in judge(STEADY)}["metering"]


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["training.device=cuda"], "FAIL  device: training.device=cuda"),
        (["energy.country=XXX"], "FAIL  emissions: energy.country=XXX"),
        (
            ["hydra.sweeper.storage=postgresql://me:secret@127.0.0.1:9/x"],
            "FAIL  Optuna: postgresql://me:***@127.0.0.1:9/x cannot be reached",
        ),
    ],
)
def test_what_would_make_a_sweep_fail_is_exit_status_1(
    doctor: Doctor, overrides: list[str], said: str
) -> None:
    status, out, _ = doctor("energy=unmetered", *overrides)
    assert status == 1
    assert said in out
    assert "secret" not in out
    assert out.rstrip().endswith("A sweep would fail here: see FAIL above.")


def test_a_meter_without_counters_is_a_failure(
    doctor: Doctor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("greensweep.energy.nvml_rapl.rapl_zones", list)
    monkeypatch.setattr("greensweep.energy.nvml_rapl.machine_gpus", list)
    status, out, _ = doctor("energy=nvml_rapl")
    assert status == 1
    assert "FAIL  energy: energy=nvml_rapl finds no counter" in out


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["energy.wats=1"], "there is no option energy.wats"),
        (["training.epochs=0"], "training.epochs must be at least 1"),
        (["dataset=digts"], "did you mean digits?"),
    ],
)
def test_a_wrong_option_is_one_sentence(doctor: Doctor, overrides: list[str], said: str) -> None:
    status, out, errors = doctor(*overrides)
    assert (status, out) == (1, "")
    assert said in errors
    assert len(errors.splitlines()) == 1


def test_it_leaves_no_store_behind(doctor: Doctor, tmp_path: Path) -> None:
    assert doctor("energy=unmetered")[0] == 0
    assert list(tmp_path.iterdir()) == []


def test_mlflow_is_looked_at_where_runs_would_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    found = find_mlflow(MlflowConfig(uri=f"sqlite:///{tmp_path}/new/mlflow.db"))
    assert (found.verdict, found.text.rpartition(" can ")[2]) == ("ok", "be made")
    away = find_mlflow(MlflowConfig(uri="http://127.0.0.1:9"))
    assert away.verdict == "note"  # a sweep then keeps its results in files
    assert "cannot be reached" in away.text
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:7")
    assert "127.0.0.1:7" in find_mlflow(MlflowConfig()).text
    assert find_mlflow(LocalConfig()).verdict == "ok"


def test_optuna_needs_a_folder_that_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = tmp_path / "optuna.db"
    assert find_optuna(f"sqlite:///{there}").text.endswith("can be made")
    there.touch()
    assert find_optuna(f"sqlite:///{there}").text.endswith("can be written")
    monkeypatch.setattr("os.access", lambda *_: False)
    refused = find_optuna(f"sqlite:///{there}")
    assert (refused.verdict, "read-only" in refused.text) == ("fail", True)


@pytest.mark.skipif(platform.system() != "Linux", reason="RAPL is Linux's")
def test_rapl_that_may_not_be_read_comes_with_the_command_to_allow_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "no package zones" in find_rapl(tmp_path).text
    for zone, name in (("intel-rapl:0", "package-0"), ("intel-rapl:0:0", "dram")):
        (tmp_path / zone).mkdir()
        (tmp_path / zone / "name").write_text(f"{name}\n")
        (tmp_path / zone / "energy_uj").write_text("1\n")
    found = find_rapl(tmp_path)
    assert (found.verdict, found.text) == ("ok", "2 zones can be read: cpu and ram")
    monkeypatch.setattr("os.access", lambda *_: False)
    refused = find_rapl(tmp_path)
    assert refused.verdict == "note"
    assert refused.advice is not None
    assert refused.advice.startswith("sudo chmod a+r ")


def test_nvml_that_refuses_is_told_from_none(monkeypatch: pytest.MonkeyPatch) -> None:
    import pynvml

    def refuse() -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NO_PERMISSION)

    monkeypatch.setattr("pynvml.nvmlInit", refuse)
    (found,) = find_gpus()
    assert (found.verdict, found.text) == ("note", "NVML refuses (Insufficient Permissions)")

    def absent() -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    monkeypatch.setattr("pynvml.nvmlInit", absent)
    assert [each.verdict for each in find_gpus()] == ["ok"]


def test_each_gpu_is_named_with_its_slices_counter_and_accounting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gpus = Gpus(monkeypatch, count=3)
    gpus.names[1], gpus.slices[1] = "NVIDIA A100", ["MIG-7c1a", "MIG-9e8d"]
    gpus.accounting = {0: False, 1: True}
    gpus.broken.add(2)
    found = find_gpus()
    assert [(each.subject, each.verdict) for each in found] == [
        ("GPU 0", "ok"),
        ("GPU 1", "ok"),
        ("GPU 2", "note"),
    ]
    assert found[0].text == (
        f"NVIDIA H200, {Gpus.uuid(0)}; its energy counter moves every 0.1 s; accounting off"
    )
    assert found[1].text == (
        f"NVIDIA A100, {Gpus.uuid(1)}; in 2 MIG slices (MIG-7c1a, MIG-9e8d), counted together; "
        "its energy counter moves every 0.1 s; accounting on"
    )
    assert "no energy counter: NVML refuses (GPU is lost)" in found[2].text
    assert found[2].advice is not None


@pytest.mark.parametrize(
    ("check", "notes"),
    [
        (STEADY, set()),
        (replace(STEADY, long_joules=72.0), {"proportion"}),
        (replace(STEADY, long_joules=48.0), {"proportion"}),
        (replace(STEADY, sum_share=1.2), {"additivity"}),
        (replace(STEADY, idle_load=0.5), {"idle power"}),
    ],
)
def test_the_self_check_notes_what_does_not_add_up(check: SelfCheck, notes: set[str]) -> None:
    findings = judge(check)
    assert {each.subject for each in findings if each.verdict == "note"} == notes
    assert all(each.advice for each in findings if each.verdict == "note")
    assert not any(each.verdict == "fail" for each in findings)


def test_proportion_is_of_mean_power() -> None:
    assert STEADY.proportion == pytest.approx(1.0)
    assert replace(STEADY, long_joules=90.0).proportion == pytest.approx(1.5)


def test_help_names_it(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    assert "doctor" in capsys.readouterr().out
