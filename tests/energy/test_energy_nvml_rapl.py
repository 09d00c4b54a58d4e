"""Hardware counters read directly: which zones and GPUs count, and what happens without them."""

import logging
from pathlib import Path
from typing import Any

import pynvml
import pytest
from fakes import Powercap, origins
from gpus import Gpus

from greensweep.config import schema_energy
from greensweep.energy import Meter, build_meter
from greensweep.energy.gpus import CudaDevice, machine_gpus
from greensweep.energy.nvml import NvmlCounter
from greensweep.errors import EnergyError


@pytest.fixture
def powercap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Powercap:
    powercap = Powercap(tmp_path / "powercap")
    monkeypatch.setattr("greensweep.energy.rapl.POWERCAP", powercap.folder)
    return powercap


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> Gpus:
    """No GPU, until the test adds one."""
    return Gpus(monkeypatch, count=0)


def started(**options: Any) -> Meter:
    meter = build_meter(schema_energy.NvmlRaplConfig(**options))
    meter.start()
    return meter


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING]


# --- RAPL ---------------------------------------------------------------------------------------


def test_packages_are_the_cpu_and_dram_is_the_memory_and_nothing_counts_twice(
    powercap: Powercap, gpus: Gpus, caplog: pytest.LogCaptureFixture
) -> None:
    zones = {
        "intel-rapl:0": "package-0",
        "intel-rapl:0:0": "core",
        "intel-rapl:0:1": "uncore",
        "intel-rapl:0:2": "dram",
        "intel-rapl:1": "package-1",
        "intel-rapl:1:0": "dram",
        "intel-rapl:2": "psys",
        "intel-rapl-mmio:0": "package-0",
    }
    for zone, name in zones.items():
        powercap.zone(zone, name, 1000.0)
    (powercap.folder / "intel-rapl").mkdir()  # the controller, which has no counter
    meter = started()
    for bit, zone in enumerate(zones):
        powercap.set(zone, 1000.0 + 2**bit)
    lap = meter.lap()
    meter.stop()
    assert lap.components["cpu"].joules == pytest.approx(2**0 + 2**4)
    assert lap.components["ram"].joules == pytest.approx(2**3 + 2**5)
    assert origins(lap) == {"cpu": ("rapl", "measured"), "ram": ("rapl", "measured")}
    assert said(caplog) == []


# As Linux names them. AMD's dies show their package's counter (before 6.13), Intel's their own.
TWO_DIES = {"intel-rapl:0": "package-0-die-0", "intel-rapl:1": "package-0-die-1"}
FOUR_DIES = {
    **TWO_DIES,
    "intel-rapl:2": "package-1-die-0",
    "intel-rapl:3": "package-1-die-1",
}


@pytest.mark.parametrize("began", [0.0, 5000.0])
def test_dies_that_show_one_counter_are_counted_once(
    powercap: Powercap, gpus: Gpus, began: float
) -> None:
    for zone, name in TWO_DIES.items():
        powercap.zone(zone, name, began)
        powercap.zone(f"{zone}:0", "core", began)
    meter = started()
    for joules in (60.0, 100.0):
        for zone in TWO_DIES:
            powercap.set(zone, began + joules)
        lap = meter.lap()
    meter.stop()
    assert lap.components["cpu"].joules == pytest.approx(40.0)
    assert origins(lap) == {"cpu": ("rapl", "measured")}


@pytest.mark.parametrize("began", [(0.0, 0.0), (1000.0, 1000.0), (3000.0, 200.0)])
def test_dies_with_counters_of_their_own_add_up(
    powercap: Powercap, gpus: Gpus, began: tuple[float, float]
) -> None:
    zones = list(zip(TWO_DIES.items(), began, strict=True))
    for (zone, name), joules in zones:
        powercap.zone(zone, name, joules)
    meter = started()
    total = 0.0
    for one, other in ((100.0, 60.0), (160.0, 160.0), (170.0, 180.0)):
        for (zone, _), joules, used in zip(*zip(*zones, strict=True), (one, other), strict=True):
            powercap.set(zone, joules + used)
        total += meter.lap().joules
    meter.stop()
    assert total == pytest.approx(350.0)


def test_dies_are_held_against_those_of_their_own_package(powercap: Powercap, gpus: Gpus) -> None:
    for zone, name in FOUR_DIES.items():
        powercap.zone(zone, name, 700.0)
    meter = started()
    for zone in FOUR_DIES:  # both packages used the same, by chance
        powercap.set(zone, 800.0)
    assert meter.lap().joules == pytest.approx(200.0)
    meter.stop()


