"""Recorded energy: a table of laps, or a trace over time, played again."""

import itertools
import logging
import math
import time
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from greensweep.config.schema_energy import ReplayConfig
from greensweep.csv_files.figures import ENERGY_UNITS, TIME_UNITS, doubtful_power, energy_factor
from greensweep.csv_files.layout import TableError
from greensweep.csv_files.rows import read_column, read_rows
from greensweep.energy.counters import Counter, Source
from greensweep.energy.meter import UnmeteredMeter
from greensweep.energy.reading import ComponentEnergy, EnergyReading, Quality
from greensweep.errors import EnergyError, first_line, unknown

log = logging.getLogger(__name__)

_SOURCE = "replay"
_WATTS = {"mW": 1e-3, "W": 1.0, "kW": 1e3}


def replay(config: ReplayConfig, device: str | None) -> "ReplayTable | ReplayTrace":
    """Return the meter of `energy=replay`, or with a column of time its source.

    Raises:
        EnergyError: as `ReplayTable` and `ReplayTrace`.
    """
    return ReplayTable(config) if config.time_column is None else ReplayTrace(config)


class ReplayTable(UnmeteredMeter):
    """A meter whose every lap has the joules of a table's next row.

    After the last row it goes on without joules, with one warning. The seconds are the clock's.

    Raises:
        EnergyError: the file, the column or a figure in it is missing or wrong.
    """

    def __init__(self, config: ReplayConfig) -> None:
        (self._joules,) = _read_columns(config, {config.column: ENERGY_UNITS})
        self._config = config

    def start(self) -> None:
        self._rows = iter(self._joules)
        self._ended = False
        super().start()

    def lap(self, computes: bool = True) -> EnergyReading:
        seconds = super().lap(computes).seconds
        joules = next(self._rows, None)
        if joules is None:
            if not self._ended:
                path = Path(self._config.path)
                log.warning("%s has no more rows: later laps have no energy figures.", path)
            self._ended = True
            return EnergyReading(seconds, lost=frozenset([self._config.component]))
        energy = ComponentEnergy(joules, _SOURCE, "replayed")
        return EnergyReading(seconds, {self._config.component: energy})


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
    """A source that plays a trace of watts over seconds; each run begins at its beginning.

    Raises:
        EnergyError: the file, a column or a figure in it is missing or wrong.
    """

    def __init__(self, config: ReplayConfig) -> None:
        path, column, time_column = Path(config.path), config.column, str(config.time_column)
        units = {time_column: TIME_UNITS, column: _WATTS}
        self._times, self._watts = _read_columns(config, units)
        if doubt := doubtful_power(self._watts, [1.0] * len(self._watts)):
            log.warning("%s of %s is %s: it must be in watts.", column, path, doubt[0])
        self._component = config.component
        for row, (before, after) in enumerate(itertools.pairwise(self._times), start=3):
            if after <= before:
                raise EnergyError(
                    f"{path}, line {row}: {time_column} must rise from row to row, "
                    f"got {after:g} after {before:g}"
                )

    def open(self) -> list[Counter]:
        return [TraceCounter(self._times, self._watts, self._component)]


def _read_columns(
    config: ReplayConfig, columns: Mapping[str, Mapping[str, float]]
) -> list[list[float]]:
    """Read columns of a CSV file as figures that are finite and not negative.

    Args:
        columns: the units that their cells may have.
    """
    path = Path(config.path)
    try:
        names, rows = read_rows(path)
        if not rows:
            raise TableError(f"{path} has no rows below a header: record something first")
        for column in columns:
            if column not in names:
                raise TableError(f"{path}: {unknown('column', column, names)}")
        figures = []
        for column, units in columns.items():
            factor = _joules_of_one(config, names) if units is ENERGY_UNITS else 1.0
            figures.append([*read_column(path, rows, column, units, factor).values()])
        return figures
    except TableError as error:
        raise EnergyError(str(error)) from error
    except OSError as error:
        raise EnergyError(
            f"{config.prefix}path={path} cannot be read ({first_line(error)}): name a CSV file "
            "with a header"
        ) from error


def _joules_of_one(config: ReplayConfig, names: list[str]) -> float:
    try:
        return energy_factor(config.column, config.unit, names, f"{config.prefix}unit")
    except TableError as error:
        raise EnergyError(f"{Path(config.path)}: {error}") from error
