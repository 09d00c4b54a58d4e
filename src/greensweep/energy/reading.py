"""Energy readings: joules that carry how they came about."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
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
        source: what gave the figure: rapl, nvml, cpu_load_model, constant_power, …; several are
            joined by `+`, and among them `lost` says that a source failed before the end, `reset`
            that its counter jumped.
        quality: measured by a hardware counter, estimated by a model, attributed (a share of a
            machine's reading), or replayed from a record.
        net_joules: the same less the idle machine's energy over the same seconds, below 0 where
            the machine drew less than its baseline; None without a baseline.
    """

    joules: float
    source: str
    quality: Quality
    net_joules: float | None = None

    def incomplete(self, why: str) -> "ComponentEnergy":
        """Return the same as an estimate, with the reason in its source."""
        return replace(self, source=_joined(self.source, why), quality="estimated")


@dataclass(frozen=True)
class EnergyReading:
    """Energy of one window, by component. A component without a figure is absent, never 0.

    Attributes:
        seconds: length of the window.
        components: by name: cpu, gpu, ram.
        neighbours: most metered runs that shared the machine at a time, this one left out.
        lost: components whose source failed within the window or before it.
        gap_seconds: within the window's bounds, how long the process was stopped, or the machine
            slept: no part of `seconds`.
        gap_joules: used meanwhile, no part of `joules`; None where nothing was metered.
    """

    seconds: float = 0.0
    components: Mapping[str, ComponentEnergy] = field(default_factory=dict)
    neighbours: int = 0
    lost: frozenset[str] = frozenset()
    gap_seconds: float = 0.0
    gap_joules: float | None = None

    @property
    def joules(self) -> float | None:
        """Gross energy of all components, or None when nothing was metered."""
        return sum_joules(component.joules for component in self.components.values())

    @property
    def net_joules(self) -> float | None:
        """Energy above the idle baseline, or None where a component has none."""
        net = [component.net_joules for component in self.components.values()]
        return None if None in net else sum_joules(net)

    @property
    def kwh(self) -> float | None:
        """The gross energy in kilowatt-hours."""
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
        lost = self.lost | other.lost
        for name in lost & components.keys():
            # What was read before a source failed covers a part of the window: an estimate at best.
            components[name] = components[name].incomplete("lost")
        return EnergyReading(
            self.seconds + other.seconds,
            components,
            max(self.neighbours, other.neighbours),
            lost,
            self.gap_seconds + other.gap_seconds,
            sum_joules((self.gap_joules, other.gap_joules)),
        )

    def left_out(self, seconds: float) -> "EnergyReading":
        """Return the same as a gap of so many seconds."""
        return EnergyReading(lost=self.lost, gap_seconds=seconds, gap_joules=self.joules)


def _together(one: ComponentEnergy, other: ComponentEnergy) -> ComponentEnergy:
    both_net = one.net_joules is not None and other.net_joules is not None
    return ComponentEnergy(
        joules=one.joules + other.joules,
        source=_joined(one.source, other.source),
        quality=_joint_quality(one.quality, other.quality),
        net_joules=one.net_joules + other.net_joules if both_net else None,  # type: ignore[operator]
    )


def _joint_quality(one: Quality, other: Quality) -> Quality:
    # A run that had the machine to itself for a while is attributed all the same.
    if "attributed" in (one, other):
        return "attributed"
    return shared_quality((one, other))


def _joined(one: str, other: str) -> str:
    return "+".join(dict.fromkeys([*one.split("+"), *other.split("+")]))