def test_each_zone_starts_again_from_0_at_its_own_range(powercap: Powercap, gpus: Gpus) -> None:
    powercap.zone("intel-rapl:0", "package-0", 990.0, wraps_at=1000.0)
    powercap.zone("intel-rapl:1", "package-1", 65530.0, wraps_at=65532.610987)
    meter = started()
    powercap.set("intel-rapl:0", 4.0)
    powercap.set("intel-rapl:1", 1.0)
    lap = meter.lap()
    meter.stop()
    assert lap.joules == pytest.approx(10.0 + 4.0 + 2.610987 + 1.0)


def test_a_reset_counter_is_warned_of_once_and_counts_from_0(
    powercap: Powercap, gpus: Gpus, caplog: pytest.LogCaptureFixture
) -> None:
    powercap.zone("intel-rapl:0", "package-0", 5000.0)
    powercap.zone("intel-rapl:0:0", "dram", 10.0)
    meter = started()
    laps = []
    for joules, memory in ((5007.0, 11.0), (10.0, 13.0), (14.0, 16.0), (9.0, 16.0)):
        powercap.set("intel-rapl:0", joules)
        powercap.set("intel-rapl:0:0", memory)
        laps.append(meter.lap())
    meter.stop()
    assert [lap.components["cpu"].joules for lap in laps] == pytest.approx([7.0, 10.0, 4.0, 9.0])
    assert [origins(lap)["cpu"] for lap in laps] == [
        ("rapl", "measured"),
        ("rapl+reset", "estimated"),
        ("rapl", "measured"),
        ("rapl+reset", "estimated"),
    ]
    assert sum(lap.components["ram"].joules for lap in laps) == pytest.approx(6.0)
    assert {origins(lap)["ram"] for lap in laps} == {("rapl", "measured")}
    (warning,) = said(caplog)
    assert warning.startswith("The cpu counter cpu/rapl/intel-rapl:0 went from 5007 J to 10 J in ")


@pytest.mark.parametrize("wraps_at", [0.0, None, 262143.328850])
@pytest.mark.parametrize("now", [10.0, 200_000.0])
def test_no_step_of_a_counter_is_negative_or_more_than_hardware_uses(
    powercap: Powercap, gpus: Gpus, wraps_at: float | None, now: float
) -> None:
    powercap.zone("intel-rapl:0", "package-0", 5000.0, wraps_at=wraps_at)
    meter = started()
    powercap.set("intel-rapl:0", now)
    lap = meter.lap()
    meter.stop()
    assert lap.joules == (10.0 if now == 10.0 else 0.0)
    assert origins(lap) == {"cpu": ("rapl+reset", "estimated")}


def test_a_value_that_is_missing_once_is_part_of_the_next(
    powercap: Powercap, gpus: Gpus, caplog: pytest.LogCaptureFixture
) -> None:
    powercap.zone("intel-rapl:0", "package-0", 100.0)
    meter = started()
    powercap.set("intel-rapl:0", 130.0)
    total = meter.lap()
    (powercap.folder / "intel-rapl:0" / "energy_uj").write_text("")
    total += meter.lap()
    powercap.set("intel-rapl:0", 190.0)
    total += meter.lap()
    meter.stop()
    assert total.joules == pytest.approx(90.0)
    assert origins(total) == {"cpu": ("rapl", "measured")}
    assert said(caplog) == []


def test_a_memory_zone_that_cannot_be_read_leaves_the_packages(
    powercap: Powercap, gpus: Gpus, caplog: pytest.LogCaptureFixture
) -> None:
    powercap.zone("intel-rapl:0", "package-0", 5.0)
    powercap.zone("intel-rapl:0:0", "dram", 5.0)
    (powercap.folder / "intel-rapl:0:0" / "energy_uj").unlink()
    meter = started()
    powercap.set("intel-rapl:0", 8.0)
    lap = meter.lap()
    meter.stop()
    assert {name: part.joules for name, part in lap.components.items()} == {"cpu": 3.0}
    (warning,) = said(caplog)
    assert warning.startswith("No ram energy in this run's figures: ")


def test_a_memory_zone_without_a_range_is_counted(powercap: Powercap, gpus: Gpus) -> None:
    powercap.zone("intel-rapl:0", "package-0", 5.0)
    powercap.zone("intel-rapl:0:0", "dram", 5.0, wraps_at=None)
    meter = started()
    powercap.set("intel-rapl:0", 8.0)
    powercap.set("intel-rapl:0:0", 6.0)
    lap = meter.lap()
    meter.stop()
    assert {name: part.joules for name, part in lap.components.items()} == {"cpu": 3.0, "ram": 1.0}


