"""A machine is read from when a sweep has it until it is released, and runs do not notice."""

from collections.abc import Callable
from pathlib import Path

import pytest
from fakes import Machine, MachineProcesses, ScriptedSource, meter_of

from greensweep.config.schema_energy import CodeCarbonConfig, UnmeteredConfig
from greensweep.energy import EnergyReading
from greensweep.energy.accounts import SweepTotal
from greensweep.energy.ledger import MachineLedger
from greensweep.energy.machine import MachineMeter, machine_totals
from greensweep.energy.node import NodeMeter, build_node_meter

pytestmark = pytest.mark.usefixtures("others_count")

Run = Callable[..., MachineMeter]
Watch = Callable[..., NodeMeter]


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    (tmp_path / "sweep").mkdir()
    return tmp_path / "sweep"


@pytest.fixture
def run(machine: Machine, tmp_path: Path, sweep: Path) -> Run:
    """Start a metered run of the sweep: `run(process)`."""

    def started(process: int = 1, *components: str, **options: object) -> MachineMeter:
        of_sweep = {"sweep": sweep, **options}
        ledger = MachineLedger(tmp_path)
        meter = meter_of(machine, ledger, process, components or ("cpu",), **of_sweep)
        meter.start()
        return meter

    return started


@pytest.fixture
def watch(machine: Machine, tmp_path: Path, sweep: Path) -> Watch:
    """Begin to read the machine for the sweep, as the process of a worker does."""

    def started(process: int = 1, *components: str, **options: object) -> NodeMeter:
        meter = NodeMeter(
            ScriptedSource(machine, components or ("cpu",), **options),
            MachineLedger(tmp_path),
            sweep,
            clock=lambda: machine.now,
            processes=MachineProcesses(machine, process),
            samples=False,
        )
        meter.start()
        return meter

    return started


def total_of(sweep: Path) -> SweepTotal:
    (total,) = machine_totals(sweep).values()
    return total


def ended(meter: MachineMeter) -> EnergyReading:
    reading = meter.lap()
    meter.stop()
    return reading


@pytest.mark.parametrize("common", [True, False])
def test_a_node_is_read_from_when_the_sweep_has_it_until_its_release(
    machine: Machine, run: Run, watch: Watch, sweep: Path, common: bool
) -> None:
    node = watch(common=common)
    machine.run(3.0, cpu=10.0)  # it starts
    node.lap()
    machine.run(2.0, cpu=10.0)
    trial = run(common=common)
    for _ in range(4):
        machine.run(0.5, {1: 1.0}, cpu=40.0)
        node.lap()
        machine.run(0.5, {1: 1.0}, cpu=40.0)
        trial.lap()
    trial.stop()
    machine.run(0.5, cpu=10.0)  # until the node is looked at again
    node.lap()
    machine.run(5.0, cpu=10.0)  # it waits for others
    node.stop()
    machine.run(9.0, cpu=10.0)  # and is no longer the sweep's
    total = total_of(sweep)
    assert (total.seconds, total.trials_joules) == (14.5, pytest.approx(160.0))
    assert total.machine_joules == pytest.approx(160.0 + 10.5 * 10.0)
    assert (total.watches, total.releases, total.quality) == (1, 1, "measured")


@pytest.mark.parametrize("common", [True, False])
@pytest.mark.parametrize("idle_watts", [None, 20.0])
@pytest.mark.parametrize("cores", [{1: 1.0}, {1: 1.0, 2: 2.0}])
def test_runs_are_charged_as_if_nobody_watched(
    machine: Machine,
    run: Run,
    watch: Watch,
    common: bool,
    idle_watts: float | None,
    cores: dict[int, float],
) -> None:
    def laps(watched: bool) -> list[EnergyReading]:
        of = {"common": common, "idle_watts": idle_watts}
        nodes = [watch(process, "cpu", "gpu", **of) for process in (1, 9) if watched]
        runs = [run(process, "cpu", "gpu", **of) for process in cores]
        for _ in range(5):
            machine.run(0.5, cores, others=0.3, waiting={1: 0.25}, cpu=64.0, gpu=128.0)
            for node in nodes:
                node.lap()
            machine.run(0.25, cores, others=0.3, cpu=32.0)
            for each in runs:
                each.lap()
        machine.run(1.0, cores, cpu=64.0)
        found = [ended(each) for each in runs]
        for node in nodes:
            node.stop()
        return found

    for alone, watched in zip(laps(False), laps(True), strict=True):
        assert watched.neighbours == alone.neighbours
        assert (watched.quality, watched.basis) == (alone.quality, alone.basis)
        assert watched.joules == pytest.approx(alone.joules)
        assert watched.charged_joules == pytest.approx(alone.charged_joules)
        assert watched.idle_joules == pytest.approx(alone.idle_joules)


