"""What every meter must do, whatever it reads."""

import time
from collections.abc import Callable, Iterator

import pytest

from greensweep.config import schema
from greensweep.energy import (
    EnergyReading,
    Meter,
    ScriptedMeter,
    UnmeteredMeter,
    build_meter,
)
from greensweep.energy.codecarbon import CodeCarbonMeter
from greensweep.errors import EnergyError

REAL: dict[str, Callable[[], Meter]] = {
    "unmetered": UnmeteredMeter,
    "codecarbon machine": lambda: CodeCarbonMeter("machine"),
    "codecarbon process": lambda: CodeCarbonMeter("process"),
}
ALL = {"scripted": lambda: ScriptedMeter([(0.0, 1.0), (0.0, 2.0)]), **REAL}


@pytest.fixture(params=ALL)
def meter(request: pytest.FixtureRequest) -> Iterator[Meter]:
    meter = ALL[request.param]()
    yield meter
    meter.stop()


@pytest.fixture(params=REAL)
def real_meter(request: pytest.FixtureRequest) -> Iterator[Meter]:
    """A meter that follows the clock."""
    meter = REAL[request.param]()
    yield meter
    meter.stop()


def test_no_figure_is_negative(meter: Meter) -> None:
    meter.start()
    for pause in (0, 0, 0.002, 0, 0.02):
        time.sleep(pause)
        reading = meter.lap()
        assert reading.seconds >= 0
        assert all(part.joules >= 0 for part in reading.components.values())


def test_each_lap_has_the_same_components_of_the_same_origin(meter: Meter) -> None:
    meter.start()
    laps = [meter.lap() for _ in range(4)]
    origins = [
        {name: (part.source, part.quality) for name, part in lap.components.items()} for lap in laps
    ]
    assert origins[0] == origins[1] == origins[2] == origins[3]
    assert set(origins[0]) <= {"cpu", "gpu", "ram"}


def test_laps_add_up_to_the_time_from_the_first_to_the_last(real_meter: Meter) -> None:
    before = time.perf_counter()
    real_meter.start()
    begun = time.perf_counter()
    total = EnergyReading()
    for pause in (0.001, 0.004, 0, 0.01, 0, 0, 0.002):
        time.sleep(pause)
        total += real_meter.lap()
    ending = time.perf_counter()
    total += real_meter.lap()
    ended = time.perf_counter()
    assert ending - begun <= total.seconds <= ended - before


def test_a_lap_ends_when_it_is_asked_for(real_meter: Meter) -> None:
    real_meter.start()
    time.sleep(0.03)
    asked = time.perf_counter()
    assert real_meter.lap().seconds >= 0.03
    assert real_meter.lap().seconds <= time.perf_counter() - asked


def test_a_restart_begins_anew(meter: Meter) -> None:
    meter.start()
    time.sleep(0.03)
    again = time.perf_counter()
    meter.start()
    assert meter.lap().seconds <= time.perf_counter() - again


def test_a_stop_without_a_start_is_harmless(meter: Meter) -> None:
    meter.stop()
    meter.stop()
    meter.start()
    meter.lap()
    meter.stop()
    meter.stop()


def test_a_stopped_meter_starts_again(meter: Meter) -> None:
    meter.start()
    first = meter.lap()
    meter.stop()
    time.sleep(0.03)
    again = time.perf_counter()
    meter.start()
    second = meter.lap()
    assert second.seconds <= time.perf_counter() - again
    assert set(second.components) == set(first.components)


def test_a_lap_without_a_start_is_refused(meter: Meter) -> None:
    with pytest.raises(EnergyError) as refused:
        meter.lap()
    assert str(refused.value) == (
        "a lap needs a started meter, this one is stopped: call start() first"
    )
    meter.start()
    meter.lap()
    meter.stop()
    with pytest.raises(EnergyError, match="a lap needs a started meter"):
        meter.lap()


def test_two_meters_one_after_the_other_do_not_share_a_lap(meter: Meter) -> None:
    other = CodeCarbonMeter()
    other.start()
    other.lap()
    other.stop()
    time.sleep(0.03)
    begun = time.perf_counter()
    meter.start()
    assert meter.lap().seconds <= time.perf_counter() - begun


def test_the_script_is_followed_lap_by_lap_and_its_last_line_repeats() -> None:
    meter = ScriptedMeter(
        [(1.0, 10.0), (2.0, 30.0)], component="gpu", source="nvml", quality="measured"
    )
    meter.start()
    laps = [meter.lap() for _ in range(3)]
    assert [(lap.seconds, lap.joules) for lap in laps] == [(1.0, 10.0), (2.0, 30.0), (2.0, 30.0)]
    assert laps[0].quality == "measured"
    assert laps[0].components["gpu"].source == "nvml"
    meter.start()
    assert meter.lap().joules == 30.0


def test_the_config_names_the_meter() -> None:
    assert isinstance(build_meter(schema.UnmeteredConfig()), UnmeteredMeter)
    assert isinstance(build_meter(schema.CodeCarbonConfig()), CodeCarbonMeter)
