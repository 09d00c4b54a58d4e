"""Readings add up, and say how far their joules can be trusted."""

from dataclasses import replace

import pytest

from greensweep.energy import ComponentEnergy, EnergyReading
from greensweep.energy.reading import RUNS

RAPL = ComponentEnergy(30.0, "rapl", "measured")
NVML = ComponentEnergy(50.0, "nvml", "measured")
RAM = ComponentEnergy(20.0, "constant_power", "estimated")
LOAD = ComponentEnergy(5.0, "cpu_load_model", "estimated")


def test_joules_are_the_sum_of_the_components() -> None:
    reading = EnergyReading(2.0, {"cpu": RAPL, "gpu": NVML, "ram": RAM})
    assert reading.joules == 100.0
    assert reading.kwh == pytest.approx(100 / 3.6e6)
    assert reading.power_watts == 50.0


def test_an_unmetered_window_has_seconds_and_no_figures() -> None:
    reading = EnergyReading(2.0)
    assert (reading.seconds, reading.neighbours) == (2.0, 0)
    assert reading.joules is None
    assert reading.kwh is None
    assert reading.power_watts is None
    assert reading.measured_share is None
    assert reading.constant_share is None
    assert reading.quality == "unmeasured"


@pytest.mark.parametrize(
    ("components", "quality", "measured", "constant"),
    [
        ({"cpu": RAPL, "gpu": NVML}, "measured", 1.0, 0.0),
        ({"cpu": LOAD, "ram": RAM}, "estimated", 0.0, 0.8),
        ({"cpu": RAPL, "gpu": NVML, "ram": RAM}, "mixed", 0.8, 0.2),
        ({"ram": RAM}, "estimated", 0.0, 1.0),
        ({"cpu": ComponentEnergy(1.0, "table", "replayed")}, "replayed", 0.0, 0.0),
    ],
)
def test_quality_and_shares_follow_the_components(
    components: dict[str, ComponentEnergy], quality: str, measured: float, constant: float
) -> None:
    reading = EnergyReading(1.0, components)
    assert reading.quality == quality
    assert reading.measured_share == pytest.approx(measured)
    assert reading.constant_share == pytest.approx(constant)


@pytest.mark.parametrize("taken_off", [-1.0, -20.0, -30.0])
def test_there_are_no_shares_where_a_component_has_less_than_0(taken_off: float) -> None:
    reading = EnergyReading(0.01, {"cpu": replace(LOAD, joules=taken_off), "ram": RAM})
    assert reading.constant_share is None
    assert reading.measured_share is None


def test_no_joules_at_all_have_shares_of_0() -> None:
    reading = EnergyReading(0.0, {"cpu": ComponentEnergy(0.0, "rapl", "measured")})
    assert reading.joules == 0.0
    assert reading.measured_share == 0.0
    assert reading.constant_share == 0.0
    assert reading.power_watts is None


def test_readings_add_up_component_by_component() -> None:
    both = EnergyReading(1.0, {"cpu": RAPL, "ram": RAM}) + EnergyReading(
        0.5, {"cpu": ComponentEnergy(1.5, "rapl", "measured"), "gpu": NVML}
    )
    assert both == EnergyReading(
        1.5, {"cpu": ComponentEnergy(31.5, "rapl", "measured"), "ram": RAM, "gpu": NVML}
    )


def test_adding_an_empty_reading_changes_nothing() -> None:
    reading = EnergyReading(1.0, {"cpu": RAPL})
    assert reading + EnergyReading() == reading
    assert EnergyReading() + reading == reading
    assert sum([reading, reading], start=EnergyReading()) == EnergyReading(
        2.0, {"cpu": ComponentEnergy(60.0, "rapl", "measured")}
    )


def test_adding_leaves_both_readings_as_they_were() -> None:
    one, other = EnergyReading(1.0, {"cpu": RAPL}), EnergyReading(1.0, {"cpu": LOAD, "ram": RAM})
    one + other
    assert one == EnergyReading(1.0, {"cpu": RAPL})
    assert other == EnergyReading(1.0, {"cpu": LOAD, "ram": RAM})


def test_a_component_of_two_origins_names_each_once() -> None:
    one, other = EnergyReading(1.0, {"cpu": RAPL}), EnergyReading(1.0, {"cpu": LOAD})
    cpu = (one + other + one + other).components["cpu"]
    assert cpu == ComponentEnergy(70.0, "rapl+cpu_load_model", "mixed")


@pytest.mark.parametrize(
    ("beside", "contended", "quality"),
    [
        ({}, (), "measured"),
        ({"others": 1.0}, (), "measured"),  # of 34 J, a twentieth is 1.7
        ({"others": 2.0}, ("others",), "attributed"),
        (
            {"others": 4.0, "runs of Greensweep": 4.0},
            ("runs of Greensweep", "others"),
            "attributed",
        ),
        ({"runs of Greensweep": 4.0}, ("runs of Greensweep",), "attributed"),
    ],
)
def test_a_run_whose_machine_was_shared_for_a_notable_part_is_attributed(
    beside: dict[str, float], contended: tuple[str, ...], quality: str
) -> None:
    shared = ComponentEnergy(4.0, "rapl", "measured", beside=beside)
    both = EnergyReading(1.0, {"cpu": RAPL}) + EnergyReading(1.0, {"cpu": shared}, neighbours=3)
    assert (both.joules, both.neighbours) == (34.0, 3)
    assert (both.contended, both.quality) == (contended, quality)


def test_what_a_lost_source_gave_is_an_estimate_for_good() -> None:
    before, after = (
        EnergyReading(1.0, {"cpu": RAPL, "gpu": NVML}),
        EnergyReading(1.0, {"gpu": NVML}, lost=frozenset({"cpu"})),
    )
    total = before + after + after
    assert total.components["cpu"] == ComponentEnergy(30.0, "rapl+lost", "estimated")
    assert total.components["gpu"] == ComponentEnergy(150.0, "nvml", "measured")
    assert total.quality == "mixed"


def test_net_joules_add_up_only_where_both_have_them() -> None:
    net = EnergyReading(1.0, {"cpu": ComponentEnergy(30.0, "rapl", "measured", 12.5)})
    assert (net + net).net_joules == 25.0
    assert (net + EnergyReading(1.0, {"cpu": RAPL})).net_joules is None
    assert (net + EnergyReading(1.0)).net_joules == 12.5


def test_what_is_charged_adds_up_where_one_part_is_the_runs_own() -> None:
    own = ComponentEnergy(10.0, "rapl", "measured")
    shared = ComponentEnergy(10.0, "rapl", "measured", charged_joules=6.0)
    assert [(own + own).charged_joules, (own + own).charged] == [None, 20.0]
    assert [(own + shared).charged, (shared + own).charged] == [16.0, 16.0]


def test_a_share_of_joules_whose_idle_power_is_not_known_does_not_compare() -> None:
    shared = ComponentEnergy(10.0, "rapl", "measured", beside={RUNS: 10.0}, unsettled_joules=10.0)
    settled = replace(shared, unsettled_joules=0.0)
    assert [EnergyReading(1.0, {"cpu": each}).basis for each in (RAPL, settled, shared)] == [
        "reading", "work_and_idle", "share"
    ]  # fmt: skip
    assert not (shared + shared).comparable
