"""Runs side by side: each is charged its part, and no joule is charged twice."""

import fcntl
import json
import multiprocessing
import os
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from fakes import Machine, ScriptedSource, meter_of

from greensweep.energy import EnergyReading
from greensweep.energy.accounts import SweepTotal
from greensweep.energy.counters import Counter
from greensweep.energy.ledger import Ledger, MachineLedger, open_machine_ledger
from greensweep.energy.machine import MachineMeter, machine_totals
from greensweep.energy.processes import Processes
from greensweep.errors import EnergyError

Maker = Callable[..., MachineMeter]

pytestmark = pytest.mark.usefixtures("others_count")


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def run(machine: Machine, tmp_path: Path) -> Maker:
    """Start a metered run, which meets the others in the ledger's file: `run(process)`."""

    def started(process: int = 1, *components: str, **options: Any) -> MachineMeter:
        ledger = MachineLedger(tmp_path)
        meter = meter_of(machine, ledger, process, components or ("cpu",), **options)
        meter.start()
        return meter

    return started


def cpu(reading: EnergyReading) -> float:
    return reading.components["cpu"].joules


def total_of(sweep: Path) -> SweepTotal:
    return sum(machine_totals(sweep).values(), start=SweepTotal())


# --- shares -------------------------------------------------------------------------------------


def test_a_run_alone_is_charged_the_machine(machine: Machine, run: Maker) -> None:
    one = run()
    machine.run(2.0, {1: 1.0}, others=0.05, cpu=40.0)
    lap = one.lap()
    assert (cpu(lap), lap.seconds, lap.quality, lap.neighbours) == (80.0, 2.0, "measured", 0)
    assert (lap.contended, lap.comparable, lap.charged_joules) == ((), True, 80.0)


def test_threads_of_a_run_alone_that_wait_for_one_another_cost_it_nothing(
    machine: Machine, run: Maker
) -> None:
    one = run(idle_watts=20.0)
    machine.run(1.0, {1: 4.0}, waiting={1: 0.5}, cpu=40.0)
    lap = one.lap()
    assert (lap.joules, lap.idle_joules) == (40.0, 20.0)


@pytest.mark.parametrize("common", [True, False])
def test_runs_share_the_machine_by_cpu_time(machine: Machine, run: Maker, common: bool) -> None:
    one, other = run(1, common=common), run(2, common=common)
    machine.run(1.0, {1: 1.0, 2: 2.0}, others=1.0, cpu=40.0)
    laps = one.lap(), other.lap()
    assert [cpu(lap) for lap in laps] == pytest.approx([10.0, 20.0])
    assert [lap.neighbours for lap in laps] == [1, 1]
    assert [lap.quality for lap in laps] == ["attributed", "attributed"]
    assert [lap.seconds for lap in laps] == [1.0, 1.0]


def test_energy_of_runs_that_both_wait_is_charged_to_neither(machine: Machine, run: Maker) -> None:
    one, other = run(1), run(2)
    machine.run(1.0, cpu=40.0)
    assert [cpu(one.lap()), cpu(other.lap())] == [0.0, 0.0]


def test_time_before_a_neighbour_came_and_after_it_left_is_the_runs_own(
    machine: Machine, run: Maker
) -> None:
    one = run(1)
    machine.run(1.0, {1: 1.0}, cpu=10.0)
    other = run(2)
    machine.run(1.0, {1: 1.0, 2: 3.0}, cpu=40.0)
    assert cpu(other.lap()) == pytest.approx(30.0)
    other.stop()
    machine.run(1.0, {1: 1.0}, cpu=20.0)
    lap = one.lap()
    assert cpu(lap) == pytest.approx(10.0 + 10.0 + 20.0)
    assert lap.neighbours == 1
    machine.run(1.0, {1: 1.0}, cpu=20.0)
    lap = one.lap()
    assert (cpu(lap), lap.neighbours, lap.quality) == (20.0, 0, "measured")


def test_a_long_lap_beside_short_ones_is_charged_by_what_each_slice_drew(
    machine: Machine, run: Maker
) -> None:
    long, short = run(1), run(2)
    charged = 0.0
    for step in range(16):
        # The neighbour works in every second slice, in which the machine draws more.
        busy = 3.0 if step % 2 else 0.0
        machine.run(0.25, {1: 1.0, 2: busy}, cpu=80.0 if busy else 20.0)
        charged += cpu(short.lap())
    lap = long.lap()
    assert charged == pytest.approx(8 * 0.25 * 80.0 * 3 / 4)
    assert cpu(lap) == pytest.approx(8 * 0.25 * 20.0 + 8 * 0.25 * 80.0 / 4)
    assert lap.seconds == 4.0


def test_laps_too_short_to_count_cpu_time_in_share_equally_at_first(
    machine: Machine, run: Maker
) -> None:
    one, other = run(1), run(2)
    machine.run(0.0625, {1: 1.0}, cpu=64.0)
    assert (cpu(one.lap()), cpu(other.lap())) == (2.0, 2.0)
    machine.run(0.0625, {1: 1.0}, cpu=64.0)
    assert cpu(one.lap()) == 4.0


def test_the_most_neighbours_at_a_time_are_counted(machine: Machine, run: Maker) -> None:
    one, other = run(1), run(2)
    machine.run(1.0, {1: 1.0, 2: 1.0}, cpu=10.0)
    third = run(3)
    machine.run(1.0, {1: 1.0, 2: 1.0, 3: 1.0}, cpu=10.0)
    third.stop()
    machine.run(1.0, {1: 1.0, 2: 1.0}, cpu=10.0)
    assert one.lap().neighbours == 2
    machine.run(1.0, {1: 1.0, 2: 1.0}, cpu=10.0)
    assert (one.lap() + EnergyReading()).neighbours == 1
    assert other.lap().neighbours == 2


