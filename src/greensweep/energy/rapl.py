"""RAPL: the energy counters of CPU packages and memory, read from Linux's powercap files."""

from pathlib import Path

from greensweep.energy.counters import Counter

POWERCAP = Path("/sys/class/powercap")

_MICROJOULES = 1e-6


class RaplCounter(Counter):
    """One RAPL zone.

    Args:
        zone: folder of the zone, with `energy_uj` and `max_energy_range_uj`.
        component: cpu for a package, ram for its memory.

    Raises:
        OSError: the files cannot be read.
        ValueError: they hold no numbers.
    """

    source = "rapl"
    common = True
    update_seconds = 0.001

    def __init__(self, zone: Path, component: str) -> None:
        self.component = component
        self._zone = zone
        self.wraps_at = _MICROJOULES * int((zone / "max_energy_range_uj").read_text())
        self.read()

    @property
    def key(self) -> str:
        return f"{self.component}/rapl/{self._zone.name}"

    @property
    def basis(self) -> str:
        return f"the kernel's counter in {self._zone}"

    def read(self) -> float:
        return _MICROJOULES * int((self._zone / "energy_uj").read_text())


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
