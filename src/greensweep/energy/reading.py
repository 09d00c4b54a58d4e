"""Energy readings: joules that carry how they came about."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

Quality = Literal["measured", "estimated", "mixed", "attributed", "replayed", "unmeasured"]

JOULES_PER_KWH = 3.6e6


def shared_quality(qualities: Iterable[Quality]) -> Quality:
    """Return the quality that all share, mixed when they differ, unmeasured when there is none."""
    distinct = set(qualities)
    if not distinct:
        return "unmeasured"
    return distinct.pop() if len(distinct) == 1 else "mixed"


def sum_joules(joules: Iterable[float | None]) -> float | None:
    """Return the sum of the known figures, or None when there is none."""
    known = [each for each in joules if each is not None]
    return sum(known) if known else None


@dataclass(frozen=True)
class ComponentEnergy:
    """Energy of one component (cpu, gpu or ram) over a window.

    Attributes:
        joules: gross energy.
        source: what gave the figure: rapl, nvml, cpu_load_model, constant_power, …
        quality: measured by a hardware counter, or estimated by a model.
    """

    joules: float
    source: str
    quality: Quality


@dataclass(frozen=True)
class EnergyReading:
    """Energy of one window, by component. A component without a figure is absent, never 0.

    Attributes:
        seconds: length of the window.
        components: by name: cpu, gpu, ram.
    """

    seconds: float = 0.0
    components: Mapping[str, ComponentEnergy] = field(default_factory=dict)

    @property
    def joules(self) -> float | None:
        """Gross energy of all components, or None when nothing was metered."""
        if not self.components:
            return None
        return sum(component.joules for component in self.components.values())

    @property
    def kwh(self) -> float | None:
        """The same energy in kilowatt-hours."""
        return None if self.joules is None else self.joules / JOULES_PER_KWH

    @property
    def power_watts(self) -> float | None:
        """Mean power over the window."""
        return None if self.joules is None or not self.seconds else self.joules / self.seconds

    @property
    def quality(self) -> Quality:
        """The quality that all components share, mixed when they differ."""
        return shared_quality(component.quality for component in self.components.values())

    @property
    def measured_share(self) -> float | None:
        """Share of the joules that a hardware counter gave, 0 to 1; None without joules."""
        return self._share(lambda component: component.quality == "measured")

    @property
    def constant_share(self) -> float | None:
        """Share of the joules that is a constant power times the seconds, 0 to 1."""
        return self._share(lambda component: component.source == "constant_power")

    def _share(self, chosen: Callable[[ComponentEnergy], bool]) -> float | None:
        if not self.joules:
            return None if self.joules is None else 0.0
        return sum(c.joules for c in self.components.values() if chosen(c)) / self.joules

    def __add__(self, other: "EnergyReading") -> "EnergyReading":
        """Return the reading of both windows together."""
        components = dict(self.components)
        for name, added in other.components.items():
            known = components.get(name)
            components[name] = added if known is None else _together(known, added)
        return EnergyReading(self.seconds + other.seconds, components)


def _together(one: ComponentEnergy, other: ComponentEnergy) -> ComponentEnergy:
    sources = dict.fromkeys([*one.source.split("+"), *other.source.split("+")])
    return ComponentEnergy(
        joules=one.joules + other.joules,
        source="+".join(sources),
        quality=one.quality if one.quality == other.quality else "mixed",
    )
