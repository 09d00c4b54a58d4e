"""CodeCarbon's figures: where they come from, and that laps of any length add up."""

import multiprocessing
import threading
import time
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from codecarbon.core.cpu import is_rapl_available
from codecarbon.core.gpu import AMDGPUDevice, NvidiaGPUDevice
from codecarbon.core.units import Energy, Power
from codecarbon.external.hardware import CPU, GPU, AppleSiliconChip, Raspberry
from codecarbon.external.ram import RAM

from greensweep.config import schema
from greensweep.energy import EnergyReading, build_meter
from greensweep.energy.codecarbon import CodeCarbonMeter, _origin, _Reader
from greensweep.errors import EnergyError

no_sensors = pytest.mark.skipif(
    is_rapl_available() or torch.cuda.is_available(), reason="this machine has sensors"
)


def ram_watts() -> float:
    return RAM(tracking_mode="machine").total_power().W


@no_sensors
def test_a_machine_without_sensors_has_estimates_only() -> None:
    meter = CodeCarbonMeter()
    meter.start()
    reading = meter.lap()
    meter.stop()
    assert {name: (part.source, part.quality) for name, part in reading.components.items()} == {
        "cpu": ("cpu_load_model", "estimated"),
        "ram": ("constant_power", "estimated"),
    }
    assert reading.quality == "estimated"
    assert reading.measured_share == 0.0


@no_sensors
def test_the_share_of_a_process_that_sleeps_is_below_the_machine_at_rest() -> None:
    meter = build_meter(schema.CodeCarbonConfig(tracking_mode="process"))
    meter.start()
    time.sleep(0.2)
    lap = meter.lap()
    (cpu,) = [hardware for hardware in meter._tracker._hardware if isinstance(hardware, CPU)]
    meter.stop()
    # CodeCarbon's model of a machine never falls below a tenth of the thermal design power.
    assert lap.components["cpu"].joules / lap.seconds < 0.1 * cpu._tdp


@pytest.mark.parametrize("pause", [0.0, 0.005, 0.3])
def test_ram_is_its_constant_power_times_the_seconds_of_a_lap(pause: float) -> None:
    meter = CodeCarbonMeter()
    meter.start()
    time.sleep(pause)
    lap = meter.lap()
    meter.stop()
    assert lap.components["ram"].joules == pytest.approx(ram_watts() * lap.seconds, rel=1e-6)


def test_laps_of_5_ms_lose_no_joule_between_them() -> None:
    meter = CodeCarbonMeter()
    meter.start()
    begun = time.perf_counter()
    total = EnergyReading()
    for _ in range(60):
        time.sleep(0.005)
        total += meter.lap()
    elapsed = time.perf_counter() - begun
    total += meter.lap()
    meter.stop()
    joules = total.components["ram"].joules
    assert joules == pytest.approx(ram_watts() * total.seconds, rel=1e-6)
    assert joules >= ram_watts() * elapsed * (1 - 1e-6)


def spin() -> None:
    while True:
        pass


@pytest.mark.slow
@no_sensors
def test_short_laps_and_one_long_lap_agree_under_a_constant_load() -> None:
    context = multiprocessing.get_context("fork")
    busy = [context.Process(target=spin, daemon=True) for _ in range(multiprocessing.cpu_count())]
    for process in busy:
        process.start()
    try:
        time.sleep(0.3)
        short, long = CodeCarbonMeter(), CodeCarbonMeter()
        long.start()
        short.start()
        total = EnergyReading()
        while total.seconds < 3:
            time.sleep(0.005)
            total += short.lap()
        whole = long.lap()
    finally:
        for process in busy:
            process.kill()
    short.stop()
    long.stop()
    for component in ("cpu", "ram"):
        power = total.components[component].joules / total.seconds
        expected = whole.components[component].joules / whole.seconds
        assert power == pytest.approx(expected, rel=0.1)


# --- how a load that is counted in ticks becomes power ------------------------------------------


class LoadModel:
    """A CPU whose modelled power is scripted; it notes how often it was asked."""

    def __init__(self, watts: list[float], mode: str = "cpu_load") -> None:
        self.watts, self._mode, self.asked = iter(watts), mode, 0

    def start(self) -> None: ...

    def total_power(self) -> Power:
        self.asked += 1
        return Power.from_watts(next(self.watts))


LoadModel.__name__ = "CPU"


def joules(reading: EnergyReading) -> float:
    return reading.components["cpu"].joules


def test_a_long_lap_has_the_power_of_its_own_load() -> None:
    reader = _Reader(LoadModel([10.0, 50.0]))
    assert joules(reader.read(2.0)) == pytest.approx(20.0)
    assert joules(reader.read(0.5)) == pytest.approx(25.0)


def test_short_laps_have_the_power_of_the_last_tenth_of_a_second() -> None:
    hardware = LoadModel([10.0, 50.0, 80.0])
    reader = _Reader(hardware)
    reader.read(1.0)
    laps = [joules(reader.read(0.03)) for _ in range(8)]
    assert laps == pytest.approx([0.3, 0.3, 0.3, 1.5, 1.5, 1.5, 1.5, 2.4])
    assert hardware.asked == 3


def test_the_first_short_laps_have_the_power_of_their_own_ticks() -> None:
    reader = _Reader(LoadModel([10.0, 20.0, 30.0, 40.0]))
    assert [joules(reader.read(0.04)) for _ in range(4)] == pytest.approx([0.4, 0.8, 1.2, 1.2])


