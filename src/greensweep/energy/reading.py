"""Energy readings: joules that carry how they came about."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from greensweep.energy.notices import warn_once
from greensweep.energy.uncertainty import Uncertainty
from greensweep.energy.units import JOULES_PER_KWH, joules_text

Quality = Literal["measured", "estimated", "mixed", "attributed", "replayed", "unmeasured"]

# Who else may use a machine while a run is metered.
RUNS, OTHERS = "runs of Greensweep", "others"

# What is shared for a smaller part of a window than this leaves its figure a reading.
_NOTABLE_PART = 0.05


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


def sum_where_all(joules: Iterable[float | None]) -> float | None:
    """Return the sum, or None where a figure is not known or there is none."""
    figures = list(joules)
    return None if None in figures else sum_joules(figures)


def joined(words: Iterable[str], by: str = "+") -> str:
    """Return what some texts are made of, each part once; sources are joined by `+`."""
    return by.join(dict.fromkeys(part for each in words for part in each.split(by)))


@dataclass(frozen=True)
class ComponentEnergy:
    """Energy of one component (cpu, gpu or ram) over a window.

    Attributes:
        joules: gross energy, comparable whatever ran beside: of a component that the run had to
            itself, what its counter says; of a shared one, the run's part of the energy above the
            idle power, and the idle power over the seconds that the run would have taken alone.
        source: what gave the figure: rapl, nvml, cpu_load_model, constant_power, …; several are
            joined by `+`, and among them `lost` says that a source failed before the end, `reset`
            that its counter jumped.
        counted: quality of the source: measured by a hardware counter, estimated by a model, or
            replayed from a record.
        net_joules: joules above the idle machine's, below 0 where the machine drew less than its
            baseline; None without a baseline.
        idle_joules: of `joules`, the idle power's; None where it is not known.
        charged_joules: the run's part of what the machine used, idle power shared by time: the
            parts of all runs and the remainder add up to the machine. None: the same as `joules`.
        beside: joules of the time that the component was shared, by who else used it.
        unsettled_joules: joules of shared time whose idle power is not known, so that they hold
            a share of the idle machine that depends on who was there.
        uncertainty: by the counter's update period and model; None where not known, as of a record.
    """

    joules: float
    source: str
    counted: Quality
    net_joules: float | None = None
    idle_joules: float | None = None
    charged_joules: float | None = None
    beside: Mapping[str, float] = field(default_factory=dict)
    unsettled_joules: float = 0.0
    uncertainty: Uncertainty | None = field(default=None, compare=False)

    @property
    def uncertainty_joules(self) -> float | None:
        """How far the joules may be off, or None where that is not known."""
        return None if self.uncertainty is None else self.uncertainty.joules

    @property
    def contended(self) -> tuple[str, ...]:
        """Who else used the component for a notable part of the window."""
        return tuple(who for who in (RUNS, OTHERS) if self._is_notable(self.beside.get(who, 0.0)))

    @property
    def quality(self) -> Quality:
        """The source's quality, or attributed: a share of what the source says."""
        return "attributed" if self.contended else self.counted

    @property
    def comparable(self) -> bool:
        """Tell whether other runs beside this one have left no mark on its joules."""
        return not self._is_notable(self.unsettled_joules)

    def _is_notable(self, joules: float) -> bool:
        return joules > _NOTABLE_PART * abs(self.joules)

    def __add__(self, other: "ComponentEnergy") -> "ComponentEnergy":
        who = {*self.beside, *other.beside}
        charged = self.charged_joules, other.charged_joules
        return ComponentEnergy(
            joules=self.joules + other.joules,
            source=joined((self.source, other.source)),
            counted=shared_quality((self.counted, other.counted)),
            net_joules=sum_where_all((self.net_joules, other.net_joules)),
            idle_joules=sum_where_all((self.idle_joules, other.idle_joules)),
            charged_joules=None if charged == (None, None) else self.charged + other.charged,
            beside={each: self.beside.get(each, 0.0) + other.beside.get(each, 0.0) for each in who},
            unsettled_joules=self.unsettled_joules + other.unsettled_joules,
            uncertainty=None
            if self.uncertainty is None or other.uncertainty is None
            else self.uncertainty + other.uncertainty,
        )

    @property
    def charged(self) -> float:
        return self.joules if self.charged_joules is None else self.charged_joules

    def incomplete(self, why: str) -> "ComponentEnergy":
        """Return the same as an estimate, with the reason in its source."""
        return replace(self, source=joined((self.source, why)), counted="estimated")


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
        return sum_where_all(component.net_joules for component in self.components.values())

    @property
    def uncertainty_joules(self) -> float | None:
        """How far the joules may be off; None where that of a component is not known.

        Counters step independently of one another: their uncertainties add in quadrature.
        """
        known = [component.uncertainty_joules for component in self.components.values()]
        certain = [each for each in known if each is not None]
        return math.hypot(*certain) if certain and len(certain) == len(known) else None

    @property
    def update_seconds(self) -> float:
        """The period of the slowest source; 0 where none has one."""
        known = [each.uncertainty for each in self.components.values() if each.uncertainty]
        return max((each.update_seconds for each in known), default=0.0)

    @property
    def idle_joules(self) -> float | None:
        """Of the joules, what the idle machine draws, or None where a component does not know."""
        return sum_where_all(component.idle_joules for component in self.components.values())

    @property
    def charged_joules(self) -> float | None:
        """The run's part of what the machine used, or None when nothing was metered."""
        return sum_joules(component.charged for component in self.components.values())

    @property
    def contended(self) -> tuple[str, ...]:
        parts = self.components.values()
        return tuple(who for who in (RUNS, OTHERS) if any(who in each.contended for each in parts))

    @property
    def comparable(self) -> bool:
        return all(component.comparable for component in self.components.values())

    @property
    def basis(self) -> Literal["reading", "work_and_idle", "share"] | None:
        """What the joules are; None when nothing was metered.

        The machine's reading; of a shared machine the energy of the work above idle and the idle
        power over the seconds that it takes alone; or a share of all energy, for want of an idle
        power.
        """
        if self.joules is None:
            return None
        if not self.contended:
            return "reading"
        return "work_and_idle" if self.comparable else "share"

    @property
    def kwh(self) -> float | None:
        return None if self.joules is None else self.joules / JOULES_PER_KWH

    @property
    def power_watts(self) -> float | None:
        return None if self.joules is None or not self.seconds else self.joules / self.seconds

    @property
    def quality(self) -> Quality:
        return shared_quality(component.quality for component in self.components.values())

    @property
    def measured_share(self) -> float | None:
        """Share of the joules that a hardware counter gave, 0 to 1; None as `_share`."""
        return self._share(lambda component: component.quality == "measured")

    @property
    def constant_share(self) -> float | None:
        """Share of the joules that is a constant power times the seconds, 0 to 1."""
        return self._share(lambda component: component.source == "constant_power")

    def _share(self, chosen: Callable[[ComponentEnergy], bool]) -> float | None:
        """Return a share of the joules; None without any, or where a component has less than 0.

        That is one of which, in a window too short for its counter, more was taken off for others
        than there was.
        """
        parts = self.components.values()
        if self.joules is None or any(part.joules < 0 for part in parts):
            return None
        chosen_joules = sum(part.joules for part in parts if chosen(part))
        return chosen_joules / self.joules if self.joules else 0.0

    def __add__(self, other: "EnergyReading") -> "EnergyReading":
        components = dict(self.components)
        for name, added in other.components.items():
            known = components.get(name)
            components[name] = added if known is None else known + added
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

    def settled(self) -> "EnergyReading":
        """Return what may be said at the end: no joules where they came to less than 0."""
        if self.joules is None or self.joules >= 0:
            return self
        warn_once(
            f"The meter read {joules_text(self.joules, digits=3)}, and no energy is below 0: it "
            "went backward, or the time was too short for it. There is no figure of it."
        )
        return replace(self, components={}, lost=self.lost | self.components.keys())

    def left_out(self, seconds: float) -> "EnergyReading":
        """Return the same as a gap of so many seconds."""
        return EnergyReading(lost=self.lost, gap_seconds=seconds, gap_joules=self.joules)