def test_a_machine_without_dram_zones_has_no_figure_of_memory(
    powercap: Powercap, gpus: Gpus
) -> None:
    powercap.zone("intel-rapl:0", "package-0")
    meter = started()
    assert set(meter.lap().components) == {"cpu"}
    meter.stop()


def test_files_that_may_not_be_read_cost_a_warning_with_the_way_out(
    powercap: Powercap,
    gpus: Gpus,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    powercap.zone("intel-rapl:0", "package-0")
    gpus.joules = [5.0]
    file = powercap.folder / "intel-rapl:0" / "energy_uj"
    read = Path.read_text

    def refuse(path: Path, *arguments: Any, **options: Any) -> str:
        if path == file:  # root may read whatever the file's mode says
            raise PermissionError(13, "Permission denied", str(path))
        return read(path, *arguments, **options)

    monkeypatch.setattr(Path, "read_text", refuse)
    meter = started()
    gpus.joules = [9.0]
    lap = meter.lap()
    meter.stop()
    assert said(caplog) == [
        f"No cpu energy in this run's figures: {file} may not be read by this user, "
        "let an administrator run: chmod -R a+r /sys/class/powercap/intel-rapl*."
    ]
    assert {name: part.joules for name, part in lap.components.items()} == {"gpu": 4.0}


def test_a_file_without_a_number_costs_a_warning(
    powercap: Powercap, gpus: Gpus, caplog: pytest.LogCaptureFixture
) -> None:
    powercap.zone("intel-rapl:0", "package-0")
    (powercap.folder / "intel-rapl:0" / "energy_uj").write_text("\n")
    gpus.joules = [5.0]
    meter = started()
    assert set(meter.lap().components) == {"gpu"}
    meter.stop()
    (warning,) = said(caplog)
    assert warning.startswith("No cpu energy in this run's figures: ")


def test_one_of_two_packages_that_vanishes_takes_the_cpu_with_it(
    powercap: Powercap, gpus: Gpus, caplog: pytest.LogCaptureFixture
) -> None:
    """What is left of the CPU would look like all of it."""
    powercap.zone("intel-rapl:0", "package-0")
    powercap.zone("intel-rapl:1", "package-1")
    powercap.zone("intel-rapl:0:0", "dram")
    meter = started()
    for zone in ("intel-rapl:0", "intel-rapl:1", "intel-rapl:0:0"):
        powercap.set(zone, 8.0)
    total = meter.lap()
    (powercap.folder / "intel-rapl:1" / "energy_uj").unlink()
    for zone in ("intel-rapl:0", "intel-rapl:0:0"):
        powercap.set(zone, 20.0)
    total += meter.lap() + meter.lap()
    meter.stop()
    assert total.components["cpu"].joules == 16.0
    assert origins(total) == {"cpu": ("rapl+lost", "estimated"), "ram": ("rapl", "measured")}
    assert total.components["ram"].joules == 20.0
    (warning,) = said(caplog)
    assert warning.startswith("The cpu counter rapl failed (FileNotFoundError: ")
    assert warning.endswith("energy figures of this run hold no more of it.")


# --- NVML ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("named", "joules"), [(None, 7.0), ([1], 2.0), ([2, 0], 5.0), ([2, 2], 4.0)]
)
def test_all_gpus_count_or_those_that_are_named(
    powercap: Powercap, gpus: Gpus, named: list[int] | None, joules: float
) -> None:
    gpus.joules = [100.0, 200.0, 300.0]
    meter = started(gpus=named)
    gpus.joules = [101.0, 202.0, 304.0]
    lap = meter.lap()
    meter.stop()
    assert lap.joules == pytest.approx(joules)
    assert origins(lap) == {"gpu": ("nvml", "measured")}


