"""What runs of a machine are charged, of which counter and of which time."""

import math
from dataclasses import dataclass, field

from greensweep.energy.reading import Quality, shared_quality


@dataclass
class Part:
    """A run's part of a stretch of time, in seconds."""

    work: float = 0.0  # each second times the run's share of the work in it
    alone: float = 0.0  # what the run would have needed alone, waiting for no CPU and no turn
    idle: float = 0.0  # each second divided among the runs in it
    beside_runs: float = 0.0  # seconds that other runs used too
    beside_others: float = 0.0  # seconds that other processes used too
    whole: float = 0.0  # all of them

    def add(self, other: "Part", times: float = 1.0) -> None:
        """Take another stretch in, or so many of them."""
        for name, seconds in vars(other).items():
            setattr(self, name, getattr(self, name) + seconds * times)


@dataclass
class Account:
    """What a run is charged of one counter."""

    joules: float = 0.0  # the machine's, times the run's share of the work
    part: Part = field(default_factory=Part)  # of the time in which they were used
    idle_watts: float | None = None  # of the machine; None where it is not known


@dataclass
class Member:
    """One metered run, or one who reads the machine for a sweep."""

    process: int
    born: str  # that process's birth: ids are used again
    sweep: str | None  # directory of its sweep, if it has one
    keys: list[str]  # the counters that it is charged for
    watches: bool = False  # it is no run: it is charged nothing, and beside nobody
    computes: bool = False  # it has work for a GPU at present
    share: float = 1.0  # its part of the machine's busy CPU time of late, 0 to 1
    waiting: float = 0.0  # part of the time of late that it waited for a CPU, 0 to 1
    waited: float = 0.0  # seconds that its process waited and `waiting` has accounted for
    neighbours: int = 0  # most other members since its last reading
    accounts: dict[str, Account] = field(default_factory=dict)  # by counter, since that reading
    since: dict[str, float] = field(default_factory=dict)  # when it last read each counter itself
    seen: dict[str, float] = field(default_factory=dict)  # joules of that time that others shared
    watts: dict[str, float] = field(default_factory=dict)  # of late, of who watches


@dataclass
class Slice:
    """A stretch of time whose energy has not been shared out, and who has had which part of it."""

    start: float  # seconds of the clock
    end: float
    members: dict[str, Part] = field(default_factory=dict)
    sweeps: dict[str, float] = field(default_factory=dict)  # seconds in which one of its runs ran


@dataclass
class Load:
    """What a GPU did of late."""

    busy: float = 1.0  # part of the time in which anything ran on it, 0 to 1
    others: int = 0  # processes without a meter that computed on it


@dataclass
class CounterState:
    """A counter as it was last read.

    Attributes:
        value: the counter's, for counters that all processes have in common.
        slices: since then, oldest first; the last one grows. There are several where runs joined
            that do not know what was used before them: who was there before does.
        in_turn: its users have it in turn, as a GPU's have; otherwise they share the CPUs.
        idle_watts: of the machine; None where no member knows it.
        load: how busy it was of late, and with whom, if its users have it in turn.
        looked: when that was looked at.
    """

    value: float
    slices: list[Slice]
    in_turn: bool = False
    idle_watts: float | None = None
    load: Load = field(default_factory=Load)
    looked: float = 0.0


@dataclass
class CpuWindow:
    """The CPU seconds that had been spent at a moment."""

    begun: float = 0.0  # the moment
    machine: float = 0.0  # of everything that ran
    members: dict[str, float] = field(default_factory=dict)


@dataclass
class SweepTotal:
    """A machine while a sweep had it, or runs of it were metered, and what was charged of it.

    Attributes:
        seconds: how long that was.
        machine_joules: of the whole machine over that time.
        trials_joules: charged to the sweep's runs and its search; the rest is the remainder.
        neighbours: most runs at a time beside one of its own.
        watches: how often somebody began to read the machine for the sweep; 0: it is known for the
            time of its runs alone.
        releases: of these, how many told their end: the others died with a last reading.
        quality: of what was read so; None of nothing.
        update_seconds, model_error: of the slowest and the least exact of its counters.
    """

    seconds: float = 0.0
    machine_joules: float = 0.0
    trials_joules: float = 0.0
    neighbours: int = 0
    watches: int = 0
    releases: int = 0
    quality: Quality | None = None
    update_seconds: float = 0.0
    model_error: float = 0.0

    @property
    def uncertainty_joules(self) -> float:
        """How far `machine_joules` may be off: mean power times the period at each edge."""
        edge = self.machine_joules / self.seconds * self.update_seconds if self.seconds else 0.0
        edges = 2 * edge * math.sqrt(self.watches)  # stretches are independent of one another
        return math.hypot(edges, self.model_error * self.machine_joules)

    def __add__(self, other: "SweepTotal") -> "SweepTotal":
        known = {each for each in (self.quality, other.quality) if each is not None}
        return SweepTotal(
            self.seconds + other.seconds,
            self.machine_joules + other.machine_joules,
            self.trials_joules + other.trials_joules,
            max(self.neighbours, other.neighbours),
            self.watches + other.watches,
            self.releases + other.releases,
            shared_quality(known) if known else None,
            max(self.update_seconds, other.update_seconds),
            max(self.model_error, other.model_error),
        )
