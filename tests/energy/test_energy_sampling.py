"""Between laps counters are read from a thread, which ends with its meter."""

import ctypes
import gc
import multiprocessing
import os
import signal
import sys
import threading
import time
from typing import Any

import pytest
from fakes import Machine, ScriptedCounter, ScriptedSource, meter_of

from greensweep.energy import EnergyReading
from greensweep.energy.counters import Counter
from greensweep.energy.ledger import Ledger
from greensweep.energy.machine import MachineMeter
from greensweep.energy.sampling import ClockReading, read_clocks


def threads() -> set[threading.Thread]:
    return {each for each in threading.enumerate() if each.name == "greensweep-meter"}


def wait_for(is_so: object, seconds: float = 10.0) -> None:
    """Wait until `is_so()` is true; the thread takes its time."""
    until = time.monotonic() + seconds
    while not is_so() and time.monotonic() < until:
        time.sleep(0.002)
    assert is_so()


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
    meter = meter_of(machine, Ledger(), samples=True)
    meter._source = source = NotedSource(machine, wraps_at=400.0)
    meter.start()
    for _ in range(9):
        machine.run(1.0, cpu=250.0)
        reads = source.reads
        wait_for(lambda reads=reads: source.reads > reads)
    lap = meter.lap()
    meter.stop()
    assert (lap.joules, lap.seconds, lap.quality) == (pytest.approx(2250.0), 9.0, "measured")


def test_a_counter_is_read_twice_at_least_in_each_of_its_ranges() -> None:
    """Whatever hardware of 10 kW at most draws."""
    assert ScriptedCounter(Machine(), wraps_at=262_000.0).seconds_to_half_range == 13.1
    assert ScriptedCounter(Machine()).seconds_to_half_range is None


def test_a_stopped_meter_leaves_no_thread() -> None:
    before = threads()
    meter = meter_of(Machine(), Ledger(), samples=True)
    meter.start()
    assert len(threads() - before) == 1
    meter.start()
    assert len(threads() - before) == 1
    meter.stop()
    assert threads() - before == set()


def test_a_meter_that_nobody_stopped_takes_its_thread_with_it() -> None:
    before = threads()
    meter = meter_of(Machine(), Ledger(), samples=True, wraps_at=400.0)
    meter.start()
    assert threads() - before
    del meter
    gc.collect()
    wait_for(lambda: not threads() - before)


# --- time in which the process did not run ------------------------------------------------------


class Clocks:
    """The clocks of a process that a test stops, and of its machine that a test sends to sleep."""

    def __init__(self) -> None:
        self.machine = Machine()
        self.seconds = self.asleep = self.awake = 0.0
        self.meter = meter_of(self.machine, Ledger(), clocks=self.read, samples=True)
        self.meter.start()

    def read(self, thread: int | None) -> ClockReading:
        return ClockReading(self.seconds, self.asleep, self.awake)

    def pass_time(
        self, seconds: float, *, awake: float = 0.0, asleep: float = 0.0, watts: float = 40.0
    ) -> None:
        self.machine.run(seconds, cpu=watts)
        self.seconds += seconds
        self.awake += awake
        self.asleep += asleep


@pytest.fixture
def clocks() -> Any:
    clocks = Clocks()
    yield clocks
    clocks.meter.stop()


def test_a_stopped_process_is_charged_nothing_meanwhile(
    clocks: Clocks, caplog: pytest.LogCaptureFixture
) -> None:
    clocks.pass_time(0.75, awake=0.01)
    before = clocks.meter.lap()
    clocks.pass_time(25.0, awake=0.01, watts=30.0)
    gap = clocks.meter.lap()
    clocks.pass_time(0.5, awake=0.01)
    after = clocks.meter.lap()
    assert (before.seconds, before.joules, before.gap_seconds) == (0.75, 30.0, 0.0)
    assert (gap.seconds, gap.joules, gap.gap_seconds, gap.gap_joules) == (0.0, None, 25.0, 750.0)
    total = before + gap + after
    assert (total.seconds, total.joules) == (1.25, 50.0)
    assert (total.gap_seconds, total.gap_joules, total.quality) == (25.0, 750.0, "measured")
    clocks.pass_time(9.0)
    clocks.meter.lap()
    (warning,) = caplog.records
    assert warning.getMessage() == (
        "This process did not run for 25.0 s: it was stopped, or the machine slept. 750 J of that "
        "time are in no phase of it."
    )


