"""The energy of a run by phase: set-up, training, evaluation, and what lies between."""

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TypeVar

from greensweep.energy.carbon import Grid
from greensweep.energy.meter import Meter
from greensweep.energy.reading import ComponentEnergy, EnergyReading, Quality
from greensweep.energy.units import duration_text, emissions_text, energy_text
from greensweep.errors import EnergyError

BETWEEN = "other"
SETUP = "setup"  # in which a GPU waits

T = TypeVar("T")


def synchronize() -> None:
    """Wait until the GPU, if PyTorch computes on one, has done its work: a window holds its own.

    A GPU that failed has nothing to wait for; its error is raised where its results are used.
    """
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        with suppress(RuntimeError):
            torch.cuda.synchronize()


@dataclass
class Window:
    """What was read between two moments; it grows at every edge while it is open.

    Attributes:
        reading: all that was read, by component.
        grid: from which emissions follow; None where none was declared.
    """

    reading: EnergyReading = field(default_factory=EnergyReading)
    grid: Grid | None = None

    @property
    def joules(self) -> float | None:
        """Gross energy, or None where nothing is metered."""
        return self.reading.joules

    @property
    def uncertainty_joules(self) -> float | None:
        """How far `joules` may be off; None where that is not known."""
        return self.reading.uncertainty_joules

    @property
    def kwh(self) -> float | None:
        """`joules` in kilowatt-hours."""
        return self.reading.kwh

    @property
    def emissions_kg(self) -> float | None:
        """Emissions of `joules`, kg CO2e; None without a declared grid."""
        return None if self.grid is None else self.grid.emissions_kg(self.kwh)

    @property
    def components(self) -> Mapping[str, ComponentEnergy]:
        """Energy of cpu, gpu and ram, each with its source and quality."""
        return self.reading.components

    @property
    def quality(self) -> Quality:
        """How `joules` was got: measured, estimated, mixed, attributed, replayed or unmeasured."""
        return self.reading.quality

    @property
    def seconds(self) -> float:
        return self.reading.seconds

    def __str__(self) -> str:
        """Return the energy in words: `12.3 ± 0.4 J in 3.2 s (estimated)`."""
        if self.joules is None:
            return f"{duration_text(self.seconds)}, energy unmeasured"
        joules = energy_text(self.joules, self.uncertainty_joules)
        emitted = "" if self.emissions_kg is None else f", {emissions_text(self.emissions_kg)}"
        return f"{joules} in {duration_text(self.seconds)} ({self.quality}){emitted}"


class Phases:
    """Cuts a meter's laps at the edges of named phases; every lap belongs to exactly one.

    Both edges of a phase are cut, so what lies between two phases has laps of its own, under the
    name `other`. Phases follow one another; windows nest, in phases, around them and in each other.

    Args:
        meter: started by `start`.
        synchronize: called before each edge, so that a phase holds the device's own work.

    Attributes:
        current: the phase that is charged.
    """

    def __init__(self, meter: Meter, synchronize: Callable[[], None] = synchronize) -> None:
        self._meter = meter
        self._synchronize = synchronize
        self.current = BETWEEN
        self._windows: list[Window] = []
        self.readings: dict[str, EnergyReading] = {}
        self._process = os.getpid()

    def start(self) -> None:
        """Start the meter; its own set-up is not charged to the run."""
        self._meter.start()

    def stop(self) -> None:
        """Charge what is left to the time between phases, and stop the meter."""
        # A meter that never started has nothing left; one that failed has ended its phase with
        # an error already, and what it read before is kept.
        with suppress(EnergyError):
            self._cut()
        self._meter.stop()

    def enter(self, phase: str) -> None:
        """Charge what follows to a phase, until another is entered."""
        self._cut(computes=phase != SETUP)
        self.current = phase

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Charge what the block does to `name`, also when it raises; then to the phase around."""
        around = self.current
        self.enter(name)
        try:
            yield
        finally:
            self.enter(around)

    def each(self, name: str, items: Iterable[T]) -> Iterator[T]:
        """Yield from `items`, charging the making of each item to `name`."""
        iterator = iter(items)
        while True:
            self.enter(name)
            try:
                item = next(iterator)
            except StopIteration:
                self.current = BETWEEN  # nothing was made, so nothing is charged
                return
            except BaseException:
                self.enter(BETWEEN)
                raise
            self.enter(BETWEEN)
            yield item

    @contextmanager
    def window(self, grid: Grid | None = None) -> Iterator[Window]:
        """Read everything that happens in the block, whichever phases it belongs to.

        No meter has to nest for that: a window adds up the laps between its ends.
        """
        self._cut()
        window = Window(grid=grid)
        self._windows.append(window)
        try:
            yield window
        finally:
            self._cut()
            # By identity: two windows may hold equal readings.
            self._windows = [each for each in self._windows if each is not window]
            window.reading = window.reading.settled()

    def add(self, name: str, earlier: EnergyReading) -> None:
        """Charge a phase with what an earlier process of the run used in it."""
        self.readings[name] = earlier + self.of(name)

    def read(self) -> None:
        """Bring the phases and the open windows up to now."""
        self._cut()

    def of(self, name: str) -> EnergyReading:
        """Return the reading of one phase so far; empty before it began."""
        return self.readings.get(name, EnergyReading())

    @property
    def total(self) -> EnergyReading:
        return sum(self.readings.values(), start=EnergyReading())

    def _cut(self, computes: bool = True) -> None:
        if self._process != os.getpid():  # a fork's: the meter is its parent's to read
            return
        self._synchronize()
        lap = self._meter.lap(computes)
        self.readings[self.current] = self.of(self.current) + lap
        for window in self._windows:
            window.reading += lap
