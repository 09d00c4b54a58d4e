"""What runs of a machine are charged, of which counter and of which time."""

from dataclasses import dataclass, field


@dataclass
class Part:
    """A run's part of a stretch of time, in seconds.

    Attributes:
        work: each second times the run's share of the work in it.
        alone: what the run would have needed alone, without waiting for a CPU or a turn.
        idle: each second divided among the runs in it.
        beside_runs, beside_others: seconds that other runs, or other processes, used too.
        whole: all of them.
    """

    work: float = 0.0
    alone: float = 0.0
    idle: float = 0.0
    beside_runs: float = 0.0
    beside_others: float = 0.0
    whole: float = 0.0

    def add(self, other: "Part", times: float = 1.0) -> None:
        """Take another stretch in, or so many of them."""
        for name, seconds in vars(other).items():
            setattr(self, name, getattr(self, name) + seconds * times)


@dataclass
class Account:
    """What a run is charged of one counter.

    Attributes:
        joules: the machine's, times the run's share of the work.
        part: of the time in which they were used.
        idle_watts: of the machine; None where it is not known.
    """

    joules: float = 0.0
    part: Part = field(default_factory=Part)
    idle_watts: float | None = None


@dataclass
class Member:
    """One metered run.

    Attributes:
        process: its process id.
        born: that process's birth: ids are used again.
        sweep: directory of its sweep, if it has one.
        keys: the counters that it is charged for.
        computes: it has work for a GPU at present.
        share: its part of the machine's busy CPU time of late, 0 to 1.
        waiting: part of the time of late that it waited for a CPU, 0 to 1.
        waited: seconds of its waiting that `waiting` has accounted for, as its process counts them.
        neighbours: most other members since its last reading.
        accounts: by counter, since its last reading.
        since: when it last read each counter itself.
        seen: joules by counter that others have shared out of the time since then.
    """

    process: int
    born: str
    sweep: str | None
    keys: list[str]
    computes: bool = False
    share: float = 1.0
    waiting: float = 0.0
    waited: float = 0.0
    neighbours: int = 0
    accounts: dict[str, Account] = field(default_factory=dict)
    since: dict[str, float] = field(default_factory=dict)
    seen: dict[str, float] = field(default_factory=dict)


@dataclass
class Slice:
    """A stretch of time whose energy has not been shared out, and who has had which part of it.

    Attributes:
        start, end: seconds of the clock.
        members: parts by member.
        sweeps: seconds by sweep in which one of its members ran.
    """

    start: float
    end: float
    members: dict[str, Part] = field(default_factory=dict)
    sweeps: dict[str, float] = field(default_factory=dict)


@dataclass
class Load:
    """What a GPU did of late.

    Attributes:
        busy: part of the time in which anything ran on it, 0 to 1.
        others: processes without a meter that computed on it.
    """

    busy: float = 1.0
    others: int = 0


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
    """The CPU time that had been spent at a moment.

    Attributes:
        begun: the moment.
        machine: CPU seconds of everything that ran, until then.
        members: CPU seconds by member.
    """

    begun: float = 0.0
    machine: float = 0.0
    members: dict[str, float] = field(default_factory=dict)


@dataclass
class SweepTotal:
    """The machine while runs of one sweep were metered, and what they were charged of it.

    Attributes:
        seconds: how long at least one of them ran.
        machine_joules: of the whole machine over that time.
        trials_joules: charged to the sweep's runs; the rest is the remainder.
        neighbours: most runs at a time beside one.
    """

    seconds: float = 0.0
    machine_joules: float = 0.0
    trials_joules: float = 0.0
    neighbours: int = 0

    def __add__(self, other: "SweepTotal") -> "SweepTotal":
        return SweepTotal(
            self.seconds + other.seconds,
            self.machine_joules + other.machine_joules,
            self.trials_joules + other.trials_joules,
            max(self.neighbours, other.neighbours),
        )
