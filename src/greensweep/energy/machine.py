"""The meter of a machine: its counters, read at the edges of laps, shared with neighbours."""

import json
import logging
import math
import os
import platform
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path

from greensweep.energy.accounts import Account, CounterState, Load, Member, Part, Slice, SweepTotal
from greensweep.energy.baseline import IdleBaseline
from greensweep.energy.counters import Counter, Source, read_again
from greensweep.energy.ledger import Ledger
from greensweep.energy.ledger_state import LedgerState
from greensweep.energy.meter import not_started
from greensweep.energy.processes import CpuTimes, Processes
from greensweep.energy.reading import OTHERS, RUNS, ComponentEnergy, EnergyReading, sum_joules
from greensweep.energy.sampling import ClockReading, Sampler, read_clocks
from greensweep.energy.uncertainty import Steps
from greensweep.energy.units import joules_text
from greensweep.errors import EnergyError, first_line
from greensweep.files import read_as, write_json
from greensweep.nested import from_json

log = logging.getLogger(__name__)

# How often counters are read within a lap, where their range does not ask for more.
_SAMPLE_SECONDS = 1.0

# A counter that shows no number for longer is lost.
_EMPTY_SECONDS = 5.0


class MachineMeter:
    """Reads counters lap by lap; beside other metered runs, its share of them.

    Long laps are sampled from a thread, so that a counter starts again from 0 at most once between
    two values, and that time in which this process was stopped, or the machine slept, is seen: it
    is in no lap, and neither are its joules.

    A counter that fails costs one warning: what it gave before is kept, at lower quality, and the
    other counters go on. So do all where one jumps further than hardware can; a value that is
    missing once is part of the next.

    Args:
        source: opens the counters.
        ledger: where the runs of this machine see each other.
        baseline: what the idle machine draws, for net joules.
        sweep: directory of the sweep that the run belongs to, which gets the machine's totals.
        clock: seconds that never jump, the same for all processes of the machine.
        processes: whose CPU time is the key.
        whole: the counters are of the machine; others say what they do of this process alone.
        clocks: reads the clocks that show whether a thread of this process ran.
        samples: read between laps too, in a thread: counters in time, and gaps when there are any.
        watches: it is charged nothing, and reads the machine for the totals of its sweep alone.
    """

    def __init__(
        self,
        source: Source,
        ledger: Ledger,
        *,
        baseline: IdleBaseline | None = None,
        sweep: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
        processes: Processes | None = None,
        whole: bool = True,
        clocks: Callable[[int | None], ClockReading] = read_clocks,
        samples: bool = True,
        watches: bool = False,
    ) -> None:
        self._samples, self._watches = samples, watches
        self._whole = whole
        self._source = source
        self._ledger = ledger
        self._baseline = baseline
        self._sweep = sweep
        self._clock = clock
        self._processes = processes or Processes()
        self._clocks = clocks
        self._started_in: int | None = None  # the process

    def start(self) -> None:
        """Open the counters, join the ledger, and begin the first lap.

        Raises:
            EnergyError: there is nothing to read here.
        """
        self.stop()
        self._counters = {counter.key: counter for counter in self._source.open()}
        self._idle = self._baseline.watts(self._counters) if self._baseline else {}
        self._lost: set[str] = set()
        self._jumped: set[str] = set()
        self._warned: set[str] = set()
        self._seen: dict[str, tuple[float, float]] = {}
        self._pending = EnergyReading()
        self._steps = _steps(self._counters.values())
        self._process, self._born = self._processes.own()
        self._name = uuid.uuid4().hex
        with self._ledger.open() as state:
            self._join(state)
        if not self._last:
            self._source.close()
            raise EnergyError(
                "no energy counter of this machine can be read: see python -m greensweep doctor, "
                "or choose the meter unmetered to train without energy figures"
            )
        self._started_in = os.getpid()
        self._lock = threading.Lock()
        ranges = [counter.seconds_to_half_range for counter in self._counters.values()]
        seconds = min([_SAMPLE_SECONDS, *filter(None, ranges)])
        self._sampler = Sampler(self._sample, seconds, self._clocks)
        if self._samples:
            self._sampler.start()

    def lap(self, computes: bool = True) -> EnergyReading:
        if not self._is_running():
            raise not_started()
        with self._lock:
            self._go_on(computes)
            reading, self._pending = self._pending, EnergyReading()
        return reading

    def _sample(self) -> None:
        if self._lock.acquire(blocking=False):
            with suppress(Exception):  # a lap meets it again, and raises it
                self._go_on()
            self._lock.release()
        else:  # a lap is being read, which may wait for the ledger
            self._sampler.note_running()

    def _go_on(self, computes: bool | None = None) -> None:
        """Add what was used since the last slice to what is pending.

        Args:
            computes: a lap ends, and what begins has work for a GPU, or none; None: it goes on.
        """
        missed = self._sampler.suspended_seconds()
        with self._ledger.open() as state:
            reading = self._slice(state, ends_lap=computes is not None)
            member = state.members.get(self._name)
            if computes is not None and member is not None:
                member.computes = computes
                last = None if missed else reading.charged_joules
                state.add_reported(member, sum_joules((self._pending.charged_joules, last)) or 0.0)
        if missed:
            reading = reading.left_out(missed)
            joules = reading.gap_joules
            self._warn_once(
                "suspended",
                "This process did not run for %.1f s: it was stopped, or the machine slept. "
                "%s of that time are in no phase of it.",
                missed,
                "No joules" if joules is None else joules_text(joules, digits=3),
            )
        self._pending += reading

    def _warn_once(self, about: str, sentence: str, *figures: object) -> None:
        if about not in self._warned:
            self._warned.add(about)
            log.warning(sentence, *figures)

    def _slice(self, state: LedgerState, *, ends_lap: bool) -> EnergyReading:
        """Return what was used since the last slice."""
        began, member = self._now, state.members.get(self._name)
        if member is None:  # the file was lost, and with it whose the lap was: it counts as ours
            before = self._last
            self._join(state)
            return self._reading(began, self._own_window(before, self._now - began))
        if ends_lap:  # the ledger was waited for, which is as good as for a CPU
            member.waited -= self._ledger.asleep
        self._settle(state)
        return self._reading(began, *state.take_accounts(self._name))

    def stop(self) -> None:
        if self._is_running():
            self._sampler.stop()
            with self._ledger.open() as state:
                if self._name in state.members:
                    self._settle(state)
                    state.leave(self._name, self._now, lambda: self._cpu_times(state))
                    if self._sweep is not None:
                        write_total(state, self._sweep)
            self._source.close()
        self._started_in = None

    def _is_running(self) -> bool:
        # A forked child has a copy of the meter, but is not the run that joined.
        return self._started_in == os.getpid()

    def _reading(
        self, began: float, accounts: Mapping[str, Account], neighbours: int = 0
    ) -> EnergyReading:
        reading = EnergyReading(self._now - began, {}, neighbours, frozenset(self._lost))
        for key, account in accounts.items():
            energy = _component(account, self._counters[key], self._idle.get(key))
            if self._counters[key].component in self._jumped:
                energy = energy.incomplete("reset")
            reading += EnergyReading(components={self._counters[key].component: energy})
        self._jumped.clear()
        parts = {
            name: replace(part, uncertainty=self._steps[name].of_lap(began, self._now, part.joules))
            for name, part in reading.components.items()
            if part.counted != "replayed"  # a record says nothing of its own edges
        }
        return replace(reading, components={**reading.components, **parts})

    def _join(self, state: LedgerState) -> None:
        if not any(map(self._is_alive, state.members.values())):
            for folder in [*state.sweeps]:  # what the dead have left
                write_total(state, Path(folder))
            state.members, state.counters, state.sweeps = {}, {}, {}
        self._now, self._last = now, values = self._read()
        if not values:
            return  # there is nothing to share
        self._advance(state, now)
        for key, value in values.items():
            counter = self._counters[key]
            if key not in state.counters:
                state.counters[key] = CounterState(
                    value, [Slice(now, now)], counter.in_turn, looked=now
                )
            elif counter.common:
                self._read_common(state, key, value, now)
            idle = self._idle.get(key, counter.idle_watts)
            if idle is not None:
                state.counters[key].idle_watts = idle
        sweep = None if self._sweep is None else str(self._sweep)
        member = Member(self._process, self._born, sweep, list(values), self._watches)
        state.join(self._name, member, now, lambda: self._cpu_times(state))

    def _settle(self, state: LedgerState) -> None:
        """Bring the ledger up to now."""
        now, values = self._read()
        state.members[self._name].keys = self._keys()
        self._advance(state, now)
        for key, value in values.items():
            counter = self._counters[key]
            if counter.common:
                self._read_common(state, key, value, now)
                self._last[key] = value
            else:
                step = counter.since(self._last[key], value, now - self._now)
                read = state.read_watching if self._watches else state.read_own
                if read(self._name, key, step.joules):
                    self._last[key] = value
        self._now = now

    def _advance(self, state: LedgerState, now: float) -> None:
        state.advance(now, lambda: self._cpu_times(state), lambda key: self._load(state, key))
        if state.shares.begun < now:
            return  # the dead are looked for as seldom as shares are worked out
        for name, member in list(state.members.items()):
            # Who died was a neighbour until now; this process itself lives.
            if name != self._name and not self._is_alive(member):
                state.leave(name, now, lambda: self._cpu_times(state))

    def _read_common(self, state: LedgerState, key: str, value: float, now: float) -> None:
        last = state.counters[key]
        step = self._counters[key].since(last.value, value, now - last.slices[0].start)
        state.read_common(key, step.joules, value)

    def _load(self, state: LedgerState, key: str) -> Load | None:
        counter = self._counters.get(key)
        if counter is None:
            return None
        busy, users = counter.busy(), set(counter.users() or ())
        own = self._processes.families(state.processes())
        # In a container the driver may name processes by ids that are not ours.
        others = users - own if users & own else set()
        return Load(1.0 if busy is None else busy, len(others))

    def _own_window(self, before: Mapping[str, float], seconds: float) -> dict[str, Account]:
        return {
            key: Account(
                self._counters[key].since(before[key], value, seconds).joules,
                Part(seconds, seconds, seconds, whole=seconds),
                self._idle.get(key, self._counters[key].idle_watts),
            )
            for key, value in self._last.items()
            if key in before
        }

    def _read(self) -> tuple[float, dict[str, float]]:
        """Return the time and the values of the counters; one that fails is read no more.

        One that shows no number for once is left out: its next value holds what is missing now.
        """
        values = {}
        for key in self._keys():
            counter = self._counters[key]
            try:
                values[key] = read_again(counter)
            except Exception as error:
                read_at, _ = self._seen.get(key, (-math.inf, 0.0))
                if isinstance(error, ValueError) and self._clock() - read_at < _EMPTY_SECONDS:
                    continue
                self._lost.add(counter.component)
                log.warning(
                    "The %s counter %s failed (%s: %s): what it gave so far is kept, and energy "
                    "figures of this run hold no more of it.",
                    counter.component,
                    counter.source,
                    type(error).__name__,
                    first_line(error),
                )
        now, kept = self._clock(), set(self._keys())
        values = {key: value for key, value in values.items() if key in kept}
        for key, value in values.items():
            self._notice_jump(key, value, now)
        return now, values

    def _keys(self) -> list[str]:
        """Return the counters that are not lost; without a part of a component, all of it is."""
        return [key for key, each in self._counters.items() if each.component not in self._lost]

    def _notice_jump(self, key: str, value: float, now: float) -> None:
        read_at, before = self._seen.get(key, (now, value))
        self._seen[key] = now, value
        counter = self._counters[key]
        if counter.since(before, value, now - read_at).possible:
            return
        self._jumped.add(counter.component)
        self._warn_once(
            counter.component,
            "The %s counter %s went from %g J to %g J in %.3g s, more than hardware uses: it "
            "was reset or is wrong. Figures of that time are estimates, marked `reset`.",
            counter.component,
            key,
            before,
            value,
            now - read_at,
        )

    def _cpu_times(self, state: LedgerState) -> CpuTimes:
        if not self._whole:
            return CpuTimes(0.0, {})
        return self._processes.cpu_times(state.processes())

    def _is_alive(self, member: Member) -> bool:
        return self._processes.alive(member.process, member.born)