def test_a_machine_whose_busy_time_is_counted_late_is_charged_once(
    machine: Machine, run: Maker
) -> None:
    """The system counts the time of processes and of the machine apart."""
    one, other = run(1), run(2)
    machine.run(1.0, {1: 1.0, 2: 1.0}, cpu=40.0)
    machine.busy -= 0.5
    assert [cpu(one.lap()), cpu(other.lap())] == pytest.approx([20.0, 20.0])


def test_cpu_time_that_is_a_matter_of_rounding_is_not_taken_for_others(
    machine: Machine, run: Maker
) -> None:
    """The time of a run that does little is counted in ticks."""
    one = run(1)
    machine.run(0.5, {1: 0.15}, others=0.05, cpu=40.0)
    lap = one.lap()
    assert (cpu(lap), lap.contended) == (20.0, ())


def test_runs_of_one_process_share_its_part_equally(machine: Machine, run: Maker) -> None:
    one, other, third = run(1), run(1), run(2)
    machine.run(1.0, {1: 2.0, 2: 2.0}, cpu=40.0)
    assert [cpu(each.lap()) for each in (one, other, third)] == pytest.approx([10.0, 10.0, 20.0])


def test_a_neighbour_that_died_is_not_waited_for(machine: Machine, run: Maker) -> None:
    one = run(1)
    run(2)
    machine.run(1.0, {1: 1.0, 2: 1.0}, cpu=30.0)
    machine.dead.add(2)
    machine.run(1.0, {1: 1.0}, cpu=30.0)
    lap = one.lap()
    assert lap.neighbours == 1
    assert lap.quality == "attributed"
    assert cpu(lap) == pytest.approx(60.0 * 2 / 3)  # 2 of the 3 CPU seconds were its own
    machine.run(1.0, {1: 1.0}, cpu=30.0)
    lap = one.lap()
    assert (cpu(lap), lap.neighbours, lap.quality) == (30.0, 0, "measured")


def test_a_run_that_joins_after_a_death_leaves_the_time_before_as_it_was(
    machine: Machine, run: Maker
) -> None:
    one, _ = run(1), run(2)
    machine.run(1.0, {1: 1.0, 2: 1.0}, cpu=30.0)
    one.lap()
    machine.run(1.0, {1: 1.0, 2: 9.0}, others=10.0, cpu=40.0)
    machine.dead.add(2)
    run(3)
    assert cpu(one.lap()) == pytest.approx(40.0 / 20)


def test_runs_that_all_died_leave_nothing_to_the_next(machine: Machine, run: Maker) -> None:
    run(1)
    run(2)
    machine.run(9.0, {1: 1.0, 2: 1.0}, cpu=30.0)
    machine.dead |= {1, 2}
    one = run(3)
    machine.run(1.0, {3: 1.0}, cpu=30.0)
    lap = one.lap()
    assert (cpu(lap), lap.neighbours) == (30.0, 0)


def test_a_run_is_charged_for_its_own_counters_only(machine: Machine, run: Maker) -> None:
    one, both = run(1, "cpu"), run(2, "cpu", "gpu")
    machine.run(1.0, {1: 1.0, 2: 1.0}, cpu=40.0, gpu=100.0)
    laps = one.lap(), both.lap()
    assert {name: part.joules for name, part in laps[0].components.items()} == {"cpu": 20.0}
    assert cpu(laps[1]) == 20.0
    assert 0 < laps[1].components["gpu"].joules <= 100.0


def test_a_gpu_is_shared_by_the_time_of_those_that_compute(machine: Machine, run: Maker) -> None:
    """The driver names one process alone every 200 ms: no share of a window rests on that."""
    one, other, third = (run(process, "gpu", idle_watts=100.0) for process in (1, 2, 3))
    for meter in (one, other, third):
        meter.lap(computes=meter is not third)
    machine.run(1.0, {1: 1.0, 2: 3.0}, gpu=400.0)
    laps = [meter.lap() for meter in (one, other, third)]
    assert [lap.charged_joules for lap in laps] == pytest.approx(
        [150 + 33.3, 150 + 33.3, 33.3], 1e-2
    )
    assert sum(lap.charged_joules or 0.0 for lap in laps) == pytest.approx(400.0)
    assert [lap.contended for lap in laps] == [("runs of Greensweep",)] * 3


def test_the_only_run_of_a_gpu_has_all_of_it_whoever_uses_the_cpu(
    machine: Machine, run: Maker
) -> None:
    one, _ = run(1, "cpu", "gpu"), run(2, "cpu")
    machine.run(1.0, {1: 1.0, 2: 3.0}, cpu=40.0, gpu=400.0)
    lap = one.lap()
    assert lap.components["gpu"].joules == 400.0
    assert lap.components["gpu"].quality == "measured"
    assert lap.components["cpu"].quality == "attributed"


def test_a_gpu_whose_run_waits_for_a_cpu_is_disturbed_by_who_has_that(
    machine: Machine, run: Maker
) -> None:
    one, _ = run(1, "cpu", "gpu", idle_watts=100.0), run(2, "cpu", idle_watts=100.0)
    machine.run(1.0, {1: 1.0, 2: 3.0}, waiting={1: 0.5}, cpu=400.0, gpu=400.0)
    gpu = one.lap().components["gpu"]
    assert gpu.contended == ("runs of Greensweep",)
    assert gpu.joules == pytest.approx(400.0 - 0.5 * 100.0)  # it would have taken half a second


