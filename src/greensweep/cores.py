"""The CPU cores that this process may use, which may be fewer than the machine has."""

import math
from collections.abc import Iterator
from pathlib import Path

_MEMBERSHIP = Path("/proc/self/cgroup")
_CONTROL_GROUPS = Path("/sys/fs/cgroup")


def usable_cores() -> int:
    """Return how many cores this process may keep busy, at least 1.

    Its affinity counts, on every system that has one, a container's quota, the quotas of all
    control groups that it is in, as systemd and batch systems set, and `LOKY_MAX_CPU_COUNT`.
    """
    from joblib import cpu_count  # knows of all but nested control groups

    return max(1, min([int(cpu_count()), *map(math.ceil, _quotas())]))


def _quotas() -> Iterator[float]:
    """Yield the quotas of the control groups that this process is in, in cores."""
    try:
        memberships = _MEMBERSHIP.read_text(encoding="utf-8").splitlines()
    except OSError:
        return  # another system than Linux
    for line in memberships:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        tree = _CONTROL_GROUPS / "cpu" if controllers else _CONTROL_GROUPS  # version 1 or 2
        group = tree / path.lstrip("/")
        for folder in (group, *group.parents):
            if folder.is_relative_to(tree):
                yield from _quota(folder)


def _quota(folder: Path) -> Iterator[float]:
    """Yield the quota of one control group, when it has one, in cores."""
    for names in (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")):
        try:
            texts = [(folder / name).read_text(encoding="ascii") for name in names]
            quota, period = map(int, " ".join(texts).split())
        except (OSError, ValueError):  # no such file, or "max"
            continue
        if quota > 0:
            yield quota / period