def _component(account: Account, counter: Counter, baseline: float | None) -> ComponentEnergy:
    """Return what a run is charged of one counter.

    Args:
        baseline: what the idle machine drew when it was measured, watts; None: it was not.
    """
    part = account.part

    def with_idle(seconds: float) -> float:
        # The idle power of the work's part is in the joules already.
        return account.joules + (account.idle_watts or 0.0) * (seconds - part.work)

    joules = with_idle(part.alone)
    beside = {RUNS: part.beside_runs, OTHERS: part.beside_others}
    shared = {who: joules * each / part.whole for who, each in beside.items() if each}
    return ComponentEnergy(
        joules=joules,
        source=counter.source,
        counted=counter.quality,
        net_joules=None if baseline is None else account.joules - baseline * part.work,
        idle_joules=None if account.idle_watts is None else account.idle_watts * part.alone,
        charged_joules=with_idle(part.idle),
        beside=shared,
        unsettled_joules=max(shared.values(), default=0.0) if account.idle_watts is None else 0.0,
    )


def _steps(counters: Iterable[Counter]) -> dict[str, Steps]:
    """Return what gives the uncertainty of each component: by the slowest of its counters."""
    periods: dict[str, float] = defaultdict(float)
    errors: dict[str, float] = defaultdict(float)
    for each in counters:
        periods[each.component] = max(periods[each.component], each.update_seconds or 0.0)
        errors[each.component] = max(errors[each.component], each.model_error)
    return {name: Steps(periods[name], errors[name]) for name in periods}


