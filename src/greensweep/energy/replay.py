"""Recorded energy: a table of laps, or a trace over time, played again."""

import itertools
import logging
import math
import time
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from greensweep.config.schema_energy import ReplayConfig
from greensweep.csv_files.figures import (
    ENERGY_UNITS,
    TIME_UNITS,
    EnergyUnit,
    doubtful_power,
    energy_factor,
)
from greensweep.csv_files.layout import TableError
from greensweep.csv_files.rows import read_column, read_rows
from greensweep.energy.counters import Counter, Source
from greensweep.energy.meter import UnmeteredMeter
from greensweep.energy.reading import ComponentEnergy, EnergyReading, Quality
from greensweep.errors import EnergyError, unknown

log = logging.getLogger(__name__)

_SOURCE = "replay"
_WATTS = {"mW": 1e-3, "W": 1.0, "kW": 1e3}


def replay(config: ReplayConfig, device: str | None) -> "ReplayTable | ReplayTrace":
    """Return the meter of `energy=replay`, or with a column of time its source.

    Raises:
        EnergyError: as `ReplayTable` and `ReplayTrace`.
    """
    path = Path(config.path)
    if config.time_column is None:
        return ReplayTable(path, config.column, config.component, config.unit)
    return ReplayTrace(path, config.column, config.time_column, config.component)


class ReplayTable(UnmeteredMeter):
    """A meter whose every lap has the joules of a table's next row.

    After the last row it goes on without joules, with one warning. The seconds are the clock's.

    Args:
        path: CSV file with a header.
        column: energy of each lap.
        component: what the energy is of.
        unit: of the energy; None: what the column's name says, or joules.

    Raises:
        EnergyError: the file, the column or a figure in it is missing or wrong.
    """

    def __init__(
        self, path: Path, column: str, component: str = "cpu", unit: EnergyUnit | None = None
    ) -> None:
        (self._joules,) = _read_columns(path, {column: ENERGY_UNITS}, unit)
        self._path, self._component = path, component

    def start(self) -> None:
        """Begin at the first row."""
        self._rows = iter(self._joules)
        self._ended = False
        super().start()

    def lap(self, computes: bool = True) -> EnergyReading:
        seconds = super().lap(computes).seconds
        joules = next(self._rows, None)
        if joules is None:
            if not self._ended:
                log.warning("%s has no more rows: later laps have no energy figures.", self._path)
            self._ended = True
            return EnergyReading(seconds, lost=frozenset([self._component]))
        energy = ComponentEnergy(joules, _SOURCE, "replayed")
        return EnergyReading(seconds, {self._component: energy})


class TraceCounter(Counter):
    """Watts recorded over time, played from its making on; each holds until the next.

    The last holds for as long as the one before it did; then the counter fails.
    """

    quality: Quality = "replayed"
    source = _SOURCE
    most_watts = math.inf  # of a cluster, for all that is known

    def __init__(
        self,
        times: Sequence[float],
        watts: Sequence[float],
        component: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.component = component
        self._times, self._watts = [each - times[0] for each in times], watts
        lengths = [after - before for before, after in itertools.pairwise(times)]
        lengths.append(lengths[-1] if lengths else math.inf)
        steps = (power * length for power, length in zip(watts, lengths, strict=True))
        self._joules = [0.0, *itertools.accumulate(steps)]
        self._end = self._times[-1] + lengths[-1]
        self._clock = clock
        self._began = clock()

    def read(self) -> float:
        now = self._clock() - self._began
        if now >= self._end:
            raise EOFError(f"the trace ends after {self._end:g} s")
        index = bisect_right(self._times, now) - 1
        return self._joules[index] + self._watts[index] * (now - self._times[index])


class ReplayTrace(Source):
    """A source that plays a trace; each run begins at its beginning.

    Args:
        path: CSV file with a header.
        column: watts.
        time_column: seconds, rising.
        component: what the watts are of.

    Raises:
        EnergyError: the file, a column or a figure in it is missing or wrong.
    """

    def __init__(self, path: Path, column: str, time_column: str, component: str = "cpu") -> None:
        self._times, self._watts = _read_columns(path, {time_column: TIME_UNITS, column: _WATTS})
        if doubt := doubtful_power(self._watts, [1.0] * len(self._watts)):
            log.warning("%s of %s is %s: it must be in watts.", column, path, doubt[0])
        self._component = component
        for row, (before, after) in enumerate(itertools.pairwise(self._times), start=3):
            if after <= before:
                raise EnergyError(
                    f"{path}, line {row}: {time_column} must rise from row to row, "
                    f"got {after:g} after {before:g}"
                )

    def open(self) -> list[Counter]:
        """Begin at the beginning."""
        return [TraceCounter(self._times, self._watts, self._component)]


def _read_columns(
    path: Path, columns: Mapping[str, Mapping[str, float]], unit: EnergyUnit | None = None
) -> list[list[float]]:
    """Read columns of a CSV file as figures that are finite and not negative.

    Args:
        columns: the units that their cells may have.
        unit: of cells without one, in a column of energies.
    """
    try:
        names, rows = read_rows(path)
        if not rows:
            raise TableError(f"{path} has no rows below a header: record something first")
        for column in columns:
            if column not in names:
                raise TableError(f"{path}: {unknown('column', column, names)}")
        figures = []
        for column, units in columns.items():
            factor = _joules_of_one(column, unit, names, path) if units is ENERGY_UNITS else 1.0
            figures.append([*read_column(path, rows, column, units, factor).values()])
        return figures
    except TableError as error:
        raise EnergyError(str(error)) from error
    except OSError as error:
        raise EnergyError(
            f"energy.path={path} cannot be read ({error}): name a CSV file with a header"
        ) from error


def _joules_of_one(column: str, unit: EnergyUnit | None, names: list[str], path: Path) -> float:
    try:
        return energy_factor(column, unit, names, "energy.unit")
    except TableError as error:
        raise EnergyError(f"{path}: {error}") from error
