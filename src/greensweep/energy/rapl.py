"""RAPL: the energy counters of CPU packages and memory, read from Linux's powercap files."""

import re
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from greensweep.energy.counters import Counter

POWERCAP = Path("/sys/class/powercap")

_MICROJOULES = 1e-6


class RaplCounter(Counter):
    """One RAPL zone.

    Args:
        zone: folder of the zone, with `energy_uj`, and with `max_energy_range_uj` where it is known
            when the counter starts again from 0.
        component: cpu for a package, ram for its memory.

    Raises:
        OSError: the counter cannot be read.
        ValueError: it holds no number.
    """

    source = "rapl"
    common = True
    update_seconds = 0.001

    def __init__(self, zone: Path, component: str) -> None:
        self.component, self.name = component, zone.name
        self.basis = f"the kernel's counter in {zone}"
        self._zone = zone
        with suppress(OSError, ValueError):
            self.wraps_at = _joules(zone / "max_energy_range_uj") or None
        self.read()

    def read(self) -> float:
        return _joules(self._zone / "energy_uj")


class MirrorCounter(Counter):
    """A die that shows the counter of another, and adds nothing until the two depart.

    Processors of AMD and Hygon have one counter a package, which Linux before 6.13 shows once for
    each die; Intel's have one for each die. Both are called `package-0-die-0`, `package-0-die-1`:
    only their values distinguish them.
    """

    source = RaplCounter.source
    update_seconds = RaplCounter.update_seconds

    def __init__(self, die: RaplCounter, twin: RaplCounter) -> None:
        self.component, self.name = die.component, die.name
        self.basis = f"{die.basis}, the same as {twin.key}, which counts"
        self._die, self._twin = die, twin
        self._is_mirror = True
        self._shown, self._shown_at = die.read(), time.monotonic()
        self._joules = 0.0

    @property
    def seconds_to_half_range(self) -> float | None:
        return self._die.seconds_to_half_range

    def read(self) -> float:
        self._is_mirror = self._is_mirror and _show_the_same(self._die, self._twin)
        shown, now = self._die.read(), time.monotonic()
        if not self._is_mirror:
            step = self._die.since(self._shown, shown, now - self._shown_at)
            self._joules += step.joules
        self._shown, self._shown_at = shown, now
        return self._joules


def rapl_zones(root: Path | None = None) -> list[tuple[Path, str]]:
    """Return the zones to add up, each with its component.

    Packages and their memory. Cores and graphics are parts of a package, `psys` holds the
    packages, and `intel-rapl-mmio` shows the same packages once more.
    """
    zones = []
    for zone in sorted((root or POWERCAP).glob("intel-rapl:*")):
        try:
            name = (zone / "name").read_text().strip()
        except OSError:
            continue
        if name.startswith("package"):
            zones.append((zone, "cpu"))
        elif name == "dram":
            zones.append((zone, "ram"))
    return zones


def open_zones(zones: Iterable[Path], component: str) -> list[Counter]:
    """Open the zones of one component; of dies that show one counter, one counts.

    Raises:
        OSError, ValueError: one of them cannot be read; the others alone would look like all.
    """
    opened: list[Counter] = []
    own: dict[str, list[RaplCounter]] = {}
    for zone in zones:
        counter = RaplCounter(zone, component)
        dies = own.setdefault(_package_of_dies(zone), [])
        twin = next((each for each in dies if _show_the_same(counter, each)), None)
        if twin is None:
            dies.append(counter)
        opened.append(counter if twin is None else MirrorCounter(counter, twin))
    return opened


def _package_of_dies(zone: Path) -> str:
    """Return what the dies of a package have in common; of any other zone, what is its alone."""
    name = (zone / "name").read_text().strip()
    match = re.fullmatch(r"(package-\d+)-die-\d+", name)
    return match[1] if match else zone.name


def _show_the_same(one: RaplCounter, other: RaplCounter) -> bool:
    """Tell whether two zones show one counter: it can only grow from one look to the next."""
    before, between, after = other.read(), one.read(), other.read()
    return before <= between <= after or after < before


def _joules(file: Path) -> float:
    return _MICROJOULES * int(file.read_text())
