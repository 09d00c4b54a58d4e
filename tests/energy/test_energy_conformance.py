"""What every meter must do, whatever it reads: one suite over all of them."""

import logging
import multiprocessing
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
from codecarbon.external.ram import RAM
from fakes import Machine, Powercap, meter_of, origins
from gpus import Gpus

from greensweep.config import schema_energy
from greensweep.energy import (
    EnergyReading,
    Meter,
    Phases,
    ScriptedMeter,
    UnmeteredMeter,
    build_meter,
)
from greensweep.energy.ledger import MachineLedger
from greensweep.errors import EnergyError

REFUSED = "a lap needs a started meter, this one is stopped: call start() first"


@dataclass
class Case:
    """A meter, and what it must say.

    Attributes:
        pass_time: lets some time pass, and the counters go on.
        spent: the joules by component that the source has counted since the meter's start, where
            the test knows them.
        watts: the bounds of the power by component, where the source is a model.
        lose: lets the source of a component fail.
        kept: the components that go on after that.
        wrap: lets the counters start again from 0 soon.
        follows_clock: its seconds are the clock's.
    """

    meter: Meter
    pass_time: Callable[[], None]
    begin: Callable[[], None] = lambda: None
    spent: Callable[[], dict[str, float]] | None = None
    watts: dict[str, tuple[float, float]] = field(default_factory=dict)
    lose: tuple[str, Callable[[], None]] | None = None
    kept: frozenset[str] = frozenset()
    wrap: Callable[[], None] | None = None
    follows_clock: bool = False

    def start(self) -> None:
        self.before = time.perf_counter()
        self.meter.start()
        self.begun = time.perf_counter()
        self.begin()

    def spend(self) -> None:
        """Let time pass before a lap ends."""
        self.pass_time()
        self.ending = time.perf_counter()

    def check(self, total: EnergyReading) -> None:
        """Hold the sum of all laps since the start against the source."""
        joules = {name: part.joules for name, part in total.components.items()}
        assert all(each >= 0 for each in joules.values())
        if self.spent is not None:
            spent = self.spent()
            assert joules.keys() == spent.keys()
            if not total.neighbours:
                assert joules == pytest.approx(spent, rel=1e-9, abs=1e-9)
            assert all(joules[name] <= spent[name] + 1e-9 for name in spent)
        if total.neighbours:
            return  # its parts of a model's slices are estimates, and have no bounds here
        shortest, longest = self.ending - self.begun, time.perf_counter() - self.before
        for name, (least, most) in self.watts.items():
            assert least * shortest <= joules[name] * (1 + 1e-9)
            assert joules[name] <= most * longest * (1 + 1e-9)


def of_a_machine(common: bool) -> Callable[..., Case]:
    def case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Case:
        machine = Machine()
        began: dict[str, float] = {}
        wraps_at = 4096.0
        meter = meter_of(
            machine,
            MachineLedger(tmp_path),
            os.getpid(),
            ("cpu", "ram"),
            common=common,
            wraps_at=wraps_at,
        )

        def spent() -> dict[str, float]:
            return {name: machine.joules[name] - began[name] for name in ("cpu", "ram")}

        def wrap() -> None:
            machine.joules.update(cpu=8 * wraps_at - 1.0, ram=9 * wraps_at - 2.0)

        return Case(
            meter,
            lambda: machine.run(0.25, {os.getpid(): 1.0}, cpu=40.0, ram=6.0),
            begin=lambda: began.update(machine.joules),
            spent=spent,
            lose=("cpu", lambda: machine.broken.add("cpu")),
            kept=frozenset({"ram"}),
            wrap=wrap if common else None,
        )

    return case


