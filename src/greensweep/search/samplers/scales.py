"""Searched options as coordinates from 0 to 1, with wide positive ranges in their logarithm."""

import math
from collections.abc import Mapping
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

from greensweep.search.optuna_internals import contains
from greensweep.search.space import Conditions

Coordinates = NDArray[np.float64]

# Two different choices are then at distance 1, as the two ends of a range are.
_CHOSEN = math.sqrt(0.5)


def holds(distribution: BaseDistribution, value: Any) -> bool:
    """Tell whether a range, or a choice, has a value."""
    try:
        return contains(distribution, float(distribution.to_internal_repr(value)))
    except (ValueError, TypeError):
        return False


def scaled(distribution: BaseDistribution, log_decades: float | None) -> BaseDistribution:
    """Return a range with its logarithm as its scale, where it is positive and wide.

    A parameter of scale, such as a learning rate, is as unknown in its order of magnitude as the
    width of its range says. The values stay those of the range: only where they are looked for
    changes.

    Args:
        log_decades: ranges of at least so many powers of ten are wide; None changes nothing.
    """
    if log_decades is None or not isinstance(distribution, FloatDistribution | IntDistribution):
        return distribution
    low, high = distribution.low, distribution.high
    is_stepped = distribution.step not in (None, 1)
    if distribution.log or is_stepped or low <= 0 or math.log10(high / low) < log_decades - 1e-9:
        return distribution
    return type(distribution)(low=low, high=high, log=True)  # type: ignore[arg-type]


def scaled_space(
    space: Mapping[str, BaseDistribution], log_decades: float | None
) -> dict[str, BaseDistribution]:
    """Return a space with all its wide positive ranges in their logarithm."""
    return {name: scaled(each, log_decades) for name, each in space.items()}


@dataclass(frozen=True)
class _Column:
    """One option: from `first`, `width` coordinates."""

    name: str
    distribution: BaseDistribution
    first: int
    width: int

    def value(self, place: Coordinates) -> Any:
        """Return the value at its coordinates: the nearest that the option can take."""
        distribution = self.distribution
        if isinstance(distribution, CategoricalDistribution):
            return distribution.choices[int(np.argmax(place))]
        assert isinstance(distribution, FloatDistribution | IntDistribution)
        low, high = distribution.low, distribution.high
        share = min(max(float(place[0]), 0.0), 1.0)
        if distribution.log:
            value = math.exp(math.log(low) + share * (math.log(high) - math.log(low)))
        else:
            value = low + share * (high - low)
        if distribution.step is not None:
            value = low + round((value - low) / distribution.step) * distribution.step
        value = min(max(value, low), high)
        return int(value) if isinstance(distribution, IntDistribution) else float(value)

    @property
    def middle(self) -> list[float]:
        """The coordinates of no value."""
        return [0.5 if self.width == 1 else 0.0] * self.width

    def place(self, value: Any) -> list[float]:
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


class Box:
    """The unit box in which a space is searched; each choice of a text has a side of its own.

    An option that a point does not have lies in the middle of its side, so that it sets no two
    such points apart.

    Args:
        space: as `scaled_space` returns it.
        conditions: as a `Space` has them.
    """

    def __init__(
        self, space: Mapping[str, BaseDistribution], conditions: Conditions | None = None
    ) -> None:
        self.conditions = conditions or {}
        self._columns: list[_Column] = []
        self.sides = 0
        for name, distribution in space.items():
            is_choice = isinstance(distribution, CategoricalDistribution)
            width = len(distribution.choices) if is_choice else 1  # type: ignore[attr-defined]
            self._columns.append(_Column(name, distribution, self.sides, width))
            self.sides += width

    def place(self, params: Mapping[str, Any]) -> Coordinates:
        """Return where a point of the space lies."""
        return np.array(
            [
                x
                for each in self._columns
                for x in (each.place(params[each.name]) if each.name in params else each.middle)
            ]
        )

    def values(self, place: Coordinates) -> dict[str, Any]:
        """Return the point of the space that is nearest to a place in the box."""
        return {
            each.name: each.value(place[each.first : each.first + each.width])
            for each in self._columns
        }

    def snapped(self, places: Coordinates) -> Coordinates:
        """Move places to where points of the space lie.

        The model then sees whole numbers and choices as they will be run (Garrido-Merchán and
        Hernández-Lobato, 2020).
        """
        found = np.clip(places, 0.0, 1.0)
        for each in self._columns:
            part = slice(each.first, each.first + each.width)
            if isinstance(each.distribution, CategoricalDistribution):
                chosen = found[:, part].argmax(axis=1)
                found[:, part] = _CHOSEN * np.eye(each.width)[chosen]
            elif getattr(each.distribution, "step", None) is not None:
                found[:, part] = [each.place(each.value(row)) for row in found[:, part]]
        for each in self._columns:
            absent = ~self._there(each.name, found)
            found[absent, each.first : each.first + each.width] = each.middle
        return found

    def _there(self, name: str, places: Coordinates) -> NDArray[np.bool_]:
        """Tell at which places an option is there."""
        needed = self.conditions.get(name, {})
        there = np.ones(len(places), dtype=bool)
        for each in self._columns:
            if each.name in needed:
                part = places[:, each.first : each.first + each.width]
                there &= [each.value(row) in needed[each.name] for row in part]
        return there