def test_a_machine_that_slept_is_charged_to_nobody(clocks: Clocks) -> None:
    clocks.pass_time(0.5, awake=0.01, asleep=3600.0)  # the clock of seconds stands still meanwhile
    lap = clocks.meter.lap()
    assert (lap.seconds, lap.joules, lap.gap_seconds, lap.gap_joules) == (0.0, None, 3600.5, 20.0)


def test_a_process_whose_lap_waits_for_the_ledger_runs(clocks: Clocks) -> None:
    def sampled_meanwhile() -> None:
        for _ in range(50):
            clocks.pass_time(0.5, awake=0.01)
            clocks.meter._sample()

    with clocks.meter._lock:  # which a lap holds while it is read
        thread = threading.Thread(target=sampled_meanwhile, daemon=True)
        thread.start()
        thread.join(10.0)
        assert not thread.is_alive()
    lap = clocks.meter.lap()
    assert (lap.seconds, lap.joules, lap.gap_seconds) == (25.0, 1000.0, 0.0)


@pytest.mark.parametrize("awake", [20.0, 30.0])
def test_a_call_that_keeps_threads_from_running_is_charged(clocks: Clocks, awake: float) -> None:
    """It holds Python's lock, or other processes hold the cores."""
    clocks.pass_time(25.0, awake=awake)
    lap = clocks.meter.lap()
    assert (lap.seconds, lap.joules, lap.gap_seconds) == (25.0, 1000.0, 0.0)


def test_where_the_system_does_not_tell_of_threads_the_process_stands_for_them() -> None:
    before = time.process_time()
    assert before <= read_clocks(None).awake <= time.process_time()


class Steady(Counter):
    """100 W, whatever happens; sampled 20 times a second."""

    component, source, common = "cpu", "steady", True
    seconds_to_half_range = 0.05

    def read(self) -> float:
        return 100.0 * time.monotonic()


class SteadySource(ScriptedSource):
    def open(self) -> list[Counter]:
        return [Steady()]


def train_until_asked(pipe: Any) -> None:
    meter = MachineMeter(SteadySource(Machine()), Ledger())
    meter.start()
    pipe.send("begun")
    while not pipe.poll(0.01):
        pass
    pipe.send(meter.lap())
    meter.stop()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell of threads")
def test_a_real_process_that_was_stopped_is_charged_what_it_ran() -> None:
    here, there = multiprocessing.Pipe()
    before = time.monotonic()
    child = multiprocessing.get_context("fork").Process(target=train_until_asked, args=(there,))
    child.start()
    assert here.poll(60)
    here.recv()
    time.sleep(0.3)
    os.kill(child.pid, signal.SIGSTOP)
    time.sleep(1.5)
    os.kill(child.pid, signal.SIGCONT)
    here.send("end")
    assert here.poll(60)
    lap: EnergyReading = here.recv()
    child.join(60)
    whole = time.monotonic() - before
    assert 1.4 < lap.gap_seconds < whole
    assert lap.gap_joules == pytest.approx(100.0 * lap.gap_seconds, rel=0.05)
    assert lap.joules == pytest.approx(100.0 * lap.seconds, rel=0.05)
    assert 0.2 < lap.seconds < whole - 1.4


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell of threads")
def test_a_real_call_that_holds_pythons_lock_is_charged() -> None:
    meter = MachineMeter(SteadySource(Machine()), Ledger())
    meter.start()
    ctypes.PyDLL(None).usleep(1_300_000)  # which lets no other thread run
    lap = meter.lap()
    meter.stop()
    assert lap.seconds > 1.2
    assert lap.gap_seconds == 0.0