def of_nvml_rapl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Case:
    powercap, gpus = Powercap(tmp_path / "powercap"), Gpus(monkeypatch)
    monkeypatch.setattr("greensweep.energy.rapl.POWERCAP", powercap.folder)
    powercap.zone("intel-rapl:0", "package-0", 10.0, wraps_at=1000.0)
    energy = powercap.folder / "intel-rapl:0" / "energy_uj"
    shown, spent, ours = {"cpu": 10.0}, {"cpu": 0.0, "gpu": 0.0}, os.getpid()

    def spend() -> None:
        if os.getpid() != ours:  # a forked child, which would write to our file
            return
        shown["cpu"] = (shown["cpu"] + 7.0) % 1000.0
        if energy.exists():
            powercap.set("intel-rapl:0", shown["cpu"])
        gpus.joules[0] += 11.0
        spent.update(cpu=spent["cpu"] + 7.0, gpu=spent["gpu"] + 11.0)
        time.sleep(0.001)

    def wrap() -> None:
        shown["cpu"] = 999.0
        powercap.set("intel-rapl:0", 999.0)

    return Case(
        build_meter(schema_energy.NvmlRaplConfig()),
        spend,
        begin=lambda: spent.update(cpu=0.0, gpu=0.0),
        spent=lambda: dict(spent),
        lose=("cpu", energy.unlink),
        kept=frozenset({"gpu"}),
        wrap=wrap,
        follows_clock=True,
    )


def of_codecarbon(mode: str) -> Callable[..., Case]:
    def case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Case:
        meter = build_meter(schema_energy.CodeCarbonConfig(tracking_mode=mode))
        power = RAM(tracking_mode="machine").total_power().W
        watts = {"ram": (power, power)} if mode == "machine" else {}
        return Case(meter, lambda: time.sleep(0.005), watts=watts, follows_clock=True)

    return case


def of_a_wall_meter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Case:
    calibration = schema_energy.CalibrationConfig(idle_watts=30.0, load_watts=90.0)
    meter = build_meter(schema_energy.CodeCarbonConfig(calibration=calibration))
    # Load is counted in ticks: over milliseconds it may seem to be more than all cores.
    watts = {"cpu": (30.0, float("inf"))}
    return Case(meter, lambda: time.sleep(0.005), watts=watts, follows_clock=True)


def of_a_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Case:
    (tmp_path / "laps.csv").write_text("lap,joules\n" + "1,2.5\n" * 60)
    laps = {"done": 0}
    meter = build_meter(schema_energy.ReplayConfig(path=str(tmp_path / "laps.csv")))
    read = meter.lap

    def lap(computes: bool = True) -> EnergyReading:
        reading = read()
        laps["done"] += 1
        return reading

    meter.lap = lap
    return Case(
        meter,
        lambda: time.sleep(0.001),
        begin=lambda: laps.update(done=0),
        spent=lambda: {"cpu": 2.5 * laps["done"]},
        lose=("cpu", lambda: [lap() for _ in range(60 - laps["done"])]),
        follows_clock=True,
    )


def of_a_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Case:
    (tmp_path / "trace.csv").write_text("second,watts\n3,20\n3003,20\n")
    meter = build_meter(
        schema_energy.ReplayConfig(
            path=str(tmp_path / "trace.csv"),
            column="watts",
            time_column="second",
            component="gpu",
        )
    )
    watts = {"gpu": (20.0, 20.0)}
    return Case(meter, lambda: time.sleep(0.001), watts=watts, follows_clock=True)


def of_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Case:
    return Case(UnmeteredMeter(), lambda: time.sleep(0.001), spent=dict, follows_clock=True)


def of_a_script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Case:
    return Case(ScriptedMeter([(0.0, 1.0), (0.0, 2.0)]), lambda: None)


CASES: dict[str, Callable[[Path, pytest.MonkeyPatch], Case]] = {
    "machine, common counter": of_a_machine(common=True),
    "machine, process-local counter": of_a_machine(common=False),
    "nvml_rapl": of_nvml_rapl,
    "codecarbon, machine": of_codecarbon("machine"),
    "codecarbon, process": of_codecarbon("process"),
    "codecarbon, calibrated": of_a_wall_meter,
    "replay, table": of_a_table,
    "replay, trace": of_a_trace,
    "unmetered": of_nothing,
    "scripted": of_a_script,
}


