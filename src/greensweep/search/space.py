"""The space of a search: its options, some of which are there with certain values of others."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import Trial

from greensweep.config.grammar import kept_as_override
from greensweep.search.optuna_internals import contains

Params = Mapping[str, Any]
# By option: other ones, each with the values of which it needs one.
Conditions = Mapping[str, Mapping[str, Sequence[Any]]]


@dataclass(frozen=True)
class Space:
    """Options with their ranges, and with what values of others they are there.

    Attributes:
        distributions: of all options, as Optuna knows them.
        conditions: of those that are there with certain values of others.
    """

    distributions: Mapping[str, BaseDistribution]
    conditions: Conditions = field(default_factory=dict)

    @cached_property
    def names(self) -> list[str]:
        """All options, those that others need first."""
        return sorted(self.distributions, key=lambda name: name in self.conditions)

    def has(self, name: str, params: Params) -> bool:
        """Tell whether an option is there at a point, of which those that it needs are known."""
        needed = self.conditions.get(name, {})
        return all(other in params and params[other] in needed[other] for other in needed)

    def filled(self, choose: Callable[[str], Any]) -> dict[str, Any]:
        """Return the point in which each option that is there has the value chosen for it."""
        point: dict[str, Any] = {}
        for name in self.names:
            if self.has(name, point):
                point[name] = choose(name)
        return point

    @cached_property
    def levels(self) -> dict[str, Sequence[Any]]:
        """The values of each option that has finitely many."""
        found = {name: _levels(each) for name, each in self.distributions.items()}
        return {name: values for name, values in found.items() if values is not None}

    @cached_property
    def may_repeat(self) -> bool:
        """Some points are of options with finitely many values alone."""
        return all(name in self.levels or name in self.conditions for name in self.distributions)

    @cached_property
    def size(self) -> float:
        """How many points there are; infinitely many where a range has no steps."""
        return sum(size for _, _, size in self._parts)

    def point(self, index: int) -> dict[str, Any]:
        """Return the `index`-th point of a finite space."""
        parts = iter(self._parts)
        chosen, others, size = next(parts)
        while index >= size:
            index -= int(size)
            chosen, others, size = next(parts)
        sizes = [len(self.levels[name]) for name in others]
        places = np.unravel_index(index, sizes) if sizes else ()
        rest = {n: self.levels[n][int(place)] for n, place in zip(others, places, strict=True)}
        return self.filled({**chosen, **rest}.__getitem__)

    def some_value(self, name: str) -> Any:
        """Return a value that an option may have."""
        levels, distribution = self.levels.get(name, ()), self.distributions[name]
        return levels[0] if len(levels) else distribution.low  # type: ignore[attr-defined]

    def is_choice(self, name: str) -> bool:
        """Tell whether an option has values without an order."""
        return isinstance(self.distributions[name], CategoricalDistribution)

    def level_of(self, name: str, value: Any) -> float:
        """Return which of its levels a value of an option is, from 0; of a range the value.

        Raises:
            ValueError: it is outside of the option's range.
        """
        distribution = self.distributions[name]
        level = float(distribution.to_internal_repr(value))
        if isinstance(distribution, FloatDistribution) and distribution.step is not None:
            level = float(f"{level:.12g}")  # 0.3, where three tenths add up to more
        if not contains(distribution, level):
            raise ValueError(f"{name} has no {value}")
        if name not in self.levels or self.is_choice(name):
            return level
        assert isinstance(distribution, IntDistribution | FloatDistribution)
        return float(round((level - distribution.low) / (distribution.step or 1)))

    def key(self, params: Params) -> tuple[tuple[str, float], ...] | None:
        """Return what equal points of the space have alone; None of a point outside of it."""
        there = self._present(params)
        if set(there) != set(params):
            return None
        try:
            return tuple((name, self.level_of(name, params[name])) for name in there)
        except (ValueError, TypeError):
            return None

    def in_steps(self, params: Params) -> dict[str, Any]:
        """Return a point with the decimals of its steps."""
        rounded = {
            name: float(f"{value:.12g}")
            for name, value in params.items()
            if isinstance(value, float)
            and name in self.levels
            and isinstance(self.distributions[name], FloatDistribution)
        }
        return {**params, **rounded}

    def _present(self, params: Params) -> list[str]:
        return [name for name in self.names if self.has(name, params)]

    @cached_property
    def _parts(self) -> list[tuple[dict[str, Any], list[str], float]]:
        """The values of all options that others need, with the others and how many points."""
        needed = {other for others in self.conditions.values() for other in others}
        heads = [name for name in self.names if name in needed]
        parts = []
        for values in product(*(self.levels[name] for name in heads)):
            chosen = dict(zip(heads, values, strict=True))
            others = [name for name in self._present(chosen) if name not in chosen]
            sizes = [len(self.levels[n]) if n in self.levels else math.inf for n in others]
            parts.append((chosen, others, math.prod(sizes)))
        return parts


def suggest(trial: Trial, name: str, distribution: BaseDistribution) -> Any:
    """Return the value of an option that Optuna draws for a trial."""
    if isinstance(distribution, CategoricalDistribution):
        return trial.suggest_categorical(name, distribution.choices)
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    draw: Any = (
        trial.suggest_int if isinstance(distribution, IntDistribution) else trial.suggest_float
    )
    low, high = distribution.low, distribution.high
    return draw(name, low, high, step=distribution.step, log=distribution.log)


def range_text(distribution: BaseDistribution) -> str:
    """Return a range as a user would write of it.

    >>> range_text(FloatDistribution(1e-4, 0.1, log=True))
    '0.0001 to 0.1 on a log scale'
    """
    if isinstance(distribution, CategoricalDistribution):
        return f"one of {', '.join(map(kept_as_override, distribution.choices))}"
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    scale = " on a log scale" if distribution.log else ""
    steps = "" if distribution.step in (None, 1) else f" in steps of {distribution.step:g}"
    return f"{distribution.low:g} to {distribution.high:g}{scale}{steps}"


def _levels(distribution: BaseDistribution) -> Sequence[Any] | None:
    match distribution:
        case CategoricalDistribution():
            return distribution.choices
        case IntDistribution(low=low, high=high, step=step):
            return range(low, high + 1, step)
        case FloatDistribution(low=low, high=high, step=float(step)):
            count = round((high - low) / step) + 1
            return [float(f"{low + index * step:.12g}") for index in range(count)]
        case FloatDistribution(low=low, high=high) if low == high:
            return [low]
    return None
