"""The energy of a run by phase: set-up, training, evaluation, and what lies between."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

from greensweep.energy.meter import Meter
from greensweep.energy.reading import EnergyReading
from greensweep.errors import EnergyError

BETWEEN = "other"

T = TypeVar("T")


class Phases:
    """Cuts a meter's laps at the edges of named phases; every lap belongs to exactly one.

    Both edges of a phase are cut, so what lies between two phases has laps of its own, under the
    name `other`. Phases follow one another; they do not nest.

    Args:
        meter: started by `start`.
        synchronize: called before each edge, so that a phase holds the device's own work.
    """

    def __init__(self, meter: Meter, synchronize: Callable[[], None] = lambda: None) -> None:
        self._meter = meter
        self._synchronize = synchronize
        self.readings: dict[str, EnergyReading] = {}

    def start(self) -> None:
        """Start the meter; its own set-up is not charged to the run."""
        self._meter.start()

    def stop(self) -> None:
        """Charge what is left to the time between phases, and stop the meter."""
        # A meter that never started has nothing left; one that failed has ended its phase with
        # an error already, and what it read before is kept.
        with suppress(EnergyError):
            self._cut(BETWEEN)
        self._meter.stop()

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Charge what the block does to `name`, also when it raises."""
        self._cut(BETWEEN)
        try:
            yield
        finally:
            self._cut(name)

    def each(self, name: str, items: Iterable[T]) -> Iterator[T]:
        """Yield from `items`, charging the making of each item to `name`."""
        iterator = iter(items)
        while True:
            self._cut(BETWEEN)
            try:
                item = next(iterator)
            except StopIteration:
                return  # nothing was made, so nothing is charged
            except BaseException:
                self._cut(name)
                raise
            self._cut(name)
            yield item

    def of(self, name: str) -> EnergyReading:
        """Return the reading of one phase so far; empty before it began."""
        return self.readings.get(name, EnergyReading())

    @property
    def total(self) -> EnergyReading:
        """The reading of all phases and what lay between them."""
        return sum(self.readings.values(), start=EnergyReading())

    def _cut(self, name: str) -> None:
        self._synchronize()
        self.readings[name] = self.of(name) + self._meter.lap()
