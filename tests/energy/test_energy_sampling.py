"""Between laps counters are read from a thread, which ends with its meter."""

import gc
import threading
import time

import pytest
from fakes import Machine, ScriptedSource, meter_of

from greensweep.energy.ledger import Ledger


def threads() -> set[threading.Thread]:
    return {each for each in threading.enumerate() if each.name == "greensweep-meter"}


def wait_for(told: object, seconds: float = 10.0) -> None:
    """Wait until `told()` is true; the thread takes its time."""
    until = time.monotonic() + seconds
    while not told() and time.monotonic() < until:
        time.sleep(0.002)
    assert told()


class NotedSource(ScriptedSource):
    """Notes how often its counters were read."""

    reads = 0

    def open(self) -> list:
        counters = super().open()
        for counter in counters:
            read = counter.read

            def noted(read=read) -> float:
                self.reads += 1
                return read()

            counter.read = noted
        return counters


def test_an_epoch_longer_than_many_ranges_of_a_counter_loses_none_of_them() -> None:
    machine = Machine()
    meter = meter_of(machine, Ledger())
    meter._source = source = NotedSource(machine, wraps_at=400.0)
    meter.start()
    for _ in range(9):
        machine.run(1.0, cpu=250.0)
        reads = source.reads
        wait_for(lambda reads=reads: source.reads > reads)
    lap = meter.lap()
    meter.stop()
    assert (lap.joules, lap.seconds, lap.quality) == (pytest.approx(2250.0), 9.0, "measured")


def test_a_stopped_meter_leaves_no_thread() -> None:
    before = threads()
    meter = meter_of(Machine(), Ledger())
    meter.start()
    assert len(threads() - before) == 1
    meter.start()
    assert len(threads() - before) == 1
    meter.stop()
    assert threads() - before == set()


def test_a_meter_that_nobody_stopped_takes_its_thread_with_it() -> None:
    before = threads()
    meter = meter_of(Machine(), Ledger(), wraps_at=400.0)
    meter.start()
    assert threads() - before
    del meter
    gc.collect()
    wait_for(lambda: not threads() - before)
