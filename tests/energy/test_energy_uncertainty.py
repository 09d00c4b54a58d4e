"""How far joules may be off: by what a counter cannot tell at the edges of a window."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from fakes import Machine, meter_of

from greensweep.energy import ComponentEnergy, EnergyReading
from greensweep.energy.counters import Counter
from greensweep.energy.ledger import Ledger
from greensweep.energy.machine import MachineMeter
from greensweep.energy.uncertainty import Steps, Uncertainty
from greensweep.energy.units import energy_span_text, energy_text
from greensweep.record.summaries import ComponentSummary, summary_of

Laps = Callable[..., list[EnergyReading]]


@pytest.fixture
def laps() -> Laps:
    """Read laps of so many seconds each, of a machine whose CPU draws 40 W and GPU 300 W."""

    def read(*seconds: float, components: tuple[str, ...] = ("cpu",), **options: Any) -> list:
        machine = Machine()
        options = {"update_seconds": 0.1, **options}
        meter = meter_of(machine, Ledger(), 1, components, **options)
        meter.start()
        found = []
        for each in seconds:
            machine.run(each, {1: 1.0}, cpu=40.0, gpu=300.0)
            found.append(meter.lap())
        meter.stop()
        return found

    return read


def total(laps: list[EnergyReading]) -> float | None:
    return sum(laps, start=EnergyReading()).uncertainty_joules


def test_a_window_may_be_off_by_a_period_of_its_counter_at_both_edges(laps: Laps) -> None:
    (lap,) = laps(5.0)
    assert lap.joules == 200.0
    assert lap.uncertainty_joules == pytest.approx(2 * 40.0 * 0.1)
    summary = summary_of(ComponentSummary, lap.components["cpu"])
    assert summary.uncertainty_joules == lap.uncertainty_joules


def test_laps_that_follow_one_another_have_two_edges_together(laps: Laps) -> None:
    found = laps(2.0, 3.0, 1.0, 4.0)
    assert total(found) == pytest.approx(8.0)
    assert total(found[::-1]) == pytest.approx(8.0)
    # As phases of a run: each adds up its own laps before they are added to one another.
    training, evaluation = found[::2], found[1::2]
    whole = sum(training, start=EnergyReading()) + sum(evaluation, start=EnergyReading())
    assert whole.uncertainty_joules == pytest.approx(8.0)


def test_laps_apart_are_independent_of_one_another(laps: Laps) -> None:
    found = laps(*[2.0] * 9)
    assert total(found[::2]) == pytest.approx(math.sqrt(5) * 8.0)


def test_a_gap_ends_one_stretch_and_begins_another() -> None:
    edges = {0.0: 1.0, 1.0: 2.0, 5.0: 10.0, 6.0: 20.0}
    assert Uncertainty(edges).joules == pytest.approx(math.hypot(1.0 + 2.0, 10.0 + 20.0))


def test_edges_of_a_short_lap_have_the_power_of_late(laps: Laps) -> None:
    found = laps(2.0, 0.001, 0.001)
    assert [lap.uncertainty_joules for lap in found[1:]] == pytest.approx([8.0, 8.0])


def test_edges_of_a_run_that_is_shorter_than_ten_periods_have_its_own_power(laps: Laps) -> None:
    assert [lap.uncertainty_joules for lap in laps(0.25, 0.25)] == pytest.approx([8.0, 8.0])


def test_edges_have_the_power_of_late_and_not_of_the_whole_run() -> None:
    steps = Steps(0.1, 0.0)
    found = [steps.of_lap(0.0, 2.0, 80.0), steps.of_lap(2.0, 4.0, 20.0)]
    assert [each.joules for each in found] == pytest.approx([2 * 40.0 * 0.1, 2 * 10.0 * 0.1])


def test_a_lap_without_length_has_no_edges() -> None:
    steps = Steps(0.1, 0.0)
    lap = steps.of_lap(0.0, 2.0, 80.0)
    assert (lap + steps.of_lap(2.0, 2.0, 0.0)).joules == pytest.approx(8.0)


def test_the_slowest_source_sets_the_period_of_a_reading(laps: Laps) -> None:
    slow, quick = laps(1.0, update_seconds=0.5), laps(1.0, update_seconds=0.1)
    assert [total.update_seconds for total in (slow[0] + quick[0], quick[0] + slow[0])] == [0.5] * 2


def test_components_are_independent_of_one_another(laps: Laps) -> None:
    (lap,) = laps(5.0, components=("cpu", "gpu"))
    assert lap.uncertainty_joules == pytest.approx(math.hypot(8.0, 60.0))


def test_a_model_is_off_by_the_same_part_of_every_lap(laps: Laps) -> None:
    found = laps(*[5.0] * 4, model_error=0.02, update_seconds=None)
    assert total(found[::2]) == pytest.approx(0.02 * 400.0)
    (lap,) = laps(5.0, model_error=0.02)
    assert lap.uncertainty_joules == pytest.approx(math.hypot(8.0, 4.0))


def test_a_counter_with_a_figure_at_every_reading_is_certain(laps: Laps) -> None:
    assert laps(5.0, update_seconds=None)[0].uncertainty_joules == 0.0


def test_a_record_does_not_say_how_certain_it_is(laps: Laps) -> None:
    assert laps(5.0, quality="replayed")[0].uncertainty_joules is None


def test_what_is_not_known_is_not_0() -> None:
    unknown = ComponentEnergy(1.0, "table", "replayed")
    known = replace(unknown, uncertainty=Uncertainty({0.0: 1.0, 1.0: 1.0}))
    assert EnergyReading(1.0, {"cpu": known}).uncertainty_joules == 2.0
    assert EnergyReading(1.0, {"cpu": known, "gpu": unknown}).uncertainty_joules is None
    assert EnergyReading(1.0).uncertainty_joules is None


class Stepping(Counter):
    """A GPU that draws 300 W, whose counter has a new figure ten times a second."""

    component, source, common, update_seconds = "gpu", "steps", True, 0.1

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def read(self) -> float:
        return 300.0 * 0.1 * math.floor(self._machine.now / 0.1 + 1e-6)


class SteppingSource:
    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def open(self) -> list[Counter]:
        return [Stepping(self._machine)]

    def close(self) -> None: ...


@pytest.mark.parametrize("seconds", [0.07, 0.23, 0.99, 3.14])
def test_the_true_figure_lies_within_its_uncertainty(seconds: float) -> None:
    machine = Machine()
    meter = MachineMeter(
        SteppingSource(machine), Ledger(), clock=lambda: machine.now, samples=False
    )
    meter.start()
    machine.run(2.0)
    meter.lap()
    for _ in range(40):
        machine.run(seconds)
        lap = meter.lap()
        assert abs(lap.joules - 300.0 * seconds) <= lap.uncertainty_joules
        assert lap.uncertainty_joules == pytest.approx(2 * 300.0 * 0.1, rel=0.1)
    meter.stop()


@pytest.mark.parametrize(
    ("joules", "uncertainty", "text"),
    [
        (323.04, 40.2, "323 ± 40 J"),
        (12345.6, 210.0, "12.35 ± 0.21 kJ"),
        (12345.6, 2345.0, "12.3 ± 2.3 kJ"),
        (1000.0, 40.0, "1.00 ± 0.04 kJ"),
        (38.0, 3.0, "38 ± 3 J"),
        (5.0, 400.0, "5 ± 400 J"),
        (-5.0, 0.25, "-5.00 ± 0.25 J"),
        (0.0, 2.0, "0 ± 2 J"),
        (5.0, 0.0, "5 J"),
        (5.0, 1e-9, "5 J"),
        (1.0, None, "1 J"),
        (math.inf, 2.0, "infinite"),
        (5.0, None, "5 J"),
        (None, None, "not metered"),
    ],
)
def test_energy_is_shown_with_its_uncertainty_in_one_unit(
    joules: float | None, uncertainty: float | None, text: str
) -> None:
    assert energy_text(joules, uncertainty) == text


@pytest.mark.parametrize(
    ("joules", "low", "high", "text"),
    [
        (20230.0, 15690.0, 24780.0, "20.2 kJ (15.7 to 24.8)"),
        (1.315, -3.851, 6.482, "1.3 J (-3.9 to 6.5)"),
        (-4.348, -25.01, 16.32, "-4 J (-25 to 16)"),
        (0.0003, -20.0, 21.0, "0 J (-20 to 21)"),
        (999.0, 998.0, 1000.0, "999 J (998 to 1000)"),
        (0.0, 0.0, 0.0, "0 J"),
        (2.0, 2.0, 2.0, "2 J"),
        (50.0, 50.0 - 1e-9, 50.0 + 1e-9, "50 J (50 J to 50 J)"),
        (1.0, 0.5, math.inf, "1 J (500 mJ to infinite)"),
    ],
)
def test_energy_is_rounded_to_its_interval(
    joules: float, low: float, high: float, text: str
) -> None:
    assert energy_span_text(joules, low, high) == text
