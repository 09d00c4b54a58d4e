"""A meter that follows a script: exact figures for tests and for trying a study out."""

from collections.abc import Iterable, Iterator

from greensweep.energy.meter import not_started
from greensweep.energy.reading import ComponentEnergy, EnergyReading, Quality


class ScriptedMeter:
    """Each lap reads the next (seconds, joules) of `laps`; the last one repeats for ever."""

    def __init__(
        self,
        laps: Iterable[tuple[float, float]],
        *,
        component: str = "cpu",
        source: str = "script",
        quality: Quality = "replayed",
    ) -> None:
        self._laps: Iterator[tuple[float, float]] = iter(laps)
        self._last = (0.0, 0.0)
        self._component, self._source, self._quality = component, source, quality
        self._running = False

    def start(self) -> None:
        """The script goes on where it was."""
        self._running = True

    def lap(self, computes: bool = True) -> EnergyReading:
        if not self._running:
            raise not_started()
        self._last = next(self._laps, self._last)
        seconds, joules = self._last
        energy = ComponentEnergy(joules, self._source, self._quality)
        return EnergyReading(seconds, {self._component: energy})

    def stop(self) -> None:
        self._running = False
