"""Recorded energy: played as it was recorded, to its end, and refused where it is wrong."""

import logging
from pathlib import Path

import pytest

from greensweep.config import schema_energy
from greensweep.energy import EnergyReading, Meter, build_meter
from greensweep.energy.ledger import Ledger
from greensweep.energy.machine import MachineMeter
from greensweep.energy.replay import ReplayTrace, TraceCounter
from greensweep.errors import EnergyError


def table(path: Path, text: str, **options: object) -> Meter:
    path.write_text(text)
    return build_meter(schema_energy.ReplayConfig(path=str(path), **options))


def test_each_lap_has_the_next_row(tmp_path: Path) -> None:
    meter = table(tmp_path / "laps.csv", "joules,note\n3.5,a\n0,b\n7,c\n")
    meter.start()
    laps = [meter.lap() for _ in range(3)]
    assert [lap.joules for lap in laps] == [3.5, 0.0, 7.0]
    assert {lap.quality for lap in laps} == {"replayed"}
    assert laps[0].components["cpu"].source == "replay"
    meter.start()
    assert meter.lap().joules == 3.5


def test_the_column_and_the_component_are_chosen(tmp_path: Path) -> None:
    text = "\ufeffa,gpu joules\n1,2.5\n"  # as a spreadsheet writes it
    meter = table(tmp_path / "laps.csv", text, column="gpu joules", component="gpu")
    meter.start()
    assert meter.lap().components["gpu"].joules == 2.5


def test_after_the_last_row_there_are_no_figures_and_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    meter = table(tmp_path / "laps.csv", "joules\n4\n")
    meter.start()
    total = meter.lap()
    with caplog.at_level(logging.WARNING):
        after = [meter.lap() for _ in range(3)]
    assert [lap.joules for lap in after] == [None] * 3
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path}/laps.csv has no more rows: later laps have no energy figures."
    ]
    total = sum(after, start=total)
    assert total.joules == 4.0
    assert total.quality == "estimated"
    assert total.components["cpu"].source == "replay+lost"


# --- traces -------------------------------------------------------------------------------------


class Clock:
    def __init__(self) -> None:
        self.now = 12345.1

    def __call__(self) -> float:
        return self.now


def played(clock: Clock, times: list[float], watts: list[float]) -> MachineMeter:
    class Source:
        def open(self) -> list[TraceCounter]:
            return [TraceCounter(times, watts, "cpu", clock)]

        def close(self) -> None: ...

    meter = MachineMeter(Source(), Ledger(), clock=clock)
    meter.start()
    return meter


def test_watts_hold_until_the_next_and_the_last_as_long_as_the_one_before() -> None:
    clock = Clock()
    meter = played(clock, [100.0, 102.0, 103.0], [10.0, 30.0, 50.0])
    found = []
    for _ in range(7):
        clock.now += 0.5
        found.append(meter.lap().joules)
    assert found == pytest.approx([5.0, 5.0, 5.0, 5.0, 15.0, 15.0, 25.0])


@pytest.mark.parametrize("cells", ["5,250", "5 W,250 W", "5000 mW,0.25 kW"])
def test_watts_may_have_their_unit_in_each_cell(tmp_path: Path, cells: str) -> None:
    first, second = cells.split(",")
    (tmp_path / "trace.csv").write_text(f"s,power\n0,{first}\n1,{second}\n")
    config = schema_energy.ReplayConfig(
        path=str(tmp_path / "trace.csv"), column="power", time_column="s"
    )
    (counter,) = ReplayTrace(config).open()
    counter._clock = lambda: counter._began + 1.5
    assert counter.read() == pytest.approx(5.0 + 0.5 * 250.0)


def test_the_length_of_laps_does_not_change_the_sum() -> None:
    clock = Clock()
    meter = played(clock, [0.1, 2.3, 3.7], [10.0, 30.0, 50.0])
    total = EnergyReading()
    for _ in range(90):
        clock.now += 0.05
        total += meter.lap()
    assert total.joules == pytest.approx(2.2 * 10 + 1.4 * 30 + 0.9 * 50)


def test_the_first_lap_begins_with_the_first_row_whatever_its_time() -> None:
    """Figures that binary cannot hold must not fall before the trace's beginning."""
    for begin in (0.1, 0.3, 1700000000.7):
        clock = Clock()
        meter = played(clock, [begin, begin + 4.0], [10.0, 10.0])
        assert meter.lap().joules is None
        clock.now += 1.0
        assert meter.lap().joules == pytest.approx(10.0)


