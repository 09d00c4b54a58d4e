"""Options as coordinates: what near and far means between configurations."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from greensweep.errors import StudyError
from greensweep.runs.replay.table import RecordedTable, as_text, parsed_cell

Coordinates = NDArray[np.float64]

# Two different choices are then at distance 1, as the two ends of a range are.
_CHOSEN = math.sqrt(0.5)
_ROUNDING = 1e-9


@dataclass(frozen=True)
class NumericAxis:
    """A number, scaled so that its recorded range is 0 to 1; with `log`, that of its logarithm."""

    option: str
    low: float
    high: float
    log: bool = False

    def place(self, value: Any) -> list[float]:
        scaled, low, high = (self._scale(each) for each in (value, self.low, self.high))
        return [(scaled - low) / ((high - low) or 1.0)]

    def fault(self, value: Any) -> str | None:
        """Say that a value lies outside of the recorded range, or return None."""
        (place,) = self.place(value)
        span = 1.0 if self.high > self.low else 0.0
        if -_ROUNDING <= place <= span + _ROUNDING:
            return None
        return f"{self.option}={value} lies outside of the recorded {self.low:g} to {self.high:g}"

    def _scale(self, value: Any) -> float:
        number = parsed_cell(as_text(value))
        if isinstance(number, str):
            raise StudyError(
                f"{self.option}={value} is no number, but the table's are: take it off "
                "replay.options, or search numbers"
            )
        if self.log and number <= 0:
            raise StudyError(
                f"{self.option}={number:g} has no logarithm: take it off replay.log, or keep it "
                "above 0"
            )
        return math.log(number) if self.log else number


@dataclass(frozen=True)
class ChoiceAxis:
    """Text: the same, or at distance 1."""

    option: str
    choices: tuple[str, ...]

    def place(self, value: Any) -> list[float]:
        text = as_text(value).casefold()
        places = [_CHOSEN * (text == choice) for choice in self.choices]
        return [*places, _CHOSEN * (text not in self.choices)]

    def fault(self, value: Any) -> str | None:
        """Say that a value was not recorded, or return None."""
        if as_text(value).casefold() in self.choices:
            return None
        return f"{self.option}={value} is none of the recorded {', '.join(self.choices)}"


Axis = NumericAxis | ChoiceAxis


def build_axes(table: RecordedTable, log: Sequence[str]) -> tuple[Axis, ...]:
    """Return the axis of each dimension; those in `log` are logarithmic.

    Raises:
        StudyError: a recorded value has no logarithm.
    """
    axes: list[Axis] = []
    for option in table.dimensions:
        values = [each.values[option] for each in table.configurations]
        numbers = [each for each in values if isinstance(each, float)]
        if len(numbers) < len(values):
            axes.append(ChoiceAxis(option, tuple(dict.fromkeys(str(each) for each in values))))
            continue
        low, high = min(numbers), max(numbers)
        if option in log and low <= 0:
            line = table.configurations[numbers.index(low)].line
            raise StudyError(
                f"{table.path}, line {line}: {option}={low:g} has no logarithm: declare it "
                "log: false in the space and take it off replay.log"
            )
        axes.append(NumericAxis(option, low, high, option in log))
    return tuple(axes)


def place(axes: Sequence[Axis], values: Mapping[str, Any]) -> Coordinates:
    """Return the coordinates of a configuration.

    Raises:
        StudyError: a value is no number, or has no logarithm, where the axis needs it.
    """
    return np.array([each for axis in axes for each in axis.place(values[axis.option])])


def nearest_others(points: Coordinates) -> tuple[NDArray[np.intp], Coordinates]:
    """Return for each of two points or more the index of its nearest other, and the distance."""
    found = []
    for index, point in enumerate(points):
        distances = np.linalg.norm(points - point, axis=1)
        distances[index] = np.inf
        found.append((distances.argmin(), distances.min()))
    indices, nearest = zip(*found, strict=True)
    return np.array(indices), np.array(nearest)


def spacing(points: Coordinates) -> float:
    """Return the 95 % quantile of the distances from each point to its nearest other."""
    return float(np.quantile(nearest_others(points)[1], 0.95)) if len(points) > 1 else 0.0
