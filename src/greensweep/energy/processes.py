"""CPU time of processes and of the machine: the key by which runs share its energy."""

import os
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass

import psutil


@dataclass(frozen=True)
class CpuTimes:
    """CPU seconds spent since some moment in the past, over all cores.

    Attributes:
        machine: of everything that ran.
        processes: of some processes, by id, with the processes that they started.
    """

    machine: float
    processes: Mapping[int, float]


class Processes:
    """The processes of this machine."""

    def own(self) -> tuple[int, float]:
        """Return this process's id, and when it began."""
        return os.getpid(), _born(os.getpid())

    def alive(self, process: int, born: float) -> bool:
        """Tell whether that very process still runs."""
        with suppress(psutil.Error):
            return abs(_born(process) - born) < 2.0
        return False

    def cpu_times(self, processes: Collection[int]) -> CpuTimes:
        """Read the CPU time of the machine and of `processes`.

        What a process has started counts with it, but for another of `processes`.
        """
        return CpuTimes(self.busy_seconds(), {each: _tree(each, processes) for each in processes})

    def cores(self) -> int:
        """Return the number of logical cores."""
        return os.cpu_count() or 1

    def busy_seconds(self) -> float:
        """Return the CPU seconds that this machine has spent on anything."""
        times = psutil.cpu_times()
        # Guest time is in user time already; a stolen second was spent by another machine.
        apart = ("idle", "iowait", "guest", "guest_nice", "steal")
        return float(sum(times) - sum(getattr(times, name, 0.0) for name in apart))


def _born(process: int) -> float:
    """Return when a process began, in seconds that no setting of the clock shifts.

    Linux counts a start from the machine's own, in whole seconds, which moves with the clock.
    """
    booted = psutil.boot_time() if psutil.LINUX else 0.0
    return float(psutil.Process(process).create_time() - booted)


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


def _children(process: int) -> list[int]:
    """Return the ids of a process's children; Linux tells without a look at all processes."""
    found: list[int] = []
    try:
        for thread in os.scandir(f"/proc/{process}/task"):
            with open(f"{thread.path}/children", encoding="ascii") as file:  # noqa: PTH123
                found += map(int, file.read().split())
    except (OSError, ValueError):
        with suppress(psutil.Error):
            return [child.pid for child in psutil.Process(process).children()]
    return found