@pytest.mark.parametrize("common", [True, False])
def test_two_workers_on_one_node_count_it_once(
    machine: Machine, run: Run, watch: Watch, sweep: Path, common: bool
) -> None:
    first = watch(1, common=common)
    machine.run(1.0, cpu=10.0)
    first.lap()
    second = watch(2, common=common)
    trials = [run(1, common=common), run(2, common=common)]
    machine.run(4.0, {1: 1.0, 2: 3.0}, cpu=80.0)
    for each in (first, second, *trials):
        each.lap()
    for trial in trials:
        trial.stop()
    first.stop()
    machine.run(2.0, cpu=10.0)
    second.stop()
    total = total_of(sweep)
    assert (total.seconds, total.neighbours) == (7.0, 1)
    assert total.machine_joules == pytest.approx(10.0 + 320.0 + 20.0)
    assert total.trials_joules == pytest.approx(320.0)
    assert (total.watches, total.releases) == (2, 2)


def test_each_workers_gpu_counts_with_its_node(
    machine: Machine, run: Run, watch: Watch, sweep: Path
) -> None:
    """A job sees its own GPU alone, and all of the node's CPU."""
    nodes = [watch(1, "cpu", "gpu"), watch(2, "cpu")]
    machine.run(2.0, cpu=10.0, gpu=100.0)
    for node in nodes:
        node.stop()
    assert total_of(sweep).machine_joules == pytest.approx(220.0)


@pytest.mark.parametrize("common", [True, False])
def test_what_a_killed_trial_used_is_its_nodes(
    machine: Machine, run: Run, watch: Watch, sweep: Path, common: bool
) -> None:
    node, trial = watch(1, common=common), run(2, common=common)
    machine.run(2.0, {2: 1.0}, cpu=40.0)
    trial.lap()
    node.lap()
    machine.run(1.0, {2: 1.0}, cpu=40.0)
    machine.dead.add(2)
    for _ in range(3):
        machine.run(1.0, cpu=10.0)
        node.lap()
    node.stop()
    total = total_of(sweep)
    assert total.machine_joules == pytest.approx(80.0 + 40.0 + 30.0)
    assert (total.seconds, total.trials_joules) == (6.0, pytest.approx(80.0))


def test_of_a_node_that_dies_the_last_reading_stands_and_shows_it(
    machine: Machine, run: Run, watch: Watch, sweep: Path
) -> None:
    node = watch(1)
    machine.run(4.0, cpu=10.0)
    node.lap()
    node.write()
    machine.run(4.0, cpu=10.0)
    machine.dead.add(1)
    total = total_of(sweep)
    assert (total.machine_joules, total.watches, total.releases) == (40.0, 1, 0)


def test_what_could_not_be_written_is_written_later(
    machine: Machine, run: Run, watch: Watch, sweep: Path
) -> None:
    away = sweep.rename(sweep.with_name("away"))  # as where a disk is full
    node, trial = watch(1), run(2)
    machine.run(2.0, {2: 1.0}, cpu=40.0)
    ended(trial)
    node.write()
    away.rename(sweep)
    machine.run(1.0, cpu=10.0)
    node.stop()
    total = total_of(sweep)
    assert (total.machine_joules, total.trials_joules) == (90.0, 80.0)
    assert (total.watches, total.releases) == (1, 1)


def test_what_the_dead_left_in_the_ledger_is_kept_when_the_next_one_comes(
    machine: Machine, run: Run, sweep: Path
) -> None:
    trial = run(1)
    machine.run(2.0, {1: 1.0}, cpu=40.0)
    trial.lap()
    machine.dead.add(1)
    ended(run(2))
    total = total_of(sweep)
    assert (total.machine_joules, total.trials_joules) == (80.0, 80.0)


def test_a_nodes_figure_is_as_uncertain_as_its_counters(
    machine: Machine, watch: Watch, sweep: Path
) -> None:
    node = watch(1, update_seconds=0.5)
    machine.run(10.0, cpu=20.0)
    node.stop()
    assert total_of(sweep).uncertainty_joules == pytest.approx(2 * 20.0 * 0.5)


def test_a_counter_that_fails_leaves_an_estimate(
    machine: Machine, watch: Watch, sweep: Path
) -> None:
    node = watch(1)
    machine.run(1.0, cpu=20.0)
    node.lap()
    machine.broken.add("cpu")
    machine.run(1.0, cpu=20.0)
    node.lap()
    node.stop()
    total = total_of(sweep)
    assert (total.machine_joules, total.quality) == (20.0, "mixed")


@pytest.mark.parametrize("config", [UnmeteredConfig(), CodeCarbonConfig(tracking_mode="process")])
def test_what_says_nothing_of_the_machine_reads_no_node(
    config: UnmeteredConfig, tmp_path: Path
) -> None:
    assert build_node_meter(config, tmp_path) is None