OF_COUNTERS = ["machine, common counter", "machine, process-local counter", "nvml_rapl"]


def only(*names: str) -> pytest.MarkDecorator:
    """Run a test over these meters alone."""
    return pytest.mark.parametrize("case", names, indirect=True)


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Case:
    case = CASES[request.param](tmp_path, monkeypatch)
    request.addfinalizer(case.meter.stop)
    return case


def laps(case: Case, number: int) -> EnergyReading:
    """Read so many laps, and return their sum."""
    total = EnergyReading()
    for _ in range(number):
        case.spend()
        total += case.meter.lap()
    return total


# --- laps ---------------------------------------------------------------------------------------


def test_laps_add_up_to_what_the_source_counted(case: Case) -> None:
    case.start()
    case.check(laps(case, 12))


def test_no_figure_is_negative_however_short_the_lap(case: Case) -> None:
    case.start()
    total = EnergyReading()
    for lap in range(8):
        if lap % 3 == 2:
            case.spend()
        reading = case.meter.lap()
        assert reading.seconds >= 0
        assert all(part.joules >= 0 for part in reading.components.values())
        total += reading
    case.check(total)


def test_each_lap_has_the_same_components_of_the_same_origin(case: Case) -> None:
    case.start()
    found = [origins(laps(case, 1)) for _ in range(4)]
    assert found[0] == found[1] == found[2] == found[3]
    assert set(found[0]) <= {"cpu", "gpu", "ram"}


@only("nvml_rapl", *(name for name in CASES if name.startswith(("codecarbon", "replay", "unm"))))
def test_laps_cover_the_time_from_the_first_to_the_last(case: Case) -> None:
    before = time.perf_counter()
    case.start()
    begun = time.perf_counter()
    total = laps(case, 6)
    ending = time.perf_counter()
    total += case.meter.lap()
    ended = time.perf_counter()
    assert ending - begun - 1e-3 <= total.seconds <= ended - before + 1e-3


def test_windows_nest_and_phases_make_the_whole(case: Case) -> None:
    phases = Phases(case.meter)
    case.start()
    with phases.window() as outer:
        with phases.phase("setup"):
            case.spend()
        between = phases.total.joules
        with phases.window() as inner:
            for _ in phases.each("training", range(3)):
                case.spend()
        case.spend()
    parts = [phases.of(name) for name in ("setup", "training", "other")]
    whole = phases.total
    case.check(whole)
    if whole.joules is None:
        assert outer.reading.joules is inner.reading.joules is None
    else:
        assert sum(part.joules or 0.0 for part in parts) == pytest.approx(whole.joules, rel=1e-9)
        assert between + inner.reading.joules <= whole.joules + 1e-9
        assert 0 <= inner.reading.joules <= outer.reading.joules + 1e-9 <= whole.joules + 2e-9
    assert inner.reading.seconds <= outer.reading.seconds <= whole.seconds


# --- start and stop -----------------------------------------------------------------------------


def test_a_lap_without_a_start_is_refused(case: Case) -> None:
    with pytest.raises(EnergyError) as refused:
        case.meter.lap()
    assert str(refused.value) == REFUSED
    case.start()
    laps(case, 1)
    case.meter.stop()
    with pytest.raises(EnergyError) as refused:
        case.meter.lap()
    assert str(refused.value) == REFUSED


def test_a_stop_without_a_start_is_harmless(case: Case) -> None:
    case.meter.stop()
    case.meter.stop()
    case.start()
    case.check(laps(case, 2))
    case.meter.stop()
    case.meter.stop()


def test_a_restart_begins_anew(case: Case) -> None:
    case.start()
    case.spend()
    case.spend()
    again = time.perf_counter()
    case.start()
    lap = laps(case, 1)
    case.check(lap)
    if case.follows_clock:
        assert lap.seconds <= time.perf_counter() - again + 1e-3


def test_a_stopped_meter_starts_again_without_the_time_between(case: Case) -> None:
    case.start()
    first = laps(case, 1)
    case.meter.stop()
    case.spend()
    case.start()
    second = laps(case, 1)
    case.check(second)
    assert origins(second) == origins(first)


