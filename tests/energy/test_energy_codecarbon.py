"""CodeCarbon's figures: where they come from, and that laps of any length add up."""

import itertools
import multiprocessing
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from codecarbon.core.cpu import DEFAULT_POWER_PER_CORE
from codecarbon.core.gpu_device import GPUDevice
from codecarbon.core.units import Power
from codecarbon.core.util import count_cpus
from codecarbon.external.hardware import CPU, AppleSiliconChip, Raspberry
from codecarbon.external.ram import RAM
from conftest import no_sensors
from fakes import Machine, MachineProcesses, Powercap, ScriptedCounter
from gpus import Gpus

from greensweep.config import schema_energy
from greensweep.energy import EnergyReading, Meter, build_meter
from greensweep.energy.codecarbon import (
    CodeCarbonSource,
    DeviceCounter,
    HardwareCounter,
    _counters,
    _origin,
)
from greensweep.energy.codecarbon_internals import rated_watts
from greensweep.energy.counters import Counter, Step
from greensweep.energy.ledger import Ledger, MachineLedger
from greensweep.energy.load_model import LoadCounter, calibrated
from greensweep.energy.machine import MachineMeter
from greensweep.energy.reading import Quality
from greensweep.errors import EnergyError


def ram_watts() -> float:
    return RAM(tracking_mode="machine").total_power().W


def codecarbon(**options: Any) -> Meter:
    return build_meter(schema_energy.CodeCarbonConfig(**options))


def is_ram_power(joules: float, shortest: float, longest: float) -> bool:
    """Tell whether the memory's constant power gives that between two lengths of time."""
    slack = 1 + 1e-9
    return ram_watts() * shortest <= joules * slack and joules <= ram_watts() * longest * slack


@no_sensors
def test_a_machine_without_sensors_has_estimates_only() -> None:
    meter = codecarbon()
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
    source = CodeCarbonSource(schema_energy.CodeCarbonConfig(tracking_mode="process"))
    (cpu,) = [each for each in source.open() if each.component == "cpu"]
    before, began = cpu.read(), time.perf_counter()
    time.sleep(0.2)
    joules, seconds = cpu.read() - before, time.perf_counter() - began
    source.close()
    # CodeCarbon's model of a machine never falls below a tenth of the thermal design power.
    assert joules < 0.1 * rated_watts(cpu._hardware) * seconds


@pytest.mark.parametrize("pauses", [[0.0], [0.3], [0.005] * 60])
def test_laps_of_any_length_lose_no_joule_between_them(pauses: list[float]) -> None:
    meter = codecarbon()
    before = time.perf_counter()
    meter.start()
    begun = time.perf_counter()
    total = EnergyReading()
    for pause in pauses:
        time.sleep(pause)
        ending = time.perf_counter()
        total += meter.lap()
    ended = time.perf_counter()
    meter.stop()
    assert is_ram_power(total.components["ram"].joules, ending - begun, ended - before)


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
        # Each with a ledger of its own: neither is the other's neighbour.
        config = schema_energy.CodeCarbonConfig()
        short, long = (MachineMeter(CodeCarbonSource(config), Ledger()) for _ in range(2))
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
        self._tdp, self._is_generic_tdp = 100.0, False

    def start(self) -> None: ...

    def get_model(self) -> str:
        return "a CPU"

    def total_power(self) -> Power:
        self.asked += 1
        return Power.from_watts(next(self.watts))


LoadModel.__name__ = "CPU"


@pytest.fixture
def laps(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[float]]:
    """Read a counter after each of some laps: joules of each."""

    def read(hardware: Any, *seconds: float) -> list[float]:
        now = 1000.0
        with monkeypatch.context() as clock:
            clock.setattr(time, "monotonic", lambda: now)
            counter = HardwareCounter(hardware)
            values = [0.0]
            for each in seconds:
                now += each
                values.append(counter.read())
        return [after - before for before, after in itertools.pairwise(values)]

    return read


def test_a_long_lap_has_the_power_of_its_own_load(laps: Callable[..., list[float]]) -> None:
    assert laps(LoadModel([10.0, 50.0]), 2.0, 0.5) == pytest.approx([20.0, 25.0])


