"""The CPU cores and the memory that this process may use, often less than the machine has."""

import math
import re
from collections.abc import Iterator
from pathlib import Path

import psutil

_MEMBERSHIP = Path("/proc/self/cgroup")
_CONTROL_GROUPS = Path("/sys/fs/cgroup")


def usable_cores() -> int:
    """Return how many cores this process may keep busy, at least 1.

    Its affinity counts, on every system that has one, a container's quota, the quotas of all
    control groups that it is in, as systemd and batch systems set, and `LOKY_MAX_CPU_COUNT`.
    """
    from joblib import cpu_count  # knows of all but nested control groups

    return max(1, min([int(cpu_count()), *map(math.ceil, _quotas())]))


def available_memory() -> int:
    """Return the bytes that this process may still fill, by the machine and its control groups."""
    return max(0, min([int(psutil.virtual_memory().available), *_memory_left()]))


def fits_in_memory(size_bytes: float, share: float = 1.0) -> bool:
    """Tell whether so many bytes are at most that share of the memory that is left."""
    return size_bytes <= share * available_memory()


def _quotas() -> Iterator[float]:
    """Yield the quotas of the control groups, in cores."""
    for folder in _groups("cpu"):
        for names in (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")):
            match _numbers(folder, names):
                case [quota, period] if quota > 0:
                    yield quota / period


def _memory_left() -> Iterator[int]:
    """Yield the bytes that the control groups leave; files that were read can be dropped."""
    for folder in _groups("memory"):
        for names in (
            ("memory.max", "memory.current"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes"),
        ):
            match _numbers(folder, names):
                case [limit, used]:
                    statistics = (folder / "memory.stat").read_text(encoding="ascii")
                    cached = re.findall(r"^(?:total_)?inactive_file (\d+)", statistics, re.M)
                    yield limit - used + max(map(int, cached), default=0)


def _groups(controller: str) -> Iterator[Path]:
    """Yield the folders of the control groups that this process is in, of either version."""
    try:
        memberships = _MEMBERSHIP.read_text(encoding="utf-8").splitlines()
    except OSError:
        return  # another system than Linux
    for line in memberships:
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        tree = _CONTROL_GROUPS / controller if controllers else _CONTROL_GROUPS
        group = tree / path.lstrip("/")
        yield from (each for each in (group, *group.parents) if each.is_relative_to(tree))


def _numbers(folder: Path, names: tuple[str, ...]) -> list[int]:
    """Read the numbers of a control group's files; none where one is missing, or has no limit."""
    try:
        texts = [(folder / name).read_text(encoding="ascii") for name in names]
        return [int(number) for number in " ".join(texts).split()]
    except (OSError, ValueError):
        return []