# --- what happens to a source -------------------------------------------------------------------


@only("machine, common counter", "nvml_rapl")
def test_a_counter_that_starts_again_from_0_loses_no_joule(case: Case) -> None:
    case.wrap()
    case.start()
    case.check(laps(case, 4))


@only(*OF_COUNTERS, "replay, table")
def test_a_source_lost_midway_keeps_what_it_gave_with_one_warning(
    case: Case, caplog: pytest.LogCaptureFixture
) -> None:
    component, lose = case.lose
    case.start()
    first = laps(case, 3)
    lose()
    with caplog.at_level(logging.WARNING):
        after = [laps(case, 1) for _ in range(3)]
    assert len(caplog.records) == 1
    assert all(set(lap.components) == case.kept for lap in after)
    assert all(lap.lost == {component} for lap in after)
    total = sum(after, start=first)
    assert total.components[component].joules == first.components[component].joules
    assert total.components[component].quality == "estimated"
    assert total.components[component].source == f"{first.components[component].source}+lost"
    for name in case.kept:
        assert total.components[name].quality == first.components[name].quality
        assert total.components[name].joules == pytest.approx(case.spent()[name])


@only("replay, table")
def test_after_the_loss_of_all_there_is_null_and_not_0(case: Case) -> None:
    case.start()
    laps(case, 1)
    case.lose[1]()
    assert laps(case, 2).joules is None


@pytest.mark.parametrize("jump", [-86400.0, 86400.0])
def test_a_clock_that_is_set_changes_nothing(
    case: Case, jump: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    case.start()
    total = laps(case, 2)
    begun = time.perf_counter()
    now, booted = time.time, psutil.boot_time()
    with monkeypatch.context() as clock:
        clock.setattr(time, "time", lambda: now() + jump)
        if sys.platform == "linux":
            clock.setattr(psutil._pslinux, "boot_time", lambda: booted + jump)
        after = laps(case, 3)
    assert after.seconds >= 0
    assert not after.lost
    if case.follows_clock:
        assert after.seconds <= time.perf_counter() - begun + 1.0
    case.check(total + after)


def in_a_child(case: Case, said: Any) -> None:
    try:
        case.meter.lap()
        said.send("read")
    except EnergyError as error:
        said.send(str(error))
    case.meter.stop()
    case.start()
    said.send(sorted(laps(case, 1).components))
    case.meter.stop()


def test_a_forked_child_has_a_meter_of_its_own(case: Case) -> None:
    case.start()
    total = laps(case, 2)
    here, there = multiprocessing.Pipe()
    child = multiprocessing.get_context("fork").Process(target=in_a_child, args=(case, there))
    child.start()
    assert here.poll(60)
    assert here.recv() in (REFUSED, "read")
    assert here.poll(60)
    assert here.recv() == sorted(total.components)
    child.join(60)
    assert child.exitcode == 0
    total += laps(case, 2)
    case.check(total)
    assert laps(case, 1).neighbours == 0


# --- each configuration has its meter -----------------------------------------------------------


def test_the_script_is_followed_lap_by_lap_and_its_last_line_repeats() -> None:
    meter = ScriptedMeter(
        [(1.0, 10.0), (2.0, 30.0)], component="gpu", source="nvml", quality="measured"
    )
    meter.start()
    read = [meter.lap() for _ in range(3)]
    assert [(lap.seconds, lap.joules) for lap in read] == [(1.0, 10.0), (2.0, 30.0), (2.0, 30.0)]
    assert read[0].quality == "measured"
    assert read[0].components["gpu"].source == "nvml"
    meter.start()
    assert meter.lap().joules == 30.0


def test_without_a_meter_there_are_seconds_and_no_joules() -> None:
    meter = build_meter(schema_energy.UnmeteredConfig())
    meter.start()
    time.sleep(0.002)
    lap = meter.lap()
    assert lap.seconds >= 0.002
    assert lap.joules is None
    assert lap.quality == "unmeasured"