def test_what_another_process_computes_on_a_gpu_is_not_charged(
    machine: Machine, run: Maker
) -> None:
    one = run(1, "gpu", idle_watts=100.0)
    one.lap()
    machine.gpu_users = {1, 77}
    machine.run(1.0, {1: 1.0}, gpu=400.0)
    lap = one.lap()
    assert lap.charged_joules == pytest.approx(100.0 + 150.0)
    assert (lap.contended, lap.quality) == (("others",), "attributed")
    machine.gpu_users = {1001, 1077}  # a container, in which the driver's ids are not ours
    machine.run(1.0, {1: 1.0}, gpu=400.0)
    lap = one.lap()
    assert (lap.joules, lap.contended, lap.quality) == (400.0, (), "measured")


def test_what_a_run_has_started_computes_on_a_gpu_as_its_own(machine: Machine, run: Maker) -> None:
    """As the processes of torchrun, whose own process computes nothing."""
    one = run(1, "gpu", idle_watts=100.0)
    machine.children[1] = {11, 12}
    one.lap()
    machine.gpu_users = {11, 12}
    machine.run(1.0, {1: 1.0}, gpu=400.0)
    assert one.lap().joules == 400.0
    machine.gpu_users = {11, 77}
    machine.run(1.0, {1: 1.0}, gpu=400.0)
    assert one.lap().charged_joules == pytest.approx(100.0 + 150.0)


def test_what_a_gpu_does_is_seen_by_the_run_that_reads_it_however_often_others_lap(
    machine: Machine, run: Maker
) -> None:
    one, other = run(1, "gpu", idle_watts=100.0), run(2, "cpu")
    one.lap()
    machine.gpu_users = {1, 77}
    charged = 0.0
    for _ in range(20):
        machine.run(0.625, {1: 1.0, 2: 1.0}, gpu=400.0)
        other.lap()
        machine.run(0.125, {1: 1.0, 2: 1.0}, gpu=400.0)
        charged += one.lap().charged_joules or 0.0
    assert charged == pytest.approx(20 * 0.75 * 250.0, rel=0.1)


def test_a_run_that_leaves_a_gpu_is_not_taken_for_others(machine: Machine, run: Maker) -> None:
    """The driver's samples name who computed within the last second."""
    one, other = run(1, "gpu", idle_watts=100.0), run(2, "gpu", idle_watts=100.0)
    for meter in (one, other):
        meter.lap()
    machine.gpu_users = {1, 2}
    machine.run(1.0, {1: 1.0, 2: 1.0}, gpu=400.0)
    other.stop()
    one.lap()
    machine.run(0.75, {1: 1.0}, gpu=400.0)
    assert one.lap().contended == ()
    machine.gpu_users = {1}
    machine.run(0.75, {1: 1.0}, gpu=400.0)
    assert one.lap().contended == ()


def test_a_meter_that_knows_of_no_work_takes_no_turn_of_a_gpu(machine: Machine, run: Maker) -> None:
    """As a search's, which draws trials while another worker trains."""
    one, search = run(1, "gpu", idle_watts=100.0), run(2, "gpu", idle_watts=100.0)
    one.lap()
    machine.run(1.0, {1: 1.0}, gpu=400.0)
    assert [meter.lap().charged_joules for meter in (one, search)] == [350.0, 50.0]


@pytest.mark.parametrize("common", [True, False])
def test_a_counter_lost_by_all_leaves_the_others_shared(
    machine: Machine, run: Maker, common: bool
) -> None:
    meters = [run(process, "cpu", "ram", common=common) for process in (1, 2)]
    machine.run(1.0, {1: 1.0, 2: 3.0}, cpu=40.0, ram=8.0)
    first = [meter.lap() for meter in meters]
    machine.broken.add("cpu")
    machine.run(1.0, {1: 1.0, 2: 3.0}, cpu=40.0, ram=8.0)
    both = [before + meter.lap() for before, meter in zip(first, meters, strict=True)]
    assert [cpu(lap) for lap in both] == pytest.approx([10.0, 30.0])
    assert [lap.components["cpu"].quality for lap in both] == ["attributed"] * 2
    assert all("lost" in lap.components["cpu"].source for lap in both)
    assert [lap.components["ram"].joules for lap in both] == pytest.approx([4.0, 12.0])
    assert [lap.components["ram"].quality for lap in both] == ["attributed"] * 2


def test_a_counter_that_jumps_is_told_with_its_figures_and_the_time_between(
    machine: Machine, run: Maker, caplog: pytest.LogCaptureFixture
) -> None:
    one = run(1)
    machine.run(2.0, {1: 1.0}, cpu=40.0)
    machine.joules["cpu"] += 1e9
    assert one.lap().components["cpu"].source == "script+reset"
    (warning,) = [record.getMessage() for record in caplog.records]
    assert "cpu/script went from 500 J to 1e+09 J in 2 s, more than hardware uses" in warning


def test_joules_of_a_lap_without_length_belong_to_the_next(machine: Machine, run: Maker) -> None:
    """A coarse clock stands still between short laps while a counter goes on."""
    one = run(1, common=False)
    machine.joules["cpu"] += 5.0
    assert one.lap().joules is None
    machine.run(1.0, cpu=10.0)
    assert one.lap().joules == 15.0


