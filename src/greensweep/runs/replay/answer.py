"""What a recorded table says of a configuration."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from greensweep.errors import StudyError, unknown
from greensweep.runs.replay.axes import (
    Axis,
    Coordinates,
    NumericAxis,
    build_axes,
    nearest_others,
    place,
    spacing,
)
from greensweep.runs.replay.regression import LEAST_POINTS, MOST_POINTS, Surface
from greensweep.runs.replay.table import Configuration, RecordedPoint, RecordedTable

Method = Literal["nearest", "regression"]

# A range that spans more is fitted in its logarithm, whatever the space says.
_WIDE_RATIO = 100.0


@dataclass(frozen=True)
class FitError:
    """How far the answers are from what was recorded, each point answered without itself.

    Attributes:
        accuracy: root mean square error, 0 to 1.
        joules: root mean square of the relative error, 0.05 for 5 %.
    """

    accuracy: float
    joules: float


@dataclass(frozen=True)
class Answer:
    """What a run of a configuration would come to.

    Attributes:
        curve: its points, by epoch.
        line: of the nearest recorded configuration in the file, from 1.
        distance: to it; the recorded range of an option, or two different choices, are 1 apart.
        fault: why the configuration is outside of the recorded ones; None inside.
    """

    curve: tuple[RecordedPoint, ...]
    line: int
    distance: float
    fault: str | None

    @property
    def accuracy(self) -> float:
        """The best along the curve, 0 to 1, as a run keeps the weights of its best epoch."""
        return max(point.accuracy for point in self.curve)

    @property
    def joules(self) -> float:
        """Training energy."""
        return self.curve[-1].joules

    @property
    def outside(self) -> bool:
        """Whether the configuration is outside of the recorded ones."""
        return self.fault is not None


class ReplayModel:
    """Answers configurations from a table.

    Attributes:
        error: how far its answers are off, by leaving one out; None for a single configuration.
        radius: the farthest distance that is not outside.

    Args:
        log: options on a log scale.
        radius: None takes the 95 % quantile of the distances from each recorded configuration to
            its nearest other.

    Raises:
        StudyError: `log` names no dimension, or the method does not suit the table.
    """

    def __init__(
        self,
        table: RecordedTable,
        *,
        method: Method = "nearest",
        log: Sequence[str] = (),
        radius: float | None = None,
    ) -> None:
        for option in log:
            if option not in table.dimensions:
                raise StudyError(f"replay.log: {unknown('dimension', option, table.dimensions)}")
        self.table, self.method = table, method
        axes = build_axes(table, log)
        if method == "regression":
            wide = [each.option for each in axes if _is_wide(each)]
            axes = build_axes(table, [*log, *wide])
        self.axes = axes
        curves = [each.curve for each in table.configurations]
        self._accuracies = np.array([max(point.accuracy for point in each) for each in curves])
        self._joules = np.array([curve[-1].joules for curve in curves])
        self._points = np.stack([place(axes, each.values) for each in table.configurations])
        self.radius = spacing(self._points) if radius is None else radius
        self._surfaces = self._fit() if method == "regression" else None
        self.error = self._leave_one_out()

    def answer(self, values: Mapping[str, Any], epochs: int | None = None) -> Answer:
        """Answer one configuration.

        Args:
            values: by option, at least the dimensions.
            epochs: how many to train: so many of a curve are answered, and None is all of it. A
                table without curves answers the last of them only.

        Raises:
            StudyError: a value does not suit its axis, or the curve has fewer epochs.
        """
        point = place(self.axes, values)
        distances = np.linalg.norm(self._points - point, axis=1)
        index = int(distances.argmin())
        distance = float(distances[index])
        nearest = self.table.configurations[index]
        if self.table.curves:
            curve = self._first(nearest, epochs)
        else:
            (end,) = nearest.curve if self._surfaces is None else [self._fitted(point, nearest)]
            curve = (replace(end, epoch=epochs or 1),)
        return Answer(curve, nearest.line, distance, self._fault(values, nearest, distance))

    def _fitted(self, point: Coordinates, nearest: Configuration) -> RecordedPoint:
        assert self._surfaces is not None
        accuracy, log_joules = (surface.at(point) for surface in self._surfaces)
        # The time is not fitted: nothing is decided by it.
        seconds = nearest.curve[-1].seconds
        return RecordedPoint(1, min(max(accuracy, 0.0), 1.0), math.exp(log_joules), seconds)

    def _fault(
        self, values: Mapping[str, Any], nearest: Configuration, distance: float
    ) -> str | None:
        for axis in self.axes:
            if fault := axis.fault(values[axis.option]):
                return fault
        if distance <= self.radius + 1e-9:
            return None
        return (
            f"the nearest recorded configuration, line {nearest.line}, is {distance:.3g} away, "
            f"more than the radius {self.radius:.3g}"
        )

    def _first(self, nearest: Configuration, epochs: int | None) -> tuple[RecordedPoint, ...]:
        if epochs is not None and epochs > len(nearest.curve):
            raise StudyError(
                f"{self.table.path}, line {nearest.line}: the configuration that begins here has "
                f"{len(nearest.curve)} epochs, fewer than training.epochs={epochs}: set "
                f"training.epochs={len(nearest.curve)}"
            )
        return nearest.curve[:epochs]

    def _fit(self) -> tuple[Surface, Surface]:
        if self.table.curves:
            raise StudyError(
                "replay.method=regression does not fit learning curves: set "
                "replay.method=nearest, or keep one epoch, by replay.where.epoch=25, say"
            )
        count = len(self._points)
        if not LEAST_POINTS <= count <= MOST_POINTS:
            raise StudyError(
                f"replay.method=regression takes {LEAST_POINTS} to {MOST_POINTS} configurations, "
                f"and {self.table.path} holds {count}: set replay.method=nearest"
            )
        for each in self.table.configurations:
            if each.curve[-1].joules <= 0:
                raise StudyError(
                    f"{self.table.path}, line {each.line}: the energy must be above 0 for "
                    "replay.method=regression: leave the row out, or set replay.method=nearest"
                )
        log_joules = np.log(self._joules)
        return Surface(self._points, self._accuracies), Surface(self._points, log_joules)

    def _leave_one_out(self) -> FitError | None:
        if len(self._points) < 2:
            return None
        accuracies, joules = self._accuracies, self._joules
        if self._surfaces is not None:
            said = [np.clip(self._surfaces[0].left_out, 0, 1), np.exp(self._surfaces[1].left_out)]
        else:
            others, _ = nearest_others(self._points)
            said = [accuracies[others], joules[others]]
        metered = joules > 0
        relative = said[1][metered] / joules[metered] - 1.0
        return FitError(
            accuracy=float(np.sqrt(np.mean((said[0] - accuracies) ** 2))),
            joules=float(np.sqrt(np.mean(relative**2))) if metered.any() else 0.0,
        )


def _is_wide(axis: Axis) -> bool:
    return isinstance(axis, NumericAxis) and axis.low > 0 and axis.high / axis.low >= _WIDE_RATIO