def test_short_laps_have_the_power_of_the_last_tenth_of_a_second(
    laps: Callable[..., list[float]],
) -> None:
    hardware = LoadModel([10.0, 50.0, 80.0])
    found = laps(hardware, 1.0, *[0.03] * 8)
    assert found == pytest.approx([10.0, 0.3, 0.3, 0.3, 1.5, 1.5, 1.5, 1.5, 2.4])
    assert hardware.asked == 3


def test_the_first_short_laps_have_the_power_of_their_own_ticks(
    laps: Callable[..., list[float]],
) -> None:
    hardware = LoadModel([10.0, 20.0, 30.0, 40.0])
    assert laps(hardware, *[0.04] * 4) == pytest.approx([0.4, 0.8, 1.2, 1.2])


# --- RAPL as CodeCarbon reads it ----------------------------------------------------------------


@pytest.fixture
def powercap(tmp_path: Path) -> Powercap:
    return Powercap(tmp_path / "powercap")


def rapl_counters(powercap: Powercap) -> list[Counter]:
    """Return the counters of CodeCarbon's CPU on a machine with these RAPL zones."""
    folder = str(powercap.folder)
    return _counters(CPU(folder, "intel_rapl", "a processor", 65, rapl_dir=folder))


def test_rapl_is_read_as_the_kernel_shows_it(powercap: Powercap) -> None:
    powercap.zone("intel-rapl:0", "package-0", 100.0, wraps_at=1000.0)
    powercap.zone("intel-rapl:0:0", "core", 50.0)
    powercap.zone("intel-rapl:0:1", "dram", 20.0)
    (counter,) = rapl_counters(powercap)
    assert (counter.component, counter.source, counter.quality) == ("cpu", "rapl", "measured")
    assert counter.key == "cpu/rapl/intel-rapl:0"  # by which runs of energy=nvml_rapl know it too
    powercap.set("intel-rapl:0", 900.0)
    assert counter.since(100.0, counter.read(), 1.0).joules == 800.0
    powercap.set("intel-rapl:0", 50.0)
    assert counter.since(900.0, counter.read(), 1.0).joules == 150.0


def test_dies_that_show_one_counter_are_counted_once(powercap: Powercap) -> None:
    for die in (0, 1):
        powercap.zone(f"intel-rapl:{die}", f"package-0-die-{die}", 100.0)
    counters = rapl_counters(powercap)
    before = [each.read() for each in counters]
    for die in (0, 1):
        powercap.set(f"intel-rapl:{die}", 160.0)
    used = [each.read() - then for each, then in zip(counters, before, strict=True)]
    assert sum(used) == 60.0


def test_a_sensor_that_does_not_tell_its_period_is_not_certain() -> None:
    class Raspberry:
        chip_part = "CPU"

        def start(self) -> None: ...

    assert HardwareCounter(Raspberry()).update_seconds == 0.1


def test_a_rapl_counter_that_vanishes_is_lost_and_not_0(powercap: Powercap) -> None:
    powercap.zone("intel-rapl:0", "package-0", 100.0)
    (counter,) = rapl_counters(powercap)
    (powercap.folder / "intel-rapl:0" / "energy_uj").unlink()
    with pytest.raises(FileNotFoundError):
        counter.read()


# --- a declared rating, and a wall meter --------------------------------------------------------


@no_sensors
def test_a_declared_rating_scales_the_cpus_model() -> None:
    for tdp in (10.0, 1000.0):
        meter = codecarbon(cpu_tdp_watts=tdp)
        meter.start()
        time.sleep(0.15)
        begun = time.perf_counter()
        meter.lap()
        time.sleep(0.15)
        ending = time.perf_counter()
        lap = meter.lap()
        longest = time.perf_counter() - begun
        meter.stop()
        cpu = lap.components["cpu"]
        assert (cpu.source, cpu.quality) == ("declared_tdp_load_model", "estimated")
        # From a tenth of the rating at rest to all of it.
        assert 0.1 * tdp * (ending - begun) * 0.9 < cpu.joules <= tdp * longest * 1.001