def test_a_trace_that_ends_keeps_what_it_gave(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    meter = played(clock, [0.0, 1.0], [10.0, 20.0])
    clock.now += 1.5
    total = meter.lap()
    clock.now += 1.0
    after = meter.lap()
    assert after.joules is None
    assert after.lost == {"cpu"}
    total += after + meter.lap()
    assert (total.joules, total.quality) == (20.0, "estimated")
    (warning,) = caplog.records
    assert "the trace ends after 2 s" in warning.getMessage()


def test_one_row_holds_for_ever() -> None:
    clock = Clock()
    meter = played(clock, [7.0], [3.0])
    clock.now += 1000.0
    assert meter.lap().joules == pytest.approx(3000.0)


def test_a_replayed_run_has_no_neighbours(tmp_path: Path) -> None:
    meters = [
        table(tmp_path / "trace.csv", "s,w\n0,5\n60,5\n", column="w", time_column="s")
        for _ in range(2)
    ]
    for meter in meters:
        meter.start()
    laps = [meter.lap() for meter in meters]
    assert [(lap.neighbours, lap.quality) for lap in laps] == [(0, "replayed")] * 2


# --- what cannot be played ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("joule\n1\n", "{file}: no column is called 'joules': did you mean joule?"),
        ("a,b\n1,2\n", "{file}: no column is called 'joules': there are a, b"),
        ("joules\n", "{file} has no rows below a header: record something first"),
        ("", "{file} is empty: give a table with a header line"),
        ("joules\n1\nmany\n", "{file}, line 3: joules must be a number, got 'many'"),
        ("joules\n-1\n", "{file}, line 2: joules must be a number that is not negative, got '-1'"),
        ("joules\nnan\n", "{file}, line 2: joules must be a number that is not negative, got "),
        ("joules\ninf\n", "{file}, line 2: joules must be a number that is not negative, got "),
        ("a,joules\n1,\n", "{file}, line 2: joules must be a number that is not negative, got "),
        ("a,joules\n1\n", "{file}, line 2 has fewer cells than its header has names (1, not 2)"),
        ("joules,joules\n1,2\n", "{file} has two columns called joules: rename one of them"),
    ],
)
def test_a_table_that_is_wrong_is_refused_in_one_sentence(
    tmp_path: Path, text: str, said: str
) -> None:
    with pytest.raises(EnergyError) as refused:
        table(tmp_path / "laps.csv", text)
    assert str(refused.value).startswith(said.format(file=tmp_path / "laps.csv"))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("s,w\n0,1\n2,1\n2,1\n", "{file}, line 4: s must rise from row to row, got 2 after 2"),
        ("s,w\n3,1\n1,1\n", "{file}, line 3: s must rise from row to row, got 1 after 3"),
        ("t,w\n0,1\n", "{file}: no column is called 's': there are t, w"),
        ("s,watts\n0,1\n", "{file}: no column is called 'w': "),
        ("s,w\n0,-5\n", "{file}, line 2: w must be a number that is not negative, got '-5'"),
    ],
)
def test_a_trace_that_is_wrong_is_refused_in_one_sentence(
    tmp_path: Path, text: str, said: str
) -> None:
    with pytest.raises(EnergyError) as refused:
        table(tmp_path / "trace.csv", text, column="w", time_column="s")
    assert str(refused.value).startswith(said.format(file=tmp_path / "trace.csv"))
    assert "\n" not in str(refused.value)


def test_a_file_that_cannot_be_read_is_refused_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "image.csv").write_bytes(b"\x89\x00joules")
    with pytest.raises(EnergyError, match=r"image\.csv, line 1 is no UTF-8 text: save the file"):
        build_meter(schema_energy.ReplayConfig(path=str(tmp_path / "image.csv")))
    for path in (tmp_path / "missing.csv", tmp_path):
        with pytest.raises(EnergyError) as refused:
            build_meter(schema_energy.ReplayConfig(path=str(path)))
        assert str(refused.value).startswith(f"energy.path={path} cannot be read (")
        assert str(refused.value).endswith("): name a CSV file with a header")
