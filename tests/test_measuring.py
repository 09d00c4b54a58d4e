"""`greensweep.measure()` around any block, and `greensweep.report()` in it."""

import os
import re
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from threading import Barrier, Thread
from typing import Any

import pytest

from greensweep.energy import ScriptedMeter
from greensweep.errors import ConfigError, EnergyError, GreensweepError
from greensweep.record.measuring import measure, measured_by, open_windows
from greensweep.record.reporting import Progress, monitored_by, report


def meter() -> ScriptedMeter:
    """Each lap reads one joule more than the one before: 1 J, 2 J, 4 J, 8 J, …"""
    return ScriptedMeter([(1.0, 2.0**n) for n in range(20)])


class Kept:
    """Keeps what is reported."""

    def __init__(self) -> None:
        self.reports: list[Progress] = []

    def on_epoch(self, progress: Progress) -> None:
        self.reports.append(progress)

    def on_repeat(self, progress: Progress) -> None:
        pass


def joules_so_far() -> float | None:
    """What the innermost open block has used."""
    windows = open_windows()
    return windows[-1].joules if windows else None


def test_a_block_holds_what_was_read_between_its_ends() -> None:
    with measured_by(meter()) as window:
        assert joules_so_far() == 2.0  # the lap of 1 J lay before the block
        assert window.joules == 2.0
    assert (window.joules, window.seconds) == (6.0, 2.0)
    assert window.reading.quality == "replayed"


def test_an_inner_block_reads_the_outer_meter_and_both_add_up() -> None:
    with measured_by(meter()) as outer:
        with measured_by(ScriptedMeter([(1.0, 1e6)])) as first:
            pass
        with measured_by(ScriptedMeter([(1.0, 1e6)])) as second:
            assert joules_so_far() == 16.0
    # Laps: 1 before, 2 between, 4 in the first, 8 between, 16 + 32 in the second, 64 after.
    assert (first.joules, second.joules) == (4.0, 48.0)
    assert outer.joules == 2.0 + 4.0 + 8.0 + 48.0 + 64.0


def test_after_an_inner_block_the_outer_one_is_told_again() -> None:
    with measured_by(meter()):
        with measured_by(meter()):
            pass
        assert joules_so_far() == 2.0 + 4.0 + 8.0


def test_blocks_of_two_threads_each_have_their_own_meter() -> None:
    both = Barrier(2)

    def measured(joules: float) -> float | None:
        with measured_by(ScriptedMeter([(1.0, joules)] * 4)) as window:
            both.wait(timeout=10)  # both are open
        return window.joules

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(measured, [3.0, 5.0])) == [3.0, 5.0]


def test_outside_of_any_block_there_is_no_figure() -> None:
    assert joules_so_far() is None
    with measured_by(meter()):
        assert joules_so_far() is not None
    assert joules_so_far() is None


@pytest.mark.parametrize("fault", [ValueError, KeyboardInterrupt])
def test_a_block_that_raises_leaves_no_meter_open(fault: type[BaseException]) -> None:
    used = meter()
    with pytest.raises(fault), measured_by(used) as outer, measured_by(used):
        raise fault
    assert outer.joules == 2.0 + 4.0 + 8.0
    assert joules_so_far() is None
    assert open_windows() == ()
    with pytest.raises(EnergyError, match="this one is stopped"):
        used.lap()
    with measured_by(ScriptedMeter([(1.0, 5.0)])) as window:
        pass
    assert window.joules == 5.0


def test_a_meter_that_cannot_start_leaves_nothing_open() -> None:
    class Broken(ScriptedMeter):
        def start(self) -> None:
            raise RuntimeError("no counter")

    with pytest.raises(RuntimeError, match="no counter"), measured_by(Broken([])):
        pass
    assert joules_so_far() is None


def test_a_report_outside_of_a_search_does_nothing_and_reads_no_meter() -> None:
    report(epoch=1, accuracy=0.5)
    with measured_by(meter()) as window:
        report(epoch=1, accuracy=0.5)
    assert window.joules == 2.0