def write_total(state: LedgerState, sweep: Path, own: SweepTotal | None = None) -> None:
    """Add what the ledger has of a sweep to this machine's file of totals in the sweep's folder.

    Where that cannot be written, as on a full disk, the ledger keeps it for the next time.

    Args:
        own: to be added as well.
    """
    total = state.sweeps.pop(str(sweep), SweepTotal()) + (own or SweepTotal())
    path = sweep / f"machine_energy.{platform.node()}.json"
    try:
        known = read_as(SweepTotal, path)
        write_json(path, asdict(total if known is None else known + total))
    except OSError:
        state.sweeps[str(sweep)] = total


def is_later_total(content: bytes, path: Path) -> bool:
    """Tell whether a machine's own file of its totals says more than the one that is at a path."""
    if not path.match("machine_energy.*.json"):
        return False
    known = read_as(SweepTotal, path)
    return known is None or from_json(SweepTotal, json.loads(content)).seconds >= known.seconds


def machine_totals(sweep: Path) -> dict[str, SweepTotal]:
    """Return what a sweep left about its machines, by their names; empty without any.

    Empty, too, where a file of theirs was broken: the rest would be taken for the whole.
    """
    paths = sorted(sweep.glob("machine_energy.*.json"))
    found = {
        path.name.removeprefix("machine_energy.").removesuffix(".json"): total
        for path in paths
        if (total := read_as(SweepTotal, path)) is not None
    }
    if broken := sorted(sweep.glob("machine_energy.*.json.broken")):
        log.warning("%s was broken: what the machine used in all is not known.", broken[0])
        return {}
    return found
