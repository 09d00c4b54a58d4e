"""Phases: every lap of the meter belongs to exactly one, whatever happens in it."""

import time
from collections.abc import Iterator

import pytest

from greensweep.energy import EnergyReading, Phases, ScriptedMeter, UnmeteredMeter
from greensweep.errors import EnergyError


def powers_of_two() -> ScriptedMeter:
    """Each lap has one bit of its own, so that a sum tells which laps are in it."""
    return ScriptedMeter((float(2**lap), float(2**lap)) for lap in range(30))


def started() -> Phases:
    phases = Phases(powers_of_two())
    phases.start()
    return phases


def joules(phases: Phases) -> dict[str, float | None]:
    return {name: reading.joules for name, reading in phases.readings.items()}


def test_phases_and_what_lies_between_them_make_the_whole() -> None:
    phases = started()
    with phases.phase("setup"):
        pass
    with phases.phase("training"):
        pass
    with phases.phase("setup"):
        pass
    phases.stop()
    assert joules(phases) == {"other": 1 + 4 + 16 + 64, "setup": 2 + 32, "training": 8}
    assert phases.total.joules == 127
    assert phases.total.seconds == 127
    assert phases.of("training").seconds == 8


def test_a_phase_that_raises_is_charged() -> None:
    phases = started()
    with pytest.raises(RuntimeError, match="broke"), phases.phase("training"):
        raise RuntimeError("broke")
    phases.stop()
    assert joules(phases) == {"other": 1 + 4, "training": 2}


def test_an_interrupted_phase_is_charged() -> None:
    phases = started()
    with pytest.raises(KeyboardInterrupt), phases.phase("training"):
        raise KeyboardInterrupt
    assert phases.of("training").joules == 2


def test_each_charges_the_making_of_an_item_and_not_the_loop_body() -> None:
    phases = started()
    made = []
    for item in phases.each("training", iter("abc")):
        made.append(item)
        with phases.phase("evaluation"):
            pass
    phases.stop()
    assert made == ["a", "b", "c"]
    training, evaluation = phases.of("training").joules, phases.of("evaluation").joules
    assert training == 2**1 + 2**5 + 2**9
    assert evaluation == 2**3 + 2**7 + 2**11
    assert phases.of("other").joules == 2**14 - 1 - training - evaluation


def test_each_makes_its_items_inside_the_phase() -> None:
    log: list[str] = []

    class Logged(ScriptedMeter):
        def lap(self, computes: bool = True) -> EnergyReading:
            log.append("lap")
            return super().lap()

    def items() -> Iterator[int]:
        for item in range(2):
            log.append("make")
            yield item

    phases = Phases(Logged([(1.0, 1.0)]))
    phases.start()
    for _ in phases.each("training", items()):
        log.append("body")
    assert log == ["lap", "make", "lap", "body", "lap", "make", "lap", "body", "lap"]


def test_each_charges_an_item_whose_making_raises() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise RuntimeError("broke")

    phases = started()
    with pytest.raises(RuntimeError, match="broke"):
        list(phases.each("training", items()))
    assert phases.of("training").joules == 2 + 8


def test_leaving_the_loop_early_keeps_what_was_charged() -> None:
    phases = started()
    for _ in phases.each("training", iter("abc")):
        break
    phases.stop()
    assert joules(phases) == {"other": 1 + 4, "training": 2}


def test_an_empty_loop_charges_nothing_to_its_phase() -> None:
    phases = started()
    assert list(phases.each("training", [])) == []
    phases.stop()
    assert joules(phases) == {"other": 1 + 2}


def test_the_device_is_waited_for_at_every_edge() -> None:
    log: list[str] = []

    class Logged(ScriptedMeter):
        def lap(self, computes: bool = True) -> EnergyReading:
            log.append("lap")
            return super().lap()

    phases = Phases(Logged([(1.0, 1.0)]), lambda: log.append("wait"))
    phases.start()
    with phases.phase("training"):
        log.append("train")
    phases.stop()
    assert log == ["wait", "lap", "train", "wait", "lap", "wait", "lap"]


def test_a_meter_is_told_what_computes() -> None:
    """In set-up a GPU waits: a run that prepares takes no turn of it."""
    told: list[bool] = []

    class Told(ScriptedMeter):
        def lap(self, computes: bool = True) -> EnergyReading:
            told.append(computes)
            return super().lap()

    phases = Phases(Told([(1.0, 1.0)]))
    phases.start()
    for name in ("setup", "training"):
        with phases.phase(name):
            pass
    assert told == [False, True, True, True]


def test_a_window_within_another_of_the_same_reading_ends_alone() -> None:
    phases = Phases(ScriptedMeter([(0.0, 0.0), (0.0, 0.0), (1.0, 1.0)]))
    phases.start()
    with phases.window() as outer:
        with phases.window() as inner:
            pass
        assert outer == inner
    assert (outer.joules, inner.joules) == (2.0, 1.0)


def test_a_stop_without_a_start_is_harmless() -> None:
    phases = Phases(powers_of_two())
    phases.stop()
    assert phases.readings == {}
    assert phases.total == EnergyReading()


def test_a_second_stop_charges_nothing() -> None:
    phases = started()
    phases.stop()
    phases.stop()
    assert joules(phases) == {"other": 1}


def test_a_phase_that_never_began_is_empty() -> None:
    assert started().of("test") == EnergyReading()
    assert started().of("test").joules is None


def test_phases_without_a_meter_have_seconds_and_no_joules() -> None:
    phases = Phases(UnmeteredMeter())
    phases.start()
    inner = time.perf_counter()
    with phases.phase("training"):
        time.sleep(0.01)
    inner = time.perf_counter() - inner
    phases.stop()
    assert phases.of("training").seconds >= 0.01
    assert phases.total.seconds >= inner
    assert phases.total.joules is None
    assert phases.total.quality == "unmeasured"


class FailsAfter(ScriptedMeter):
    """Its source is lost after so many laps."""

    def __init__(self, laps: int) -> None:
        super().__init__([(1.0, 1.0)])
        self.left, self.stopped = laps, False

    def lap(self, computes: bool = True) -> EnergyReading:
        if self.left == 0:
            raise EnergyError("the sensor is gone: set energy=unmetered")
        self.left -= 1
        return super().lap()

    def stop(self) -> None:
        self.stopped = True


def test_a_meter_that_fails_ends_its_phase_and_keeps_what_it_read() -> None:
    meter = FailsAfter(3)
    phases = Phases(meter)
    phases.start()
    with phases.phase("setup"):
        pass
    with pytest.raises(EnergyError, match="the sensor is gone"), phases.phase("training"):
        pass
    phases.stop()
    assert meter.stopped
    assert joules(phases) == {"other": 2.0, "setup": 1.0}


def test_a_meter_that_does_not_start_leaves_nothing_to_stop() -> None:
    class Absent(FailsAfter):
        def start(self) -> None:
            raise EnergyError("no sensor here: set energy=unmetered")

    meter = Absent(1)
    phases = Phases(meter)
    with pytest.raises(EnergyError, match="no sensor"):
        phases.start()
    phases.stop()
    assert phases.readings == {}
