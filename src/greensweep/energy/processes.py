"""Processes of this machine: which one still runs, and the CPU time by which runs share energy."""

import ctypes
import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from multiprocessing import parent_process
from pathlib import Path

import psutil

from greensweep.energy.psutil_internals import identity_of


@dataclass(frozen=True)
class CpuTimes:
    """CPU seconds spent since some moment in the past, over all cores."""

    machine: float  # of everything that ran
    processes: Mapping[int, float]  # of some, by id, with the processes that they started
    # For which the main thread of each was ready to run and had no CPU; absent where the system
    # does not count it.
    waited: Mapping[int, float] = field(default_factory=dict)


class Processes:
    def own(self) -> tuple[int, str]:
        """Return this process's id, and its birth, which no other process with that id has.

        Of the first process that torchrun started it is torchrun, so that all of them count.
        """
        is_first = "TORCHELASTIC_RUN_ID" in os.environ and os.environ.get("LOCAL_RANK") == "0"
        process = os.getppid() if is_first and parent_process() is None else os.getpid()
        return process, _birth(process) or ""

    def alive(self, process: int, born: str) -> bool:
        """Tell whether that very process still runs."""
        return _birth(process) == born

    def cpu_times(self, processes: Collection[int]) -> CpuTimes:
        """Read the CPU time of the machine and of `processes`.

        What a process has started counts with it, but for another of `processes`.
        """
        return CpuTimes(
            self.busy_seconds(),
            {each: _tree(each, processes) for each in processes},
            {each: seconds for each in processes if (seconds := _waited(each)) is not None},
        )

    def families(self, processes: Collection[int]) -> set[int]:
        """Return processes with all that they have started and that still run."""
        return {each for process in processes for each in (process, *_descendants(process))}

    def cores(self) -> int:
        return os.cpu_count() or 1

    def busy_seconds(self) -> float:
        """Return the CPU seconds that this machine has spent on anything."""
        times = psutil.cpu_times()
        # Guest time is in user time already; a stolen second was spent by another machine.
        apart = ("idle", "iowait", "guest", "guest_nice", "steal")
        return float(sum(times) - sum(getattr(times, name, 0.0) for name in apart))


@contextmanager
def adopting_orphans() -> Iterator[None]:
    """Let processes whose parents end before them count with this one, instead of the system.

    Linux alone can (prctl(2), PR_SET_CHILD_SUBREAPER); elsewhere they are other processes.
    """
    _set_subreaper(1)
    try:
        yield
    finally:
        _set_subreaper(0)


def _set_subreaper(value: int) -> None:
    if psutil.LINUX:
        ctypes.CDLL(None).prctl(36, value, 0, 0, 0)


def boot_of(born: str) -> str:
    """Return the boot of the machine that a process was born in; empty where its birth hides it."""
    boot, _, ticks = born.partition("/")
    return boot if ticks else ""


def _birth(process: int) -> str | None:
    """Return what no other process with that id ever has; None where none runs.

    No setting of the clock changes it: on Linux it is the start in ticks since the machine's own,
    with the name of the boot, after which ids and ticks begin anew.
    """
    if not psutil.LINUX:
        with suppress(psutil.Error):
            found = psutil.Process(process)
            if found.status() != psutil.STATUS_ZOMBIE:
                return identity_of(found)
        return None
    try:
        # Names in brackets may hold anything; from the state on there are numbers.
        fields = Path(f"/proc/{process}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None
    ended = fields[0] in (b"Z", b"X")  # nobody has asked yet how it ended
    return None if ended else f"{_boot()}/{fields[19].decode()}"


@cache  # no process outlives its machine's boot
def _boot() -> str:
    """Return the name of this boot of the machine; empty where it has none."""
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return ""


def _waited(process: int) -> float | None:
    """Return the run queue's delay of a process's main thread, as Linux keeps it."""
    with suppress(OSError, ValueError, IndexError):
        return int(Path(f"/proc/{process}/schedstat").read_bytes().split()[1]) * 1e-9
    return None


def _tree(process: int, apart: Collection[int]) -> float:
    seconds = 0.0
    with suppress(psutil.Error):
        times = psutil.Process(process).cpu_times()
        seconds = times.user + times.system
        # A child that has ended counts with its parent.
        seconds += getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0.0)
        for child in _children(process):
            if child not in apart:
                seconds += _tree(child, apart)
    return seconds


def _descendants(process: int) -> Iterator[int]:
    for child in _children(process):
        yield child
        yield from _descendants(child)


def _children(process: int) -> list[int]:
    """Return the ids of a process's children; on Linux without a look at all processes."""
    found: list[int] = []
    try:
        for thread in os.scandir(f"/proc/{process}/task"):
            with open(f"{thread.path}/children", encoding="ascii") as file:  # noqa: PTH123
                found += map(int, file.read().split())
    except (OSError, ValueError):
        with suppress(psutil.Error):
            return [child.pid for child in psutil.Process(process).children()]
    return found