def test_a_wall_meters_figures_take_the_place_of_models_and_not_of_counters() -> None:
    machine = Machine()

    def kept(cpu: Quality) -> list[tuple[str, str]]:
        parts = [
            ScriptedCounter(machine, "cpu", quality=cpu),
            ScriptedCounter(machine, "gpu"),
            ScriptedCounter(machine, "ram", quality="estimated"),
        ]
        opened = calibrated(parts, schema_energy.CalibrationConfig(30.0, 90.0))
        return [(each.component, each.source) for each in opened]

    assert kept("estimated") == [("cpu", "wall_calibrated_load_model"), ("gpu", "script")]
    assert kept("measured") == [("cpu", "script"), ("gpu", "script"), ("ram", "script")]


def test_calibrated_power_goes_in_a_straight_line_from_rest_to_all_cores_busy() -> None:
    machine = Machine()
    counter = LoadCounter(
        30.0, 90.0, cores=4, processes=MachineProcesses(machine, 1), clock=lambda: machine.now
    )

    def watts(busy_cores: float) -> float:
        before = counter.read()
        machine.run(2.0, others=busy_cores)
        return counter.since(before, counter.read(), 2.0).joules / 2.0

    assert [watts(cores) for cores in (0.0, 1.0, 2.0, 4.0)] == pytest.approx([30, 45, 60, 90])


def test_calibrated_power_never_starts_anew_when_the_busy_time_falls() -> None:
    """The kernel takes a tick back now and then."""
    machine = Machine()
    counter = LoadCounter(
        30.0, 90.0, cores=4, processes=MachineProcesses(machine, 1), clock=lambda: machine.now
    )
    before = counter.read()
    machine.now += 0.001
    machine.busy -= 0.05
    assert counter.since(before, counter.read(), 0.001) == Step(0.0)


def test_runs_side_by_side_that_declare_other_figures_each_have_joules_by_their_own(
    tmp_path: Path,
) -> None:
    machine = Machine()

    class Declared:
        def __init__(self, idle_watts: float) -> None:
            processes = MachineProcesses(machine, 1)
            self.counter = LoadCounter(
                idle_watts, 90.0, cores=4, processes=processes, clock=lambda: machine.now
            )

        def open(self) -> list[Counter]:
            return [self.counter]

        def close(self) -> None: ...

    meters = [
        MachineMeter(
            Declared(idle_watts),
            MachineLedger(tmp_path),
            clock=lambda: machine.now,
            processes=MachineProcesses(machine, process),
            samples=False,
        )
        for process, idle_watts in enumerate((30.0, 50.0))
    ]
    for meter in meters:
        meter.start()
    for _ in range(2):
        machine.run(1.0, {0: 1.0, 1: 1.0})
        assert [meter.lap().joules for meter in meters] == pytest.approx([45.0, 60.0])


def test_a_gpu_that_does_not_exist_is_refused_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Gpus(monkeypatch, count=0)
    meter = codecarbon(gpus=[3])
    with pytest.raises(EnergyError) as refused:
        meter.start()
    assert str(refused.value) == (
        "energy.gpus names GPU 3, and there is no GPU here: set energy.gpus to GPUs that exist "
        "or to all, or leave it out for those that the run computes on"
    )


# --- where a figure comes from ------------------------------------------------------------------


def of_kind(kind: type, **attributes: Any) -> Any:
    """One of CodeCarbon's hardware objects as found on another machine."""
    hardware = object.__new__(kind)
    for name, value in attributes.items():
        setattr(hardware, name, value)
    return hardware


