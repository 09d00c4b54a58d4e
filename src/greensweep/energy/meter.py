"""What a meter is, a stopwatch for joules, and those that need no hardware."""

import time
from collections.abc import Iterable
from typing import Protocol

from greensweep.config.schema_energy import EnergyConfig
from greensweep.energy.reading import ComponentEnergy, EnergyReading, Quality
from greensweep.errors import EnergyError


class Meter(Protocol):
    """Reads energy in consecutive laps, so that no joule falls between two of them."""

    def start(self) -> None:
        """Set the source up and begin the first lap; safe to call again, which begins anew."""

    def lap(self, computes: bool = True) -> EnergyReading:
        """End the present lap, return its reading, and begin the next.

        Args:
            computes: the lap that begins has work for a GPU, where the run may use one.

        Raises:
            EnergyError: the meter was not started, or its source fails.
        """

    def stop(self) -> None:
        """End the present lap unread; harmless without a start."""


def not_started() -> EnergyError:
    return EnergyError("a lap needs a started meter, this one is stopped: call start() first")


class UnmeteredMeter:
    """Counts seconds and no joules."""

    _began: float | None = None

    def start(self) -> None:
        self._began = time.perf_counter()

    def lap(self, computes: bool = True) -> EnergyReading:
        if self._began is None:
            raise not_started()
        began, self._began = self._began, time.perf_counter()
        return EnergyReading(seconds=self._began - began)

    def stop(self) -> None:
        self._began = None


class ScriptedMeter(UnmeteredMeter):
    """Each lap reads the next (seconds, joules) of `laps`; the last one repeats for ever.

    For tests, and for trying a study out. Started again, the script goes on where it was.
    """

    def __init__(
        self,
        laps: Iterable[tuple[float, float]],
        *,
        component: str = "cpu",
        source: str = "script",
        quality: Quality = "replayed",
    ) -> None:
        self._laps = iter(laps)
        self._last = (0.0, 0.0)
        self._component, self._source, self._quality = component, source, quality

    def lap(self, computes: bool = True) -> EnergyReading:
        super().lap(computes)
        self._last = next(self._laps, self._last)
        seconds, joules = self._last
        energy = ComponentEnergy(joules, self._source, self._quality)
        return EnergyReading(seconds, {self._component: energy})


def unmetered(config: EnergyConfig, device: str | None) -> Meter:
    """Return the meter of `energy=unmetered`."""
    return UnmeteredMeter()
