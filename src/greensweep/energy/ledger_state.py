"""Energy attribution: whose joules are whose, between runs that share a machine.

Runs side by side read one machine. The edges of their laps cut its energy into slices. What a slice
holds above the idle power is shared out by work: of a CPU by parts of the machine's busy CPU time,
of which other processes have theirs; of a GPU, which runs its processes in turn, by the time of
those that compute. Idle power is shared by time. The parts of all runs and the remainder add up to
the machine. A run that has a component nearly to itself is charged all of it.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from greensweep.energy.accounts import (
    Account,
    CounterState,
    CpuWindow,
    Load,
    Member,
    Part,
    Slice,
    SweepTotal,
)
from greensweep.energy.processes import CpuTimes

# CPU time is counted in ticks of 10 ms: over shorter windows shares would be chance. What
# processes without a meter used is the small rest of large figures: it needs longer windows, and
# of each so much may be a matter of rounding.
_SHARE_WINDOW_SECONDS = 0.1
_OTHERS_WINDOW_SECONDS = 0.5
_ROUNDING_SECONDS = 0.03

# A GPU's driver names who computed on it of late, those among them who have left since.
_LOAD_SECONDS = 1.0

# A machine of whose busy CPU time others have no more than this is a run's own.
QUIET_PART = 0.1


@dataclass
class LedgerState:
    """The state of a ledger."""

    members: dict[str, Member] = field(default_factory=dict)  # by name
    counters: dict[str, CounterState] = field(default_factory=dict)  # by key
    sweeps: dict[str, SweepTotal] = field(default_factory=dict)  # by directory
    time: float = 0.0  # up to when members were last charged time
    shares: CpuWindow = field(default_factory=CpuWindow)  # since shares were last worked out
    rest: CpuWindow = field(default_factory=CpuWindow)  # since the part of others was
    others: float | None = None  # others' part of the busy CPU time, 0 to 1; None before a window

    def join(self, name: str, member: Member, now: float, cpu: Callable[[], CpuTimes]) -> None:
        """Take in a member; the time before is the others'."""
        self.members[name] = member
        for key in member.keys:
            counter = self.counters[key]
            if counter.slices[-1].end > counter.slices[-1].start:
                counter.slices.append(Slice(now, now))
            member.since[key] = now
        if member.watches:
            return
        present = self._runs()
        if len(present) == 1:
            self.others = None
        spent = cpu()
        self._begin_windows(now, spent)
        member.waited = spent.waited.get(member.process, 0.0)
        runs = 1.0 - (self.others or 0.0)
        for each in present.values():
            each.share = runs / len(present)  # until a first window

    def advance(
        self, now: float, cpu: Callable[[], CpuTimes], load: Callable[[str], Load | None]
    ) -> None:
        """Give the time up to now to the members.

        Args:
            cpu: reads the CPU time spent up to now; asked for where shares are due.
            load: looks at what a counter's component did in the last second; None where whoever
                looks does not read that counter.
        """
        runs = self._runs()
        neighbours = max(len(runs) - 1, 0)
        window = _SHARE_WINDOW_SECONDS if self.others is None else _OTHERS_WINDOW_SECONDS
        if now - self.rest.begun >= window:
            self._work_out(now, cpu())
        elif neighbours and now - self.shares.begun >= _SHARE_WINDOW_SECONDS:
            self._work_out_shares(now, cpu())
        for key, counter in self.counters.items():
            if counter.in_turn and now - counter.looked >= _LOAD_SECONDS and (found := load(key)):
                counter.load, counter.looked = found, now
        running = {m.sweep for m in self.members.values() if m.sweep is not None}
        for sweep in running:
            total = self.sweeps.setdefault(sweep, SweepTotal())
            total.seconds += now - self.time
        for member in runs.values():
            member.neighbours = max(member.neighbours, neighbours)
            if member.sweep is not None:
                total = self.sweeps[member.sweep]
                total.neighbours = max(total.neighbours, neighbours)
        delays = {name: self._delay(name) for name in runs}
        for key, counter in self.counters.items():
            growing = counter.slices[-1]
            seconds, growing.end = now - growing.end, now
            for name in self._users(key):
                part = self._part(name, key, delays[name])
                growing.members.setdefault(name, Part()).add(part, seconds)
            for sweep in running:
                if any(each.sweep == sweep and key in each.keys for each in self.members.values()):
                    growing.sweeps[sweep] = growing.sweeps.get(sweep, 0.0) + seconds
        self.time = now

    def read_common(self, key: str, joules: float, value: float) -> None:
        """Share out what a counter gave that all processes have in common.

        Args:
            joules: since its last counter.
            value: now.
        """
        if self._share_out(key, joules, self.counters[key].slices):
            self.counters[key].value = value

    def read_own(self, name: str, key: str, joules: float) -> bool:
        """Share out what a counter gave that one process alone can read.

        Of the time since the member's own last reading, others may have shared out a part.
        Returns whether there was any time; if not, the joules are to be read again.

        Args:
            joules: since that reading.
        """
        member = self.members[name]
        slices = [each for each in self.counters[key].slices if each.start >= member.since[key]]
        left = max(joules - member.seen.get(key, 0.0), 0.0)
        if not self._share_out(key, left, slices):
            return False
        member.since[key], member.seen[key] = self.time, 0.0
        return True

    def read_watching(self, name: str, key: str, joules: float) -> bool:
        """Take what a counter gave that one process alone can read, who watches: as `read_own`.

        What runs use meanwhile they read themselves, and as if nobody watched: the time without
        them has the power of late.
        """
        member, counter = self.members[name], self.counters[key]
        slices = [each for each in counter.slices if each.start >= member.since[key]]
        alone = [each for each in slices if not self._runs().keys() & each.members.keys()]
        seconds = sum(each.end - each.start for each in alone)
        left = max(joules - member.seen.get(key, 0.0), 0.0)
        if len(alone) == len(slices):
            if seconds > 0:
                member.watts[key] = left / seconds
            return self.read_own(name, key, joules)
        whole = sum(each.end - each.start for each in slices)
        watts = member.watts.get(key, left / whole if whole > 0 else 0.0)
        for each in alone:
            self._charge_sweeps(each, watts * seconds, seconds or 1.0)
        counter.slices = [each for each in counter.slices if each not in alone]
        counter.slices.append(Slice(self.time, self.time))
        member.since[key], member.seen[key] = self.time, 0.0
        return True

    def _share_out(self, key: str, joules: float, slices: list[Slice]) -> bool:
        seconds = sum(each.end - each.start for each in slices)
        if seconds <= 0:
            return False  # nobody has had any time, so the joules belong to what begins now
        for each in slices:
            for name, part in each.members.items():
                if name in self.members:
                    account = self.members[name].accounts.setdefault(key, Account())
                    account.joules += joules * part.work / seconds
                    account.part.add(part)
                    account.idle_watts = self.counters[key].idle_watts
            self._charge_sweeps(each, joules, seconds)
            for member in self.members.values():
                if key in member.since and each.start >= member.since[key]:
                    known = joules * (each.end - each.start) / seconds
                    member.seen[key] = member.seen.get(key, 0.0) + known
        counter = self.counters[key]
        shared = {id(each) for each in slices}
        left = [each for each in counter.slices if id(each) not in shared]
        counter.slices = [each for each in left if self._is_known(key, each)]
        for each in left:
            # What was used before a member's time only those know who were there. When all of
            # them have died, nobody is charged, and the present power stands for it in the total.
            if not self._is_known(key, each):
                self._charge_sweeps(each, joules, seconds)
        counter.slices.append(Slice(self.time, self.time))
        return True

    def _is_known(self, key: str, each: Slice) -> bool:
        """Tell whether somebody lives who was there, and will say what was used."""
        return bool(self.members.keys() & each.members.keys()) or any(
            member.watches and key in member.since and each.start >= member.since[key]
            for member in self.members.values()
        )

    def _charge_sweeps(self, each: Slice, joules: float, seconds: float) -> None:
        for sweep, part in each.sweeps.items():
            if sweep in self.sweeps:
                self.sweeps[sweep].machine_joules += joules * part / seconds

    def processes(self) -> set[int]:
        """Return the processes of the runs."""
        return {member.process for member in self._runs().values()}

    def take_accounts(self, name: str) -> tuple[dict[str, Account], int]:
        """Hand a member what it was charged since it last asked, and its neighbours since then."""
        member = self.members[name]
        accounts, member.accounts = member.accounts, {}
        neighbours, member.neighbours = member.neighbours, 0
        return accounts, neighbours

    def add_reported(self, member: Member, joules: float) -> None:
        """Add what a member has reported of what it was charged to its sweep."""
        if member.sweep in self.sweeps:
            self.sweeps[member.sweep].trials_joules += joules

    def leave(self, name: str, now: float, cpu: Callable[[], CpuTimes]) -> None:
        """Let a member go; what it did not take stays in the remainder."""
        # What it used in the present windows, or of late, would count as others'.
        left = self.members.pop(name)
        if left.watches:
            return
        for key in left.keys:
            self.counters[key].looked = now
        self._begin_windows(now, cpu())
        remaining = self._runs()
        if len(remaining) == 1:
            # Who left may work on without a meter, as a worker that ends does: look soon.
            self.rest = replace(
                self.rest, begun=now - _OTHERS_WINDOW_SECONDS + _SHARE_WINDOW_SECONDS
            )
            (last,) = remaining.values()
            last.share, last.waiting = 1.0 - (self.others or 0.0), 0.0

    def _runs(self) -> dict[str, Member]:
        return {name: member for name, member in self.members.items() if not member.watches}

    def _users(self, key: str) -> dict[str, Member]:
        return {name: member for name, member in self._runs().items() if key in member.keys}

    @property
    def _is_disturbed(self) -> bool:
        return (self.others or 0.0) > QUIET_PART

    def _delay(self, name: str) -> float:
        """Return the part of the time that a member lost to others, 0 to 1.

        It waits for a CPU or for its turn on a GPU; while it waits for the one, the other does not
        delay it.
        """
        member = self.members[name]
        is_alone = len(self._runs()) == 1 and not self._is_disturbed
        turns = {key: self._turn(name, key) for key in member.keys if self.counters[key].in_turn}
        return max(
            0.0 if is_alone else member.waiting,  # alone, its threads wait for one another
            *(self.counters[key].load.busy * (1.0 - turn) for key, turn in turns.items() if turn),
            0.0,
        )

    def _turn(self, name: str, key: str) -> float:
        """Return a member's part of the work of what its users have in turn."""
        users = self._users(key)
        computing = [each for each, member in users.items() if member.computes]
        others = self.counters[key].load.others
        if not computing and not others:
            return 1.0 / len(users)
        return 1.0 / (len(computing) + others) if name in computing else 0.0

    def _part(self, name: str, key: str, delay: float) -> Part:
        """Return a member's part of a second of what a counter counts."""
        counter, count = self.counters[key], len(self._runs())
        is_disturbed = self._is_disturbed
        if counter.in_turn:
            users = len(self._users(key))
            return Part(
                work=self._turn(name, key),
                alone=1.0 - delay,
                idle=1.0 / users,
                beside_runs=1.0 if users > 1 else delay * (count > 1),
                beside_others=1.0 if counter.load.others else delay * is_disturbed,
                whole=1.0,
            )
        is_alone = count == 1 and not is_disturbed
        return Part(
            work=1.0 if is_alone else self.members[name].share,
            alone=1.0 - delay,
            idle=1.0 / count,
            beside_runs=float(count > 1),
            beside_others=delay if is_alone else float(is_disturbed),
            whole=1.0,
        )

    def _work_out(self, now: float, cpu: CpuTimes) -> None:
        """Work shares out, and the part of processes without a meter."""
        busy, used = self._used_since(self.rest, cpu)
        known = sum(used.values()) + _ROUNDING_SECONDS
        self.others = max(1.0 - known / busy, 0.0) if busy > 0 else 0.0
        self._work_out_shares(now, cpu)
        self.rest = self.shares

    def _work_out_shares(self, now: float, cpu: CpuTimes) -> None:
        busy, used = self._used_since(self.shares, cpu)
        for name, member in self._runs().items():
            member.share = used[name] / busy if busy > 0 else 0.0
            # Waiting is counted when it ends: what is too much for this window is of the next.
            seconds = now - self.shares.begun
            waited = cpu.waited.get(member.process, member.waited) - member.waited
            member.waiting = min(max(waited / seconds, 0.0), 1.0)
            member.waited += member.waiting * seconds
        self.shares = self._window(now, cpu)

    def _used_since(self, window: CpuWindow, cpu: CpuTimes) -> tuple[float, dict[str, float]]:
        """Return the CPU seconds that the machine spent, and each member."""
        runs = self._runs()
        members_in = Counter(member.process for member in runs.values())
        used = {
            name: max(cpu.processes.get(member.process, 0.0) - window.members.get(name, 0.0), 0.0)
            / members_in[member.process]
            for name, member in runs.items()
        }
        return max(cpu.machine - window.machine, sum(used.values())), used

    def _begin_windows(self, now: float, cpu: CpuTimes) -> None:
        for member in self._runs().values():
            member.waited += member.waiting * (now - self.shares.begun)
        self.shares = self.rest = self._window(now, cpu)

    def _window(self, now: float, cpu: CpuTimes) -> CpuWindow:
        # Of a process that has died nothing more is known.
        spent = {
            name: cpu.processes.get(member.process, self.shares.members.get(name, 0.0))
            for name, member in self._runs().items()
        }
        return CpuWindow(now, cpu.machine, spent)
