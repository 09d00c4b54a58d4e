"""CodeCarbon as it is installed still has the private names that the origins of joules rest on."""

from pathlib import Path

import pytest
from codecarbon import OfflineEmissionsTracker
from codecarbon.core.cpu import DEFAULT_POWER_PER_CORE
from codecarbon.core.util import count_cpus
from codecarbon.external.hardware import CPU
from codecarbon.external.ram import RAM
from fakes import Powercap
from test_energy_codecarbon import ScriptedDevice

from greensweep.energy.codecarbon_internals import (
    hardware_of,
    has_counter,
    has_rating,
    mode_of,
    rapl_packages,
    rated_watts,
)

GUESS = DEFAULT_POWER_PER_CORE * count_cpus()


def cpu(tmp_path: Path, mode: str, watts: int = 65) -> CPU:
    return CPU(str(tmp_path), mode, "Some CPU", watts, rapl_dir=str(tmp_path / "powercap"))


def test_a_tracker_that_was_started_shows_what_it_reads(tmp_path: Path) -> None:
    tracker = OfflineEmissionsTracker(
        country_iso_code="USA",
        output_methods=[],
        log_level="error",
        allow_multiple_runs=True,
        force_cpu_power=65,
    )
    assert hardware_of(tracker) == []
    tracker.start_task()
    found = hardware_of(tracker)
    tracker.stop_task()
    assert {type(each).__name__ for each in found} >= {"CPU", "RAM"}


@pytest.mark.parametrize("mode", ["cpu_load", "constant"])
def test_a_modelled_cpu_shows_its_mode_and_rating(tmp_path: Path, mode: str) -> None:
    found = cpu(tmp_path, mode)
    assert (mode_of(found), rated_watts(found), found.get_model()) == (mode, 65, "Some CPU")
    assert mode_of(RAM()) is None


def test_a_rating_that_is_guessed_by_threads_is_none(tmp_path: Path) -> None:
    assert has_rating(cpu(tmp_path, "cpu_load", GUESS + 1))
    assert not has_rating(cpu(tmp_path, "cpu_load", GUESS))
    unknown = CPU.from_utils(str(tmp_path), "cpu_load", "Nobody's CPU", None)
    assert not has_rating(unknown)


def test_a_cpu_that_is_counted_shows_the_folders_of_its_packages(tmp_path: Path) -> None:
    powercap = Powercap(tmp_path / "powercap")
    for package in range(2):
        powercap.zone(f"intel-rapl:{package}", f"package-{package}", 10.0 * package)
    assert sorted(each.name for each in rapl_packages(cpu(tmp_path, "intel_rapl"))) == [
        "intel-rapl:0",
        "intel-rapl:1",
    ]


def test_a_gpu_shows_whether_its_driver_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not has_counter(ScriptedDevice(handle=None, gpu_index=0))
    monkeypatch.setattr(ScriptedDevice, "millijoules", 7000)
    assert has_counter(ScriptedDevice(handle=None, gpu_index=0))
