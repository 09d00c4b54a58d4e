"""A search space as a unit cube: parameters to points and back, wide ranges by logarithm."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from greensweep.gaussian_process import FloatArray
from greensweep.search.optuna_internals import contains
from greensweep.search.space import Conditions

# Two different choices are then at distance 1, as the two ends of a range are.
_CHOSEN = math.sqrt(0.5)


def holds(distribution: BaseDistribution, value: Any) -> bool:
    """Tell whether a range, or a choice, has a value."""
    try:
        return contains(distribution, float(distribution.to_internal_repr(value)))
    except (ValueError, TypeError):
        return False


def log_scaled(
    distribution: BaseDistribution, log_decades: float | None, *, drop_steps: bool = False
) -> BaseDistribution:
    """Return a range with its logarithm as its scale, where it is positive and wide.

    A parameter of scale, such as a learning rate, is as unknown in its order of magnitude as the
    width of its range says. The values stay those of the range: only where they are looked for
    changes.

    Args:
        log_decades: ranges of at least so many powers of ten are wide; None changes nothing.
        drop_steps: scale ranges with steps, too, without them; else these stay as they are.
    """
    if log_decades is None or not isinstance(distribution, FloatDistribution | IntDistribution):
        return distribution
    low, high = distribution.low, distribution.high
    is_stepped = distribution.step not in (None, 1) and not drop_steps
    if distribution.log or is_stepped or low <= 0 or math.log10(high / low) < log_decades - 1e-9:
        return distribution
    return type(distribution)(low=low, high=high, log=True)  # type: ignore[arg-type]


def log_scaled_space(
    space: Mapping[str, BaseDistribution], log_decades: float | None
) -> dict[str, BaseDistribution]:
    """Return a space with all its wide positive ranges in their logarithm."""
    return {name: log_scaled(each, log_decades) for name, each in space.items()}


@dataclass(frozen=True)
class _Column:
    """One option: from `first`, `width` coordinates."""

    name: str
    distribution: BaseDistribution
    first: int
    width: int

    @property
    def part(self) -> slice:
        """Which of a point's coordinates are its own."""
        return slice(self.first, self.first + self.width)

    def decode(self, coordinates: FloatArray) -> Any:
        """Return the value at its coordinates: the nearest that the option can take."""
        distribution = self.distribution
        if isinstance(distribution, CategoricalDistribution):
            return distribution.choices[int(np.argmax(coordinates))]
        assert isinstance(distribution, FloatDistribution | IntDistribution)
        low, high = distribution.low, distribution.high
        share = min(max(float(coordinates[0]), 0.0), 1.0)
        if distribution.log:
            value = math.exp(math.log(low) + share * (math.log(high) - math.log(low)))
        else:
            value = low + share * (high - low)
        if distribution.step is not None:
            value = low + round((value - low) / distribution.step) * distribution.step
        value = min(max(value, low), high)
        return int(value) if isinstance(distribution, IntDistribution) else float(value)

    @property
    def absent(self) -> list[float]:
        """The coordinates of no value."""
        return [0.5 if self.width == 1 else 0.0] * self.width

    def encode(self, value: Any) -> list[float]:
        """Return the coordinates of a value."""
        distribution = self.distribution
        if isinstance(distribution, CategoricalDistribution):
            index = int(distribution.to_internal_repr(value))
            return [_CHOSEN * (number == index) for number in range(self.width)]
        assert isinstance(distribution, FloatDistribution | IntDistribution)
        low, high = distribution.low, distribution.high
        if distribution.log:
            return [math.log(value / low) / (math.log(high / low) or 1.0)]
        return [(value - low) / ((high - low) or 1.0)]


class SpaceEncoder:
    """Turns the parameters of trials into points of the unit cube, and back.

    A range is one dimension, a choice one for each of its values (one-hot). An option that a
    trial does not have lies in the middle of its dimension, so that it sets no two such trials
    apart.

    Args:
        space: as `log_scaled_space` returns it.
        conditions: as a `Space` has them.
    """

    def __init__(
        self, space: Mapping[str, BaseDistribution], conditions: Conditions | None = None
    ) -> None:
        self.space, self.conditions = space, conditions or {}
        self._columns: list[_Column] = []
        self.dimensions = 0
        for name, distribution in space.items():
            is_choice = isinstance(distribution, CategoricalDistribution)
            width = len(distribution.choices) if is_choice else 1  # type: ignore[attr-defined]
            self._columns.append(_Column(name, distribution, self.dimensions, width))
            self.dimensions += width

    def holds(self, params: Mapping[str, Any]) -> bool:
        """Tell whether parameters are of the space, also where its ranges were other ones."""
        space = self.space
        return space.keys() - self.conditions.keys() <= params.keys() and all(
            holds(space[name], params[name]) for name in space.keys() & params.keys()
        )

    def encode(self, params: Mapping[str, Any]) -> FloatArray:
        """Return the point of parameters, of shape (dimensions,)."""
        return np.array(
            [
                x
                for each in self._columns
                for x in (each.encode(params[each.name]) if each.name in params else each.absent)
            ]
        )

    def encode_all(self, trials: Iterable[Mapping[str, Any]]) -> FloatArray:
        """Return the points of the parameters of trials, of shape (trials, dimensions)."""
        return np.array([self.encode(params) for params in trials]).reshape(-1, self.dimensions)

    def decode(self, point: FloatArray) -> dict[str, Any]:
        """Return the parameters that are nearest to a point."""
        return {each.name: each.decode(point[each.part]) for each in self._columns}

    def rounded(self, points: FloatArray) -> FloatArray:
        """Move points, of shape (points, dimensions), to the nearest that are of parameters.

        The model then sees whole numbers and choices as they will be run (Garrido-Merchán and
        Hernández-Lobato, 2020).
        """
        found = np.clip(points, 0.0, 1.0)
        for each in self._columns:
            part = each.part
            if isinstance(each.distribution, CategoricalDistribution):
                chosen = found[:, part].argmax(axis=1)
                found[:, part] = _CHOSEN * np.eye(each.width)[chosen]
            elif getattr(each.distribution, "step", None) is not None:
                found[:, part] = [each.encode(each.decode(row)) for row in found[:, part]]
        for each in self._columns:
            found[~self._has(each.name, found), each.part] = each.absent
        return found

    def _has(self, name: str, points: FloatArray) -> NDArray[np.bool_]:
        """Tell which points have an option."""
        needed = self.conditions.get(name, {})
        found = np.ones(len(points), dtype=bool)
        for each in self._columns:
            if each.name in needed:
                found &= [each.decode(row) in needed[each.name] for row in points[:, each.part]]
        return found