def test_a_start_without_any_counter_is_one_sentence(
    machine: Machine, run: Maker, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    machine.broken.add("cpu")
    meter = meter_of(machine, MachineLedger(tmp_path))
    with pytest.raises(EnergyError) as refused:
        meter.start()
    assert str(refused.value).startswith("no energy counter of this machine can be read")
    assert len(caplog.records) == 1
    machine.broken.clear()
    one = run(2)
    machine.run(1.0, {2: 1.0}, cpu=10.0)
    assert one.lap().neighbours == 0


# --- nothing is charged twice -------------------------------------------------------------------


class Watts:
    """A baseline of so many watts for the CPU."""

    def __init__(self, watts: float) -> None:
        self._watts = watts

    def watts(self, counters: object) -> dict[str, float]:
        return {"cpu/script": self._watts}


WORK = 8.0  # CPU seconds of each run


def train(
    at_a_time: int, folder: Path, *, cores: int = 4, others: float = 0.0
) -> list[EnergyReading]:
    """Train 4 runs on a machine that draws 20 W, and 10 W a busy core."""
    machine, folder = Machine(), folder / "ledger"
    folder.mkdir()
    waiting, done, running = [1, 2, 3, 4], [], {}
    while waiting or running:
        if waiting and len(running) < at_a_time:  # one after the other, as workers come up
            process = waiting.pop()
            meter = meter_of(machine, MachineLedger(folder), process, baseline=Watts(20.0))
            meter.start()
            running[process] = (meter, EnergyReading())
        part = min(cores / (len(running) + others), 1.0)
        left = min(WORK - machine.used.get(process, 0.0) for process in running)
        machine.run(
            min(0.125, left / part),
            dict.fromkeys(running, part),
            others=others * part,
            waiting=dict.fromkeys(running, 1.0 - part),
            cpu=20.0 + 10.0 * part * (len(running) + others),
        )
        for process, (meter, before) in list(running.items()):
            total = before + meter.lap()
            running[process] = (meter, total)
            if machine.used[process] >= WORK - 1e-9:
                meter.stop()
                done.append(total)
                del running[process]
    return done


@pytest.mark.parametrize(
    ("at_a_time", "others", "cores", "who"),
    [
        (1, 0.0, 4, ()),
        (2, 0.0, 4, ("runs of Greensweep",)),
        (4, 0.0, 4, ("runs of Greensweep",)),
        (4, 0.0, 2, ("runs of Greensweep",)),  # each waits for a core half of the time
        (1, 1.0, 4, ("others",)),
        (1, 3.0, 2, ("others",)),
        (2, 2.0, 4, ("runs of Greensweep", "others")),
    ],
)
def test_identical_work_has_the_same_joules_whatever_runs_beside_it(
    tmp_path: Path, at_a_time: int, others: float, cores: int, who: tuple[str, ...]
) -> None:
    readings = train(at_a_time, tmp_path, cores=cores, others=others)
    assert [each.joules for each in readings] == pytest.approx([WORK * 30.0] * 4, rel=0.01)
    assert [each.net_joules for each in readings] == pytest.approx([WORK * 10.0] * 4, rel=0.01)
    assert [each.idle_joules for each in readings] == pytest.approx([WORK * 20.0] * 4, rel=0.01)
    # The last of some runs may have had the machine to itself for a while.
    assert {each.contended for each in readings} == {who}
    assert {each.quality for each in readings} == {"attributed" if who else "measured"}
    assert all(each.comparable for each in readings)


def test_waiting_that_the_system_tells_late_is_counted(machine: Machine, run: Maker) -> None:
    """The kernel adds what a process waits for a CPU when that ends."""
    one, other = run(1, idle_watts=20.0), run(2, idle_watts=20.0)
    total = EnergyReading()
    for step in range(42):
        machine.run(0.125, {1: 0.5, 2: 0.5}, cpu=30.0)
        if step % 4 == 3:
            machine.waited[1] = 0.25 * (step + 1) / 4
        total += one.lap()
        other.lap()
    assert total.idle_joules == pytest.approx(20.0 * (42 * 0.125 - 2.5), rel=0.01)


def test_what_a_process_waited_before_its_run_is_no_waiting_of_the_run(
    machine: Machine, run: Maker
) -> None:
    machine.waited[1] = 50.0
    one, _ = run(1, idle_watts=20.0), run(2, idle_watts=20.0)
    machine.run(1.0, {1: 1.0, 2: 1.0}, cpu=60.0)
    assert one.lap().joules == pytest.approx(20.0 + 20.0)


def test_a_run_that_waits_for_the_ledger_is_not_charged_for_it(
    machine: Machine, tmp_path: Path
) -> None:
    ledger = MachineLedger(tmp_path)
    one, other = (
        meter_of(machine, MachineLedger(tmp_path) if each else ledger, each, idle_watts=20.0)
        for each in (0, 1)
    )
    one.start()
    other.start()
    machine.run(1.0, {0: 1.0, 1: 1.0}, cpu=40.0)
    with (tmp_path / "energy-ledger-6.json").open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        release = threading.Timer(0.1, fcntl.flock, (file, fcntl.LOCK_UN))
        release.start()
        lap = one.lap()
        release.join()
    assert ledger.asleep > 0.02
    assert lap.idle_joules == pytest.approx(20.0 * (1.0 - ledger.asleep))


def train_on_a_gpu(
    at_a_time: int, folder: Path, *, foreign: int = 0, others: float = 0.0
) -> list[EnergyReading]:
    """Train 4 runs that keep a GPU of 100 W at rest and 400 W busy, and a quarter of a core.

    The machine is that of `train`. `foreign` processes compute on the GPU too, and `others` keep
    its 4 cores busy.
    """
    machine, folder = Machine(), folder / "ledger"
    folder.mkdir()
    waiting, running, done = [1, 2, 3, 4], {}, []
    left = dict.fromkeys(waiting, WORK)
    while waiting or running:
        while waiting and len(running) < at_a_time:
            process = waiting.pop()
            running[process] = meter_of(
                machine, MachineLedger(folder), process, ("cpu", "gpu"), baseline=Idle()
            )
            running[process].start()
            running[process].lap()
            done.append(EnergyReading())
        machine.gpu_users = {*running, *range(100, 100 + foreign)}
        machine.gpu_busy = 1.0 if others <= 4 else 4 / others
        turn = machine.gpu_busy / (len(running) + foreign)
        cores = min(others, 4 - turn * len(running) / 4) + turn * len(running) / 4
        machine.run(
            1.0,
            dict.fromkeys(running, turn / 4),
            others=cores - turn * len(running) / 4,
            waiting=dict.fromkeys(running, 1.0 - machine.gpu_busy),
            cpu=20.0 + 10.0 * cores,
            gpu=100.0 + 300.0 * machine.gpu_busy,
        )
        for place, (process, meter) in enumerate(list(running.items()), len(done) - len(running)):
            done[place] += meter.lap()
            left[process] -= turn
            if left[process] <= 1e-9:
                meter.stop()
                del running[process]
    return done


class Idle:
    """A baseline of the CPU and the GPU."""

    def watts(self, counters: object) -> dict[str, float]:
        return {"cpu/script": 20.0, "gpu/script": 100.0}


@pytest.mark.parametrize(
    ("at_a_time", "foreign", "others"), [(1, 0, 0), (2, 0, 0), (4, 0, 0), (1, 1, 0), (1, 0, 8)]
)
def test_identical_work_on_a_gpu_has_the_same_joules_whatever_runs_beside_it(
    tmp_path: Path, at_a_time: int, foreign: int, others: float
) -> None:
    """Those of the CPU too, whose idle power lasts while the run waits for its turn."""
    readings = train_on_a_gpu(at_a_time, tmp_path, foreign=foreign, others=others)
    gpus = [each.components["gpu"].joules for each in readings]
    assert gpus == pytest.approx([WORK * 400.0] * 4, rel=0.01)
    assert [cpu(each) for each in readings] == pytest.approx([WORK * 22.5] * 4, rel=0.01)
    shared = at_a_time > 1 or foreign or others
    assert {each.quality for each in readings} == {"attributed" if shared else "measured"}


def test_shared_joules_without_an_idle_power_are_not_called_comparable(
    machine: Machine, run: Maker
) -> None:
    one, other = run(1), run(2)
    machine.run(1.0, {1: 1.0, 2: 1.0}, cpu=40.0)
    shared = one.lap()
    assert (shared.joules, shared.idle_joules, shared.comparable) == (20.0, None, False)
    other.stop()
    alone = EnergyReading()
    for _ in range(30):
        machine.run(1.0, {1: 1.0}, cpu=40.0)
        alone += one.lap()
    assert alone.comparable
    assert (shared + alone).comparable  # a thirtieth of it does not matter


def test_one_run_that_knows_the_idle_power_tells_it_to_the_others(
    machine: Machine, run: Maker
) -> None:
    one, other = run(1, baseline=Watts(20.0)), run(2)
    machine.run(1.0, {1: 1.0, 2: 1.0}, cpu=40.0)
    laps = one.lap(), other.lap()
    assert [lap.joules for lap in laps] == [30.0, 30.0]
    assert [lap.charged_joules for lap in laps] == [20.0, 20.0]
    assert [lap.net_joules for lap in laps] == [10.0, None]  # for the one that asked for it


def test_a_neighbour_that_leaves_is_not_taken_for_others(machine: Machine, run: Maker) -> None:
    one, other = run(1), run(2)
    machine.run(0.45, {1: 1.0, 2: 1.0}, cpu=40.0)
    other.stop()
    one.lap()
    for _ in range(20):
        machine.run(0.1, {1: 1.0}, cpu=30.0)
        assert one.lap().contended == ()


def test_what_a_neighbour_did_before_it_left_is_not_taken_for_others(
    machine: Machine, run: Maker
) -> None:
    one, other = run(1), run(2)
    machine.run(1.0, {1: 1.0, 2: 1.0}, cpu=40.0)
    one.lap()
    machine.run(0.05, {1: 1.0, 2: 9.0}, cpu=40.0)
    other.stop()
    machine.run(1.0, {1: 1.0}, cpu=30.0)
    assert "others" not in one.lap().contended


def test_what_a_neighbour_does_after_it_left_is_not_charged_to_the_last_run(
    machine: Machine, run: Maker
) -> None:
    """As the end of a worker, which imports, writes and shuts down without a meter."""
    one, other = run(1, idle_watts=20.0), run(2, idle_watts=20.0)
    machine.run(1.0, {1: 1.0, 2: 1.0}, cpu=40.0)
    one.lap()
    other.stop()
    for _ in range(3):
        machine.run(0.125, {1: 1.0, 2: 1.0}, cpu=40.0)
        assert one.lap().joules == pytest.approx(0.125 * 30.0)


@dataclass
class Played:
    """What runs that came, read laps, left and died at random were charged.

    Attributes:
        metered: joules that the machine used while a run was metered.
        readings: by run.
        killed: those among them whose last laps nobody read.
        alone: CPU joules that each would have used alone, where power is linear.
    """

    metered: float = 0.0
    readings: dict[int, EnergyReading] = field(default_factory=dict)
    killed: set[int] = field(default_factory=set)
    alone: dict[int, float] = field(default_factory=dict)

    @property
    def charged(self) -> float:
        return sum(each.charged_joules or 0.0 for each in self.readings.values())


def play(
    seed: int,
    folder: Path,
    *,
    others: bool,
    common: bool = True,
    idle_watts: float | None = None,
    linear: bool = False,
) -> Played:
    """Let runs come, read laps, leave and die at random, all of one sweep.

    Args:
        others: processes without a meter work too, by turns, and runs are killed.
        linear: there is a CPU alone, which draws 10 W for each busy core above its idle power, and
            what it does lasts for long enough to be seen.
    """
    chance, machine = random.Random(seed), Machine()
    running: dict[int, MachineMeter] = {}
    played = Played()
    sweep = folder / "sweep"
    sweep.mkdir()
    wraps_at = 8192.0 if common else None
    for process in range(1, 80):
        event = chance.choice(["join", "join", "lap", "lap", "lap", "leave", "die"])
        some = chance.choice(list(running)) if running else None
        if event == "join" and len(running) < 5:
            running[process] = meter_of(
                machine, MachineLedger(folder), process, ("cpu",) if linear else ("cpu", "gpu"),
                sweep=sweep, common=common, wraps_at=wraps_at, idle_watts=idle_watts,
            )  # fmt: skip
            running[process].start()
            played.readings[process], played.alone[process] = EnergyReading(), 0.0
        elif event == "lap" and some:
            lap = running[some].lap(chance.random() < 0.7)
            assert idle_watts or (lap.joules or 0.0) >= 0.0
            played.readings[some] += lap
        elif event == "leave" and some:
            played.readings[some] += running[some].lap()
            running.pop(some).stop()
        elif event == "die" and some and others and len(running) > 1:
            machine.dead.add(some)
            played.killed.add(some)
            del running[some]
        busy = {each: chance.uniform(0.1, 1.0) for each in running}
        outside = chance.choice([0.0, chance.uniform(0.5, 2.0)]) if others else 0.0
        crowd = len(running) > 1 or outside
        waits = {each: chance.uniform(0.0, 1.0 - busy[each]) if crowd else 0.0 for each in running}
        watts = chance.uniform(1.0, 90.0) if common else 50.0
        gpu = chance.uniform(80.0, 300.0) if common else 200.0
        if linear:
            watts, gpu = (idle_watts or 0.0) + 10.0 * (sum(busy.values()) + outside), 0.0
        machine.gpu_busy = chance.random()
        seconds = chance.choice([0.625, 0.75, 3.0] if linear else [0.125, 0.25, 3.0])
        machine.run(seconds, busy, others=outside, waiting=waits, cpu=watts, gpu=gpu)
        if running:
            played.metered += (watts + gpu) * seconds
        for each in running:
            idle = (idle_watts or 0.0) * (1.0 - waits[each])
            played.alone[each] += (10.0 * busy[each] + idle) * seconds
    for process, meter in running.items():
        played.readings[process] += meter.lap()
        meter.stop()
    return played


@pytest.mark.parametrize("idle_watts", [None, 60.0])
@pytest.mark.parametrize("common", [True, False])
@pytest.mark.parametrize("seed", range(8))
def test_runs_and_remainder_add_up_to_the_machine(
    tmp_path: Path, seed: int, common: bool, idle_watts: float | None
) -> None:
    played = play(seed, tmp_path, others=True, common=common, idle_watts=idle_watts)
    total = total_of(tmp_path / "sweep")
    assert total.machine_joules == pytest.approx(played.metered, rel=1e-9)
    assert total.trials_joules == pytest.approx(played.charged, rel=1e-9)
    assert played.charged <= played.metered * (1 + 1e-9)


@pytest.mark.parametrize("idle_watts", [None, 60.0])
@pytest.mark.parametrize("common", [True, False])
@pytest.mark.parametrize("seed", range(8))
def test_where_nothing_else_runs_nothing_remains(
    tmp_path: Path, seed: int, common: bool, idle_watts: float | None
) -> None:
    played = play(seed, tmp_path, others=False, common=common, idle_watts=idle_watts)
    assert played.charged == pytest.approx(played.metered, rel=1e-9)


@pytest.mark.parametrize("others", [True, False])
@pytest.mark.parametrize("seed", range(8))
def test_whoever_comes_and_goes_a_run_has_the_joules_of_its_work_alone(
    tmp_path: Path, seed: int, others: bool
) -> None:
    played = play(seed, tmp_path, others=others, idle_watts=60.0, linear=True)
    kept = [each for each in played.readings if each not in played.killed and played.alone[each]]
    joules = [played.readings[each].joules for each in kept]
    assert joules == pytest.approx([played.alone[each] for each in kept], rel=0.01)


def test_a_run_that_joins_does_not_tell_what_was_used_before_it(tmp_path: Path) -> None:
    machine = Machine()
    first, second = (
        meter_of(machine, MachineLedger(tmp_path), process, common=False) for process in (1, 2)
    )
    first.start()
    machine.run(60.0, {1: 0.5}, cpu=10.0)
    second.start()
    machine.run(1.0, {1: 1.0, 2: 1.0}, cpu=90.0)
    # It has read 90 W for a second; the minute before, of 10 W, is not its to tell.
    assert cpu(second.lap()) == pytest.approx(45.0)
    machine.run(1.0, {1: 1.0, 2: 1.0}, cpu=50.0)
    # The first has read all 740 J. Of the 650 J that the other did not tell it knows no more than
    # their mean power, so the last second of 50 W counts as one of 650 / 61 W.
    charged = cpu(first.lap()), cpu(second.lap())
    assert charged == (pytest.approx(45.0 + 60.5 * 650.0 / 61.0), pytest.approx(0.5 * 650.0 / 61.0))
    assert 45.0 + sum(charged) == pytest.approx(740.0)
    first.stop()
    second.stop()


# --- sweeps -------------------------------------------------------------------------------------


def test_a_sweep_has_its_machines_joules_and_the_remainder(
    machine: Machine, run: Maker, tmp_path: Path
) -> None:
    sweep = tmp_path / "sweep"
    sweep.mkdir()
    one = run(1, sweep=sweep)
    machine.run(1.0, {1: 1.0}, cpu=10.0)  # alone: all of it is the run's
    outsider = run(9)
    machine.run(1.0, {1: 1.0, 9: 1.0}, cpu=20.0)
    other = run(2, sweep=sweep)
    machine.run(2.0, {1: 1.0, 2: 1.0, 9: 1.0}, others=1.0, cpu=40.0)
    charged = [cpu(one.lap()), cpu(other.lap())]
    one.stop()
    machine.run(1.0, {9: 1.0}, cpu=20.0)
    other.stop()
    machine.run(5.0, {9: 1.0}, cpu=20.0)  # the sweep has ended
    outsider.lap()
    outsider.stop()
    assert charged == pytest.approx([10.0 + 10.0 + 20.0, 20.0])
    assert total_of(sweep) == SweepTotal(
        seconds=5.0, machine_joules=10.0 + 20.0 + 80.0 + 20.0, trials_joules=60.0, neighbours=2
    )


def test_trials_one_after_the_other_add_to_one_file(
    machine: Machine, run: Maker, tmp_path: Path
) -> None:
    sweep = tmp_path / "sweep"
    sweep.mkdir()
    for process in (1, 2, 3):
        trial = run(process, sweep=sweep)
        machine.run(1.0, {process: 1.0}, cpu=10.0)
        trial.lap()
        trial.stop()
        machine.run(4.0, cpu=10.0)  # between trials nothing is metered
    assert total_of(sweep) == SweepTotal(3.0, 30.0, 30.0, 0)


def test_a_counter_that_only_an_outsider_reads_is_not_the_sweeps(
    machine: Machine, run: Maker, tmp_path: Path
) -> None:
    sweep = tmp_path / "sweep"
    sweep.mkdir()
    trial, outsider = run(1, "cpu", sweep=sweep), run(2, "cpu", "gpu")
    machine.run(1.0, {1: 1.0, 2: 1.0}, cpu=10.0, gpu=300.0)
    outsider.lap()
    trial.lap()
    trial.stop()
    assert total_of(sweep).machine_joules == 10.0


def test_a_sweep_has_had_the_most_neighbours_at_a_time(
    machine: Machine, run: Maker, tmp_path: Path
) -> None:
    sweep = tmp_path / "sweep"
    sweep.mkdir()
    one, outsiders = run(1, sweep=sweep), [run(8), run(9)]
    machine.run(1.0, {1: 1.0}, cpu=10.0)
    for each in outsiders:
        each.stop()
    machine.run(1.0, {1: 1.0}, cpu=10.0)
    one.lap()
    one.stop()
    assert total_of(sweep).neighbours == 2


def test_two_sweeps_at_a_time_each_have_the_machine(
    machine: Machine, run: Maker, tmp_path: Path
) -> None:
    sweeps = [tmp_path / "one", tmp_path / "other"]
    for sweep in sweeps:
        sweep.mkdir()
    trials = [run(process, sweep=sweep) for process, sweep in enumerate(sweeps)]
    machine.run(1.0, {0: 1.0, 1: 3.0}, cpu=40.0)
    for trial in trials:
        trial.lap()
        trial.stop()
    assert [total_of(sweep).machine_joules for sweep in sweeps] == [40.0, 40.0]
    assert [total_of(sweep).trials_joules for sweep in sweeps] == pytest.approx([10.0, 30.0])


def test_the_machines_of_a_sweep_add_up(tmp_path: Path) -> None:
    assert machine_totals(tmp_path) == {}
    for node, text in {
        "one": '{"seconds": 2, "machine_joules": 30, "trials_joules": 20, "neighbours": 1}',
        "two": '{"seconds": 3, "machine_joules": 10, "trials_joules": 10, "neighbours": 3}',
    }.items():
        (tmp_path / f"machine_energy.{node}.json").write_text(text)
    assert total_of(tmp_path) == SweepTotal(5, 40, 30, 3)


@pytest.mark.parametrize("text", ["", '{"seconds": 2, "mach', "\0\0", '{"hours": 1}'])
def test_a_machine_whose_file_was_torn_is_warned_of_and_never_read_as_zeros(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    whole = '{"seconds": 2, "machine_joules": 30, "trials_joules": 20, "neighbours": 1}'
    (tmp_path / "machine_energy.one.json").write_text(whole)
    (tmp_path / "machine_energy.two.json").write_text(text)
    assert machine_totals(tmp_path) == {}  # 30 J of one machine are not the total
    assert "machine_energy.two.json is broken (" in caplog.text
    assert (tmp_path / "machine_energy.two.json.broken").read_text() == text
    assert machine_totals(tmp_path) == {}


# --- the file -----------------------------------------------------------------------------------


@pytest.mark.parametrize("spoil", ["delete", "empty", "break", "other version"])
def test_a_ledger_lost_midway_is_begun_anew(
    machine: Machine, run: Maker, tmp_path: Path, spoil: str
) -> None:
    file = tmp_path / "energy-ledger-6.json"
    one, other = run(1), run(2)
    machine.run(1.0, {1: 1.0, 2: 3.0}, cpu=40.0)
    one.lap()
    other.lap()
    if spoil == "delete":
        file.unlink()
    else:
        file.write_text({"empty": "", "break": '{"mem', "other version": '{"a": 1}'}[spoil])
    machine.run(1.0, {1: 1.0, 2: 3.0}, cpu=40.0)
    laps = one.lap(), other.lap()  # whose joules these were is not known any more
    assert [cpu(lap) for lap in laps] == [40.0, 40.0]
    machine.run(1.0, {1: 1.0, 2: 3.0}, cpu=40.0)
    assert [cpu(one.lap()), cpu(other.lap())] == pytest.approx([10.0, 30.0])


def test_a_ledger_lost_with_all_counters_does_not_end_the_run(
    machine: Machine, run: Maker, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    one = run(1)
    (tmp_path / "energy-ledger-6.json").unlink()
    machine.broken.add("cpu")
    machine.run(1.0, cpu=40.0)
    assert one.lap().joules is None
    assert one.lap().lost == {"cpu"}
    one.stop()
    assert len(caplog.records) == 1


def test_a_ledgers_folder_that_vanishes_does_not_end_the_run(
    machine: Machine, tmp_path: Path
) -> None:
    """As when the user logs out, and the system clears the folder of the session."""
    folder = tmp_path / "session"
    folder.mkdir()
    one = meter_of(machine, MachineLedger(folder))
    one.start()
    (folder / "energy-ledger-6.json").unlink()
    folder.rmdir()
    machine.run(1.0, cpu=40.0)
    assert cpu(one.lap()) == 40.0
    one.stop()


def test_a_lock_that_another_process_holds_stalls_no_run(
    machine: Machine, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ledger = MachineLedger(tmp_path, lock_seconds=0.05)
    one = meter_of(machine, ledger)
    one.start()
    machine.run(1.0, {1: 1.0}, cpu=40.0)
    with (tmp_path / "energy-ledger-6.json").open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        laps = [one.lap()]
        machine.run(1.0, {1: 1.0}, cpu=40.0)
        laps.append(one.lap())
    machine.run(1.0, {1: 1.0}, cpu=40.0)
    laps.append(one.lap())
    one.stop()
    assert [cpu(lap) for lap in laps] == [40.0, 40.0, 40.0]
    (warning,) = caplog.records
    assert "has held the ledger of metered runs" in warning.getMessage()


def test_the_ledger_is_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert isinstance(open_machine_ledger(), MachineLedger)
    assert (tmp_path / "greensweep").stat().st_mode & 0o777 == 0o700
    file = tmp_path / "greensweep" / "energy-ledger-6.json"
    assert file.stat().st_mode & 0o777 == 0o600


def test_jobs_that_were_given_the_runtime_folder_of_a_login_node_meet_in_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run" / "user" / "1000"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert isinstance(open_machine_ledger(), MachineLedger)
    assert [each.name for each in tmp_path.iterdir()] == [f"greensweep-{os.getuid()}"]


def no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "greensweep").write_text("")


def a_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "greensweep").symlink_to(tmp_path / "elsewhere")


def of_another_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "greensweep").mkdir()
    monkeypatch.setattr(os, "getuid", lambda: (tmp_path / "greensweep").stat().st_uid + 1)


@pytest.mark.parametrize("foul", [no_folder, a_link, of_another_user])
def test_without_a_folder_of_the_user_there_is_a_warning_and_a_private_ledger(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    foul: Callable[[Path, pytest.MonkeyPatch], None],
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    foul(tmp_path, monkeypatch)
    ledger = open_machine_ledger()
    assert type(ledger) is Ledger
    (warning,) = caplog.records
    assert warning.getMessage().startswith("Metered runs beside this one count as other")
    machine = Machine()
    one = meter_of(machine, ledger)
    one.start()
    machine.run(1.0, cpu=40.0)
    assert cpu(one.lap()) == 40.0


# --- real processes -----------------------------------------------------------------------------


class Clockwork(Counter):
    """100 W, whatever happens, in joules that all processes read alike."""

    component, source, common = "cpu", "clockwork", True

    def read(self) -> float:
        return 100.0 * time.monotonic()


class ClockworkSource(ScriptedSource):
    def open(self) -> list[Counter]:
        return [Clockwork()]


def burn(folder: Path, cpu_seconds: float, joined: Any, done: Any, said: Any) -> None:
    meter = MachineMeter(ClockworkSource(Machine()), MachineLedger(folder))
    meter.start()
    joined.wait(60)
    began = Clockwork().read()
    meter.lap()
    joined.wait(60)
    until = time.process_time() + cpu_seconds
    while time.process_time() < until:
        pass
    done.wait(60)
    lap = meter.lap()
    said.put((lap.components["cpu"].joules, lap.neighbours, began, Clockwork().read()))
    done.wait(60)
    meter.stop()


def test_real_processes_share_by_the_cpu_time_that_they_used(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    joined, done, said = context.Barrier(2), context.Barrier(2), context.SimpleQueue()
    children = [
        context.Process(target=burn, args=(tmp_path, seconds, joined, done, said))
        for seconds in (0.9, 0.3)
    ]
    for child in children:
        child.start()
    for child in children:
        child.join(120)
    assert [child.exitcode for child in children] == [0, 0]
    laps = sorted(said.get() for _ in children)
    (less, *_), (more, *_) = laps
    assert [neighbours for _, neighbours, *_ in laps] == [1, 1]
    # CPU time does not depend on what else this machine does meanwhile; joules of others do.
    assert 2.0 < more / less < 4.5
    assert less + more <= max(end for *_, end in laps) - min(began for *_, began, _ in laps)


def work(seconds: float) -> None:
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass


def test_what_a_process_starts_counts_with_it_and_ended_work_stays() -> None:
    processes, own = Processes(), os.getpid()
    before = processes.cpu_times({own})
    child = multiprocessing.get_context("fork").Process(target=work, args=(0.2,))
    child.start()
    child.join(60)
    after = processes.cpu_times({own})
    spent = after.processes[own] - before.processes[own]
    assert spent >= 0.19
    assert after.machine - before.machine >= 0.19
    assert json.dumps(after.processes)  # figures that the ledger can keep


def enter(ledger: MachineLedger, said: Any) -> None:
    with ledger.open():
        said.send("in")


def test_a_forked_child_waits_for_its_parent_to_close_the_book(tmp_path: Path) -> None:
    ledger = MachineLedger(tmp_path)
    here, there = multiprocessing.Pipe()
    child = multiprocessing.get_context("fork").Process(target=enter, args=(ledger, there))
    with ledger.open():
        child.start()
        assert not here.poll(0.3)
    assert here.poll(60)
    child.join(60)
    assert child.exitcode == 0