@pytest.mark.parametrize(
    ("count", "named", "there"),
    [(1, 1, "GPU 0"), (4, 4, "GPUs 0 to 3"), (2, -1, "GPUs 0 to 1"), (0, 0, "no GPU here")],
)
def test_a_gpu_that_does_not_exist_is_refused_in_one_sentence(
    powercap: Powercap, gpus: Gpus, count: int, named: int, there: str
) -> None:
    powercap.zone("intel-rapl:0", "package-0")
    gpus.joules = [0.0] * count
    with pytest.raises(EnergyError) as refused:
        started(gpus=[named])
    assert str(refused.value) == (
        f"energy.gpus names GPU {named}, and there is {there}: set energy.gpus to GPUs that "
        "exist or to all, or leave it out for those that the run computes on"
    )


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (pynvml.NVML_ERROR_NO_PERMISSION, "Insufficient Permissions"),
        (pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH, "RM has detected an NVML/RM version mismatch"),
    ],
)
def test_nvml_that_refuses_costs_a_warning_and_the_cpu_is_read(
    powercap: Powercap, gpus: Gpus, caplog: pytest.LogCaptureFixture, fault: int, words: str
) -> None:
    powercap.zone("intel-rapl:0", "package-0", 1.0)
    gpus.fault = fault
    meter = started()
    powercap.set("intel-rapl:0", 4.0)
    lap = meter.lap()
    meter.stop()
    assert {name: part.joules for name, part in lap.components.items()} == {"cpu": 3.0}
    (warning,) = said(caplog)
    assert warning.startswith("No gpu energy in this run's figures: NVML refuses (")
    assert words.split()[0] in warning


@pytest.mark.parametrize(
    "fault", [pynvml.NVML_ERROR_LIBRARY_NOT_FOUND, pynvml.NVML_ERROR_DRIVER_NOT_LOADED]
)
def test_a_machine_without_gpus_lacks_nothing(
    powercap: Powercap, gpus: Gpus, caplog: pytest.LogCaptureFixture, fault: int
) -> None:
    powercap.zone("intel-rapl:0", "package-0")
    gpus.fault = fault
    meter = started()
    assert set(meter.lap().components) == {"cpu"}
    meter.stop()
    assert said(caplog) == []


def test_a_machine_without_any_counter_is_refused_in_one_sentence(
    powercap: Powercap, gpus: Gpus
) -> None:
    with pytest.raises(EnergyError) as refused:
        started()
    assert str(refused.value) == (
        "energy=nvml_rapl finds no counter that it can read (RAPL: this machine shows no RAPL "
        "zones; NVML: there is no NVIDIA GPU that the run computes on): set energy=codecarbon for "
        "estimates, or energy=unmetered"
    )


def test_a_gpu_that_falls_off_the_bus_is_kept_up_to_there(
    powercap: Powercap, gpus: Gpus, caplog: pytest.LogCaptureFixture
) -> None:
    powercap.zone("intel-rapl:0", "package-0")
    gpus.joules = [0.0]
    meter = started()
    caplog.clear()
    gpus.joules = [30.0]
    total = meter.lap()
    gpus.broken.add(0)
    powercap.set("intel-rapl:0", 7.0)
    total += meter.lap() + meter.lap()
    meter.stop()
    assert {name: part.joules for name, part in total.components.items()} == {"cpu": 7.0, "gpu": 30}
    assert total.components["gpu"].quality == "estimated"
    assert total.components["cpu"].quality == "measured"
    assert total.quality == "mixed"
    assert len(said(caplog)) == 1


def test_a_driver_that_is_loaded_anew_counts_from_0(powercap: Powercap, gpus: Gpus) -> None:
    gpus.joules = [5000.0]
    meter = started()
    gpus.joules = [3.0]
    assert meter.lap().joules == 3.0
    meter.stop()


# --- what a GPU does ----------------------------------------------------------------------------


def counter() -> NvmlCounter:
    (gpu,) = machine_gpus()
    return NvmlCounter(CudaDevice(gpu, gpu.uuid))


def test_who_computes_is_known_by_the_drivers_samples(gpus: Gpus) -> None:
    gpus.joules = [0.0]
    gpus.utilisation[0] = {11: 99, 12: 0}
    assert counter().users() == {11}


def test_a_driver_that_keeps_no_samples_tells_nothing_of_users(gpus: Gpus) -> None:
    gpus.joules = [0.0]
    assert counter().users() is None


def test_how_busy_a_gpu_is_is_the_drivers_figure(gpus: Gpus) -> None:
    gpus.joules = [0.0]
    assert counter().busy() is None  # a GPU that does not tell
    gpus.busy[0] = 40
    assert counter().busy() == 0.4


def test_slices_of_a_gpu_do_not_wait_for_one_another(gpus: Gpus) -> None:
    gpus.joules = [0.0]
    gpus.busy[0] = 40
    (gpu,) = machine_gpus()
    assert NvmlCounter(CudaDevice(gpu, "MIG-5d5df1de-2b9c-4f4b-8e7c-f25d30f3c09f")).busy() == 0.0