@pytest.mark.parametrize(
    ("hardware", "origin"),
    [
        (of_kind(CPU, _mode="intel_power_gadget"), ("cpu", "power_gadget", "measured")),
        (of_kind(CPU, _mode="windows_emi"), ("cpu", "windows_emi", "measured")),
        (of_kind(CPU, _mode="cpu_load"), ("cpu", "cpu_load_model", "estimated")),
        (of_kind(CPU, _mode="constant"), ("cpu", "constant_power", "estimated")),
        (of_kind(CPU, _mode="new"), ("cpu", "new", "estimated")),
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


@pytest.mark.parametrize(
    ("mode", "curve"), [("cpu_load", "0.1 + 0.9 load³ of"), ("constant", "half of")]
)
def test_a_model_of_the_cpu_says_by_what_rating_it_goes_and_whose_that_is(
    tmp_path: Path, mode: str, curve: str
) -> None:
    guess = DEFAULT_POWER_PER_CORE * count_cpus()
    rated, guessed = (
        HardwareCounter(CPU(str(tmp_path), mode, "Some CPU", watts)) for watts in (guess + 1, guess)
    )
    assert rated.basis == f"{curve} {guess + 1} W (as rated, Some CPU)"
    assert guessed.basis == (
        f"{curve} {guess} W (a guess of {DEFAULT_POWER_PER_CORE} W a thread: CodeCarbon has no "
        "rating, Some CPU)"
    )
    assert rated.key != guessed.key  # runs that go by other ratings share no counter
    declared = HardwareCounter(CPU(str(tmp_path), mode, "Some CPU", 9), is_declared=True)
    assert (declared.source, declared.key) == (
        "declared_tdp_load_model", "cpu/declared_tdp_load_model/9 W"
    )  # fmt: skip
    assert declared.basis == f"{curve} 9 W (declared, Some CPU)"


class ScriptedDevice(GPUDevice):
    """A GPU as CodeCarbon finds it, of 50 W; its counter shows `millijoules`, where it has one."""

    millijoules: int | None = None

    def _get_total_energy_consumption(self) -> int | None:
        return self.millijoules

    def _get_power_usage(self) -> float:
        return 50.0

    def _init_static_details(self) -> None:
        self._gpu_name, self._uuid = "a GPU", "GPU-0d5d"
        self._total_memory = self._power_limit = None


@pytest.mark.parametrize(
    ("kind", "counts", "origin", "joules"),
    [
        ("AMDGPUDevice", True, ("amdsmi", "measured"), 3.0),
        ("AMDGPUDevice", False, ("amdsmi", "estimated"), 100.0),
        ("NvidiaGPUDevice", False, ("nvml_power", "estimated"), 100.0),
    ],
)
def test_a_gpu_without_a_common_counter_is_what_codecarbon_makes_of_it(
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    counts: bool,
    origin: tuple[str, str],
    joules: float,
) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    monkeypatch.setattr(ScriptedDevice, "millijoules", 7000 if counts else None)
    counter = DeviceCounter(type(kind, (ScriptedDevice,), {})(handle=None, gpu_index=0))
    if counts:
        monkeypatch.setattr(ScriptedDevice, "millijoules", 10_000)
    now += 2.0
    assert (counter.source, counter.quality) == origin
    assert counter.read() == pytest.approx(joules)


# --- one process, many meters -------------------------------------------------------------------


def test_the_data_centre_of_a_users_codecarbon_settings_does_not_scale_the_joules(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CODECARBON_PUE", "3.0")
    meter = codecarbon()
    before = time.perf_counter()
    meter.start()
    begun = time.perf_counter()
    time.sleep(0.05)
    ending = time.perf_counter()
    lap = meter.lap()
    ended = time.perf_counter()
    meter.stop()
    assert is_ram_power(lap.components["ram"].joules, ending - begun, ended - before)


def test_codecarbon_that_cannot_start_is_one_sentence_and_may_start_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    meter = codecarbon()
    monkeypatch.setattr("greensweep.energy.codecarbon._idle_trackers", defaultdict(list))
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
    meter = codecarbon()
    meter.start()
    running = set(threading.enumerate()) - before
    assert running
    meter.stop()
    for thread in running:
        thread.join(timeout=10)
    assert set(threading.enumerate()) - before == set()


def test_meters_side_by_side_share_the_machine() -> None:
    one, other = codecarbon(), codecarbon()
    before = time.perf_counter()
    one.start()
    other.start()
    time.sleep(0.05)
    laps = one.lap(), other.lap()
    longest = time.perf_counter() - before
    assert [lap.neighbours for lap in laps] == [1, 1]
    assert [lap.quality for lap in laps] == ["attributed", "attributed"]
    charged = sum(lap.components["ram"].charged for lap in laps)
    assert charged <= ram_watts() * longest * (1 + 1e-6)
    one.stop()
    other.lap()
    time.sleep(0.01)
    assert other.lap().neighbours == 0
    other.stop()


def test_writes_no_file(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    meter = codecarbon()
    meter.start()
    meter.lap()
    meter.stop()
    assert list(tmp_path.iterdir()) == []
