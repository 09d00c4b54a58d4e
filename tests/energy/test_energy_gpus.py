"""GPUs: which of them CUDA shows a run, and whose energy it is charged by either meter."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fakes import Powercap
from gpus import Gpus

from greensweep.config import schema_energy
from greensweep.energy import Meter, build_meter, notices, warn_once_per_sweep
from greensweep.energy.build import build_source
from greensweep.energy.gpus import _uuids_by_speed, cuda_devices, machine_gpus
from greensweep.errors import EnergyError

A, B, C = (Gpus.uuid(index) for index in range(3))
SLICES = ["MIG-7c1a5d5a-0d4c-5e5a-9f0e-1a2b3c4d5e6f", "MIG-9e8d7c6b-5a49-5837-8261-504f3e2d1c0b"]

METERS = {"nvml_rapl": schema_energy.NvmlRaplConfig, "codecarbon": schema_energy.CodeCarbonConfig}


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> Gpus:
    """Three alike."""
    return Gpus(monkeypatch, count=3)


@pytest.fixture(params=METERS)
def meter(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Meter]:
    """Start either meter of a run on a device, on a machine whose CPU has a counter."""
    powercap = Powercap(tmp_path / "powercap")
    powercap.zone("intel-rapl:0", "package-0")
    monkeypatch.setattr("greensweep.energy.rapl.POWERCAP", powercap.folder)

    def started(device: str | None = None, **options: Any) -> Meter:
        made = build_meter(METERS[request.param](**options), device=device)
        made.start()
        return made

    return started


def used(gpus: Gpus, meter: Meter) -> float | None:
    """Let GPU 0 use 1 J, GPU 1 10 J and GPU 2 100 J, and return what the meter says of it."""
    gpus.joules = [joules + 10**index for index, joules in enumerate(gpus.joules)]
    lap = meter.lap()
    meter.stop()
    return round(lap.components["gpu"].joules, 6) if "gpu" in lap.components else None


def shown(**environment: str) -> list[str]:
    return [device.id for device in cuda_devices(machine_gpus(), environment)]


# --- what CUDA shows ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("named", "there"),
    [
        ("2,0", [C, A]),
        (" 1 , 2 ", [B, C]),
        ("", []),
        ("-1", []),
        ("0,-1,1", [A]),
        ("0,7,1", [A]),
        ("NoDevFiles", []),
        ("1,1", []),
        (f"{B},{A}", [B, A]),
        ("GPU-2d5df", [C]),
        ("GPU-", []),
        ("GPU-f", []),
    ],
)
def test_cuda_shows_what_its_variable_names_up_to_what_is_not_there(
    gpus: Gpus, named: str, there: list[str]
) -> None:
    assert shown(CUDA_VISIBLE_DEVICES=named) == there


def test_without_the_variable_cuda_shows_every_gpu_and_every_slice_of_one(gpus: Gpus) -> None:
    assert shown() == [A, B, C]
    gpus.slices[1] = SLICES
    assert shown() == [A, *SLICES, C]


@pytest.mark.parametrize(
    ("named", "there"),
    [
        (SLICES[1], [SLICES[1]]),
        ("MIG-7c1a", [SLICES[0]]),
        ("1", [SLICES[0]]),
        (f"MIG-{B}/1/0", [f"MIG-{B}/1/0"]),
        (f"MIG-{B}9/1/0", []),
    ],
)
def test_a_slice_is_named_by_its_id_and_belongs_to_its_board(
    gpus: Gpus, named: str, there: list[str]
) -> None:
    gpus.slices[1] = SLICES
    found = cuda_devices(machine_gpus(), {"CUDA_VISIBLE_DEVICES": named})
    assert [device.id for device in found] == there
    assert all(device.gpu.uuid == B for device in found)


def test_where_gpus_differ_their_order_is_cudas_own_and_not_taken_for_granted(
    gpus: Gpus, caplog: pytest.LogCaptureFixture
) -> None:
    gpus.names[0] = "NVIDIA T4"
    assert shown(CUDA_VISIBLE_DEVICES="1", CUDA_DEVICE_ORDER="PCI_BUS_ID") == [B]
    assert not caplog.records
    shown(CUDA_VISIBLE_DEVICES="1")
    shown(CUDA_VISIBLE_DEVICES="1")
    (warning,) = caplog.records  # the driver of this machine, if any, knows nothing of these
    assert "set CUDA_DEVICE_ORDER=PCI_BUS_ID" in warning.getMessage()


@pytest.mark.parametrize(("ending", "there"), [("", [B, C, A]), ("; exit(1)", [A, B, C])])
def test_cuda_is_asked_for_its_order_and_believed_where_it_answers(
    gpus: Gpus, monkeypatch: pytest.MonkeyPatch, ending: str, there: list[str]
) -> None:
    gpus.names[0] = "NVIDIA T4"
    monkeypatch.setattr("greensweep.energy.gpus._ASK_CUDA", f"print({B!r}, {C!r}, {A!r}){ending}")
    _uuids_by_speed.cache_clear()
    assert shown() == there
    _uuids_by_speed.cache_clear()


# --- what a run is charged ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("visible", "device", "joules"),
    [
        (None, None, 111.0),
        (None, "cuda", 1.0),
        (None, "cuda:1", 10.0),
        (None, "cpu", None),
        ("2,0", None, 101.0),
        ("2,0", "cuda", 100.0),
        ("2,0", "cuda:1", 1.0),
        (None, "cuda:0,1", 11.0),
        ("2,0", "cuda:0,1", 101.0),
        ("2", "cuda:0,1", 100.0),
        (B, "cuda", 10.0),
        ("", None, None),
        ("-1", "cuda", None),
        ("1", "cuda:1", None),
    ],
)
def test_a_run_is_charged_the_gpus_that_it_computes_on(
    gpus: Gpus,
    meter: Callable[..., Meter],
    monkeypatch: pytest.MonkeyPatch,
    visible: str | None,
    device: str | None,
    joules: float | None,
) -> None:
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert used(gpus, meter(device)) == joules


@pytest.mark.parametrize(
    ("named", "joules"),
    [("all", 111.0), ([0, 2], 101.0), ([B], 10.0), (["GPU-1d5d", 1], 10.0), (2, 100.0)],
)
def test_gpus_that_are_named_are_the_machines_whatever_cuda_shows(
    gpus: Gpus,
    meter: Callable[..., Meter],
    monkeypatch: pytest.MonkeyPatch,
    named: object,
    joules: float,
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert used(gpus, meter("cpu", gpus=named)) == joules


def test_a_gpu_that_is_not_there_is_refused_by_either_meter(
    gpus: Gpus, meter: Callable[..., Meter]
) -> None:
    with pytest.raises(EnergyError, match=r"energy\.gpus names GPU 3, and there is GPUs 0 to 2"):
        meter(gpus=[3])


def test_a_run_on_a_slice_is_charged_its_board_and_says_that_it_has_a_part_of_it(
    gpus: Gpus, meter: Callable[..., Meter], monkeypatch: pytest.MonkeyPatch
) -> None:
    gpus.slices[1] = SLICES
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", SLICES[0])
    started = meter("cuda")
    gpus.joules[1] = 5.0
    gpu = started.lap().components["gpu"]
    started.stop()
    assert (gpu.joules, gpu.quality) == (pytest.approx(5.0), "attributed")


def test_both_meters_know_a_gpu_by_its_uuid_as_one_counter(gpus: Gpus) -> None:
    def counters(config: schema_energy.EnergyConfig) -> list[tuple[str, str]]:
        source = build_source(config)
        assert source is not None
        found = [(each.key, each.basis) for each in source.open() if each.component == "gpu"]
        source.close()
        return found

    mine, theirs = (counters(made()) for made in METERS.values())
    assert mine == theirs
    assert [key for key, _ in mine] == [f"gpu/nvml/{uuid}" for uuid in (A, B, C)]
    assert A in mine[0][1]


# --- several warnings of one kind ---------------------------------------------------------------


def test_what_all_runs_of_a_sweep_lack_is_warned_of_once(
    gpus: Gpus, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("greensweep.energy.rapl.POWERCAP", tmp_path)  # has no zones
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()

    def warnings(sweep: Path) -> int:
        notices._warn.cache_clear()  # another process
        caplog.clear()
        with warn_once_per_sweep(sweep), caplog.at_level(logging.WARNING):
            build_source(schema_energy.NvmlRaplConfig()).open()
        return len(caplog.records)

    assert [warnings(each) for each in (first, first, second, first)] == [1, 0, 1, 0]
