"""Machines of which a test says what they do: their clock, CPU time, counters and GPUs."""

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

from greensweep.energy.baseline import IdleBaseline
from greensweep.energy.counters import Counter
from greensweep.energy.ledger import Ledger
from greensweep.energy.machine import MachineMeter
from greensweep.energy.processes import CpuTimes, Processes
from greensweep.energy.reading import EnergyReading, Quality
from greensweep.energy.sampling import ClockReading, read_clocks


class Machine:
    """A machine in which time passes only when the test lets it."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.joules: dict[str, float] = {"cpu": 500.0, "gpu": 700.0, "ram": 300.0}
        self.busy = 50.0
        self.used: dict[int, float] = {}
        self.waited: dict[int, float] = {}
        self.gpu_busy: float | None = None
        self.gpu_users: set[int] | None = None
        self.children: dict[int, set[int]] = {}
        self.dead: set[int] = set()
        self.broken: set[str] = set()

    def run(
        self,
        seconds: float,
        cores: Mapping[int, float] | None = None,
        *,
        others: float = 0.0,
        waiting: Mapping[int, float] | None = None,
        cpu: float = 0.0,
        gpu: float = 0.0,
        ram: float = 0.0,
    ) -> None:
        """Let time pass.

        Args:
            cores: how many each process keeps busy.
            others: cores that processes without a meter keep busy.
            waiting: part of the time that each process waits for a core.
            cpu: watts, and so for `gpu` and `ram`.
        """
        self.now += seconds
        for component, watts in (("cpu", cpu), ("gpu", gpu), ("ram", ram)):
            self.joules[component] += watts * seconds
        for process, busy in (cores or {}).items():
            self.used[process] = self.used.get(process, 0.0) + busy * seconds
            self.busy += busy * seconds
        self.busy += others * seconds
        for process, part in (waiting or {}).items():
            self.waited[process] = self.waited.get(process, 0.0) + part * seconds


class MachineProcesses(Processes):
    """The processes of such a machine, seen by one of them."""

    def __init__(self, machine: Machine, process: int) -> None:
        self._machine, self._process = machine, process

    def own(self) -> tuple[int, str]:
        return self._process, "once"

    def alive(self, process: int, born: str) -> bool:
        return process not in self._machine.dead

    def cpu_times(self, processes: Collection[int]) -> CpuTimes:
        used = self._machine.used
        alive = [each for each in processes if each not in self._machine.dead]
        waited = self._machine.waited
        return CpuTimes(
            self._machine.busy,
            {each: used.get(each, 0.0) for each in alive},
            {each: waited.get(each, 0.0) for each in alive},
        )

    def families(self, processes: Collection[int]) -> set[int]:
        return {*processes}.union(*(self._machine.children.get(each, ()) for each in processes))

    def busy_seconds(self) -> float:
        return self._machine.busy

    def cores(self) -> int:
        return 4


class ScriptedCounter(Counter):
    """A counter of such a machine; one that is not common counts from its making on."""

    def __init__(
        self,
        machine: Machine,
        component: str = "cpu",
        *,
        source: str = "script",
        common: bool = True,
        wraps_at: float | None = None,
        quality: Quality = "measured",
        idle_watts: float | None = None,
        update_seconds: float | None = None,
        model_error: float = 0.0,
    ) -> None:
        self.update_seconds, self.model_error = update_seconds, model_error
        self.idle_watts, self.in_turn = idle_watts, component == "gpu"
        self.component, self.source, self.quality = component, source, quality
        self.common, self.wraps_at = common, wraps_at
        self.machine = machine
        self.origin = 0.0 if common else machine.joules[component]

    def read(self) -> float:
        if self.component in self.machine.broken:
            raise OSError("it is gone")
        joules = self.machine.joules[self.component] - self.origin
        return joules if self.wraps_at is None else joules % self.wraps_at

    def busy(self) -> float | None:
        return self.machine.gpu_busy

    def users(self) -> set[int] | None:
        return self.machine.gpu_users


class ScriptedSource:
    """Opens scripted counters, made anew each time; it notes whether it is open."""

    def __init__(
        self, machine: Machine, components: Sequence[str] = ("cpu",), **options: object
    ) -> None:
        self.machine, self.components, self.options = machine, components, options
        self.is_open = False

    def open(self) -> list[Counter]:
        self.is_open = True
        return [ScriptedCounter(self.machine, each, **self.options) for each in self.components]

    def close(self) -> None:
        self.is_open = False


def meter_of(
    machine: Machine,
    ledger: Ledger,
    process: int = 1,
    components: Sequence[str] = ("cpu",),
    *,
    sweep: Path | None = None,
    baseline: IdleBaseline | None = None,
    clocks: Callable[[int | None], ClockReading] = read_clocks,
    samples: bool = False,
    **options: object,
) -> MachineMeter:
    """Return a meter of one of the machine's processes.

    Args:
        samples: a thread reads between laps too, whatever the machine's time.
    """
    return MachineMeter(
        ScriptedSource(machine, components, **options),
        ledger,
        baseline=baseline,
        sweep=sweep,
        clock=lambda: machine.now,
        processes=MachineProcesses(machine, process),
        samples=samples,
        clocks=clocks,
    )


def origins(reading: EnergyReading) -> dict[str, tuple[str, str]]:
    """Return source and quality by component."""
    return {name: (part.source, part.quality) for name, part in reading.components.items()}


# --- the files and the library that energy=nvml_rapl reads --------------------------------------


class Powercap:
    """A folder like the kernel's /sys/class/powercap."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    def zone(
        self, zone: str, name: str, joules: float = 0.0, wraps_at: float | None = 262143.328850
    ) -> None:
        """Add a zone, as the kernel writes them: microjoules, and a line's end."""
        path = self.folder / zone
        path.mkdir()
        (path / "name").write_text(f"{name}\n")
        if wraps_at is not None:
            (path / "max_energy_range_uj").write_text(f"{round(wraps_at * 1e6)}\n")
        self.set(zone, joules)

    def set(self, zone: str, joules: float) -> None:
        """Let a zone's counter show so many joules."""
        (self.folder / zone / "energy_uj").write_text(f"{round(joules * 1e6)}\n")