def test_a_counter_is_read_at_every_lap_however_short() -> None:
    class Counter(LoadModel):
        def measure_power_and_energy(self, seconds: float) -> tuple[Power, Energy]:
            self.asked += 1
            return Power.from_watts(1.0), Energy.from_energy(kWh=seconds / 3.6e6)

    Counter.__name__ = "CPU"
    hardware = Counter([], mode="intel_rapl")
    reader = _Reader(hardware)
    assert [joules(reader.read(0.001)) for _ in range(5)] == pytest.approx([0.001] * 5)
    assert hardware.asked == 5


def of_kind(kind: type, **attributes: Any) -> Any:
    """One of CodeCarbon's hardware objects as found on another machine."""
    hardware = object.__new__(kind)
    for name, value in attributes.items():
        setattr(hardware, name, value)
    return hardware


@pytest.mark.parametrize(
    ("hardware", "origin"),
    [
        (of_kind(CPU, _mode="intel_rapl"), ("cpu", "rapl", "measured")),
        (of_kind(CPU, _mode="intel_power_gadget"), ("cpu", "power_gadget", "measured")),
        (of_kind(CPU, _mode="windows_emi"), ("cpu", "windows_emi", "measured")),
        (of_kind(CPU, _mode="cpu_load"), ("cpu", "cpu_load_model", "estimated")),
        (of_kind(CPU, _mode="constant"), ("cpu", "constant_power", "estimated")),
        (of_kind(CPU, _mode="new"), ("cpu", "new", "estimated")),
        (
            of_kind(GPU, devices=SimpleNamespace(devices=[of_kind(NvidiaGPUDevice)])),
            ("gpu", "nvml", "measured"),
        ),
        (
            of_kind(GPU, devices=SimpleNamespace(devices=[of_kind(AMDGPUDevice)])),
            ("gpu", "amdsmi", "measured"),
        ),
        (of_kind(RAM), ("ram", "constant_power", "estimated")),
        (of_kind(AppleSiliconChip, chip_part="CPU"), ("cpu", "powermetrics", "measured")),
        (of_kind(AppleSiliconChip, chip_part="GPU"), ("gpu", "powermetrics", "measured")),
        (of_kind(Raspberry, chip_part="CPU"), ("cpu", "pmic", "measured")),
        (of_kind(Raspberry, chip_part="RAM"), ("ram", "pmic", "measured")),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, tuple) else "",
)
def test_each_kind_of_hardware_has_its_origin(hardware: Any, origin: tuple[str, ...]) -> None:
    assert _origin(hardware) == origin


# --- one process, many meters -------------------------------------------------------------------


def test_the_data_centre_of_a_users_codecarbon_settings_does_not_scale_the_joules(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CODECARBON_PUE", "3.0")
    meter = CodeCarbonMeter()
    meter.start()
    lap = meter.lap()
    meter.stop()
    assert lap.components["ram"].joules == pytest.approx(ram_watts() * lap.seconds, rel=1e-6)


def test_codecarbon_that_cannot_start_is_one_sentence_and_may_start_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    meter = CodeCarbonMeter()
    with monkeypatch.context() as broken:
        broken.setenv("CODECARBON_OUTPUT_DIR", "/no/such/folder")
        with pytest.raises(EnergyError) as refused:
            meter.start()
    assert str(refused.value) == (
        "CodeCarbon cannot start (RuntimeError: its set-up failed, look at .codecarbon.config and "
        "CODECARBON_ variables): set energy=unmetered to train without energy figures"
    )
    meter.stop()
    meter.start()
    assert meter.lap().joules > 0
    meter.stop()


def test_a_stopped_meter_leaves_no_thread() -> None:
    before = set(threading.enumerate())
    meter = CodeCarbonMeter()
    meter.start()
    running = set(threading.enumerate()) - before
    assert running
    meter.stop()
    for thread in running:
        thread.join(timeout=10)
    assert set(threading.enumerate()) - before == set()


def test_meters_side_by_side_each_read_the_whole() -> None:
    one, other = CodeCarbonMeter(), CodeCarbonMeter()
    one.start()
    other.start()
    time.sleep(0.05)
    first, second = one.lap(), other.lap()
    one.stop()
    time.sleep(0.01)
    third = other.lap()
    other.stop()
    for lap in (first, second, third):
        assert lap.components["ram"].joules == pytest.approx(ram_watts() * lap.seconds, rel=1e-6)


def test_writes_no_file(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    meter = CodeCarbonMeter()
    meter.start()
    meter.lap()
    meter.stop()
    assert list(tmp_path.iterdir()) == []


def in_a_child(meter: CodeCarbonMeter, said: Any) -> None:
    try:
        meter.lap()
    except EnergyError as error:
        said.send(str(error))
    meter.stop()
    meter.start()
    said.send(sorted(meter.lap().components))
    meter.stop()


def test_a_forked_child_does_not_disturb_the_meter() -> None:
    meter = CodeCarbonMeter()
    meter.start()
    first = meter.lap()
    here, there = multiprocessing.Pipe()
    child = multiprocessing.get_context("fork").Process(target=in_a_child, args=(meter, there))
    child.start()
    assert here.poll(30)
    assert here.recv() == "a lap needs a started meter, this one is stopped: call start() first"
    assert here.poll(30)
    assert here.recv() == sorted(first.components)
    child.join(30)
    assert child.exitcode == 0
    lap = meter.lap()
    meter.stop()
    assert lap.components["ram"].joules == pytest.approx(ram_watts() * lap.seconds, rel=1e-6)
