"""The idle machine's power: measured once, kept while it holds, and taken off for net joules."""

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fakes import Machine, MachineProcesses, Powercap, ScriptedCounter, meter_of

from greensweep.config import schema_energy
from greensweep.energy import build_meter, measure_idle
from greensweep.energy.baseline import IdleBaseline, IdleRecord, machine_name
from greensweep.energy.ledger import Ledger
from greensweep.files import read_as


class Office:
    """A machine whose idle power is 20 W of CPU and 5 W of memory, and its record."""

    def __init__(self, folder: Path) -> None:
        self.machine = Machine()
        self.file = folder / "cache" / "idle.json"
        self.others = 0.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.machine.run(seconds, others=self.others, cpu=20.0, ram=5.0)

    def baseline(self, hours: float = 24.0) -> IdleBaseline:
        return IdleBaseline(
            8.0,
            hours,
            file=self.file,
            processes=MachineProcesses(self.machine, 1),
            clock=lambda: self.machine.now,
            sleep=self.sleep,
        )

    def watts(self, *components: str, hours: float = 24.0) -> dict[str, float]:
        counters = [ScriptedCounter(self.machine, each) for each in components or ("cpu", "ram")]
        return dict(self.baseline(hours).watts({each.key: each for each in counters}))

    def change(self, **values: Any) -> None:
        """Change the record, as time or another machine would."""
        self.file.write_text(json.dumps({**json.loads(self.file.read_text()), **values}))


IDLE = {"cpu/script": 20.0, "ram/script": 5.0}


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path)


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING]


def test_the_idle_machine_is_measured_once_and_used_again(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    assert office.watts() == IDLE
    assert office.watts() == IDLE
    assert office.slept == [8.0]
    record = read_as(IdleRecord, office.file)
    assert (record.machine, record.watts, record.load) == (machine_name(), IDLE, 0.0)
    assert record.seconds == 8.0
    assert said(caplog) == []


def test_a_part_of_the_counters_has_its_part_of_the_record(office: Office) -> None:
    office.watts()
    assert office.watts("ram") == {"ram/script": 5.0}
    assert office.slept == [8.0]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"machine": "elsewhere, x86_64, 64 cores"}, "is of another machine (elsewhere"),
        ({"measured_at": 0.0}, "hours old, and baseline_hours is 24"),
        ({"measured_at": 1e11}, "hours old"),  # the clock was set back since
        ({"watts": {"cpu/rapl": 9.0}}, "was measured with other counters"),
    ],
    ids=["another machine", "old", "of the future", "other counters"],
)
def test_a_record_that_does_not_hold_is_measured_anew_with_a_warning(
    office: Office, caplog: pytest.LogCaptureFixture, change: dict[str, Any], reason: str
) -> None:
    office.watts()
    office.change(**change)
    assert office.watts() == IDLE
    assert office.slept == [8.0, 8.0]
    (warning,) = said(caplog)
    assert reason in warning
    assert warning.endswith(": measured anew.")
    assert read_as(IdleRecord, office.file).machine == machine_name()
    assert office.watts() == IDLE
    assert office.slept == [8.0, 8.0]


@pytest.mark.parametrize("text", ["", "{", "[1]", "{}", '{"watts": {}}'])
def test_a_broken_record_is_as_good_as_none(office: Office, text: str) -> None:
    office.file.parent.mkdir()
    office.file.write_text(text)
    assert office.watts() == IDLE
    assert read_as(IdleRecord, office.file).watts == IDLE