def test_a_report_tells_what_the_surrounding_block_used() -> None:
    kept = Kept()
    with monitored_by(kept):
        report(epoch=1, accuracy=0.5)
        with measured_by(meter()):
            report(epoch=2, accuracy=0.6, epochs=4)
            report(epoch=3, joules=100.0)
    report(epoch=4)
    assert kept.reports == [
        Progress(1, 0.5, metric=None, metrics={"accuracy": 0.5}),
        Progress(2, 0.6, 2.0, 2.0, 4, quality="replayed", metric=None, metrics={"accuracy": 0.6}),
        Progress(3, None, 100.0, 100.0, quality="replayed", metric=None),
    ]


def test_a_thread_in_a_copy_of_the_context_reports_to_the_search_and_reads_its_meter() -> None:
    kept = Kept()
    with monitored_by(kept), measured_by(meter()):
        for run in (copy_context().run, lambda report: report()):
            thread = Thread(target=run, args=(lambda: report(epoch=1),))
            thread.start()
            thread.join()
    assert kept.reports == [Progress(1, None, 2.0, 2.0, quality="replayed", metric=None)]


def test_judges_nest() -> None:
    outer, inner = Kept(), Kept()
    with monitored_by(outer):
        with pytest.raises(ValueError, match="no"), monitored_by(inner):
            report(epoch=1)
            raise ValueError("no")
        report(epoch=2)
    assert [each.epoch for each in inner.reports] == [1]
    assert [each.epoch for each in outer.reports] == [2]


def test_a_fork_has_no_block_of_its_parents_open() -> None:
    with measured_by(meter()):
        child = os.fork()
        if child == 0:
            os._exit(len(open_windows()))
        assert os.waitpid(child, 0)[1] == 0
        assert len(open_windows()) == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"country": "Holland"}, "country=Holland is no ISO 3166 alpha-3 code"),
        ({"country": "USA", "region": "bavaria"}, "set grams_co2e_per_kwh"),
        ({"region": "texas"}, "region=texas needs country: set country=USA"),
        ({"gpus": [99]}, "gpus names GPU 99"),
        ({"gpus": "first"}, "gpus must be all, or a list of"),
        ({"baseline_seconds": -1}, "set baseline_seconds=10"),
        ({"cpu_tdp_watts": "lots"}, "cpu_tdp_watts: Value 'lots'"),
        ({"calibration": "nofile.json"}, "as in {'idle_watts': 40, 'load_watts': 120}"),
        ({"calibration": {"idle_watts": 40}}, "set load_watts too"),
        ({"meter": "replay"}, "path has no value: set path="),
        ({"meter": "replay", "path": "no.csv"}, "path=no.csv cannot be read (No such file or dir"),
        ({"meter": ["replay"]}, "no meter is called"),
        ({"metre": "replay"}, "no option is called 'metre': did you mean meter?"),
        ({"path": "joules.csv"}, "meter=codecarbon: no option is called 'path'"),
    ],
    ids=str,
)
def test_a_wrong_option_is_named_by_its_keyword(options: dict[str, Any], said: str) -> None:
    with pytest.raises(GreensweepError) as refused, measure(**options):
        pass
    assert said in str(refused.value)
    assert not re.search(r"energy[.=]|null|Errno", str(refused.value))


def test_a_fork_leaves_its_parents_block_as_it_ends() -> None:
    child = None
    try:
        with measure() as energy:
            child = os.fork()
            if child == 0:
                sys.exit(7)
            status = os.waitpid(child, 0)[1]
    except BaseException as raised:
        if child != 0:
            raise
        os._exit(raised.code if isinstance(raised, SystemExit) else 1)
    assert os.waitstatus_to_exitcode(status) == 7
    assert energy.joules is not None


async def coroutine() -> None:
    pass


def generator() -> Iterator[int]:
    yield 1


@pytest.mark.parametrize("function", [coroutine, generator])
def test_a_function_whose_call_does_nothing_yet_is_refused(function: Callable[[], object]) -> None:
    with pytest.raises(ConfigError, match=f"a call of {function.__name__} does nothing yet"):
        measure(meter="unmetered")(function)