def test_a_busy_machine_has_no_baseline_and_keeps_no_record(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    office.others = 100.0
    assert office.watts() == {}
    assert not office.file.exists()
    (warning,) = said(caplog)
    assert warning.startswith("No net joules: the machine was ")
    assert "% busy while its idle power was to be measured" in warning


def test_a_busy_machine_keeps_no_old_figures_either(office: Office) -> None:
    office.watts()
    office.change(measured_at=0.0)
    office.others = 100.0
    assert office.watts() == {}


def test_without_a_place_for_the_record_training_goes_on(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    office.file.parent.write_text("a file where the folder should be")
    assert office.watts() == {}
    (warning,) = said(caplog)
    assert warning.startswith("No net joules: the idle baseline cannot be kept (")


def test_a_counter_that_fails_meanwhile_has_no_baseline_and_the_others_have(
    office: Office,
) -> None:
    office.machine.broken.add("ram")
    assert office.watts() == {"cpu/script": 20.0}


# --- net joules ---------------------------------------------------------------------------------


def test_net_joules_are_those_above_idle(office: Office) -> None:
    meter = meter_of(
        office.machine, Ledger(), components=("cpu", "ram"), baseline=office.baseline()
    )
    meter.start()
    office.machine.run(4.0, {1: 1.0}, cpu=50.0, ram=4.0)
    lap = meter.lap()
    assert lap.joules == 216.0
    assert lap.components["cpu"].net_joules == 120.0
    assert lap.components["ram"].net_joules == -4.0  # less than at rest is given as it is
    assert lap.net_joules == 116.0


def test_idle_power_is_shared_as_the_time_is(office: Office) -> None:
    ledger = Ledger()
    meters = [
        meter_of(office.machine, ledger, process, baseline=office.baseline()) for process in (1, 2)
    ]
    for meter in meters:
        meter.start()
    office.machine.run(4.0, {1: 1.0, 2: 3.0}, cpu=60.0)
    laps = [meter.lap() for meter in meters]
    # 240 J are 80 of the idle machine and 160 by CPU time; alone, each would have all of the 80.
    assert [lap.joules for lap in laps] == pytest.approx([120.0, 200.0])
    assert [lap.charged_joules for lap in laps] == pytest.approx([80.0, 160.0])
    assert [lap.net_joules for lap in laps] == pytest.approx([40.0, 120.0])


def test_without_a_baseline_net_joules_are_null(office: Office) -> None:
    meter = meter_of(office.machine, Ledger())
    meter.start()
    office.machine.run(4.0, cpu=60.0)
    assert meter.lap().net_joules is None


def test_a_component_without_a_baseline_leaves_the_whole_without_net_joules(
    office: Office,
) -> None:
    class CpuOnly:
        def watts(self, counters: object) -> dict[str, float]:
            return {"cpu/script": 20.0}

    meter = meter_of(office.machine, Ledger(), components=("cpu", "ram"), baseline=CpuOnly())
    meter.start()
    office.machine.run(4.0, cpu=60.0, ram=5.0)
    lap = meter.lap()
    assert lap.components["cpu"].net_joules == 160.0
    assert lap.net_joules is None


def test_the_configuration_asks_for_a_baseline(monkeypatch: pytest.MonkeyPatch) -> None:
    class Asked(IdleBaseline):
        def watts(self, counters: Any) -> dict[str, float]:
            return dict.fromkeys(counters, self._seconds)

    monkeypatch.setattr("greensweep.energy.build.IdleBaseline", Asked)
    calibration = schema_energy.CalibrationConfig(idle_watts=30.0, load_watts=90.0)
    for baseline, known in (("measure", True), ("none", False)):
        meter = build_meter(
            schema_energy.CodeCarbonConfig(
                calibration=calibration, baseline=baseline, baseline_seconds=3.0
            )
        )
        meter.start()
        lap = meter.lap()
        meter.stop()
        cpu = lap.components["cpu"]
        assert cpu.net_joules == (pytest.approx(cpu.joules - 3.0 * lap.seconds) if known else None)


CALIBRATED = schema_energy.CodeCarbonConfig(
    calibration=schema_energy.CalibrationConfig(idle_watts=30.0, load_watts=90.0)
)


@pytest.mark.parametrize(
    ("config", "baseline", "measured"),
    [
        (CALIBRATED, "auto", False),  # which says what the idle machine draws
        (CALIBRATED, "measure", True),
        (CALIBRATED, "none", False),
        (schema_energy.NvmlRaplConfig(), "auto", True),
        (schema_energy.NvmlRaplConfig(), "measure", True),
        (schema_energy.NvmlRaplConfig(), "none", False),
        (schema_energy.UnmeteredConfig(), None, False),
    ],
)
def test_before_a_sweep_the_idle_machine_is_measured_where_its_power_is_not_known(
    config: schema_energy.EnergyConfig,
    baseline: str | None,
    measured: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[object] = []

    class Asked(IdleBaseline):
        def watts(self, counters: Any) -> dict[str, float]:
            asked.append(counters)
            return {}

    powercap = Powercap(tmp_path / "powercap")
    powercap.zone("intel-rapl:0", "package-0")
    monkeypatch.setattr("greensweep.energy.rapl.POWERCAP", powercap.folder)
    monkeypatch.setattr("greensweep.energy.build.IdleBaseline", Asked)
    measure_idle(config if baseline is None else replace(config, baseline=baseline))
    assert bool(asked) == measured
