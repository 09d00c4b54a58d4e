"""The space of a search, and the points that it starts from, as Hydra's overrides state them."""

import logging
from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import partial
from math import ceil
from typing import Any

from hydra.core.override_parser.types import IntervalSweep, RangeSweep
from hydra.errors import HydraException
from omegaconf import DictConfig
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from greensweep.config.grammar import (
    choices_of,
    ends_of,
    escape_interpolations,
    kept_as_override,
    kept_choice,
    kept_choices,
)
from greensweep.config.searched import Searched, present_value, read_searched, still_needed
from greensweep.errors import StudyError, first_line
from greensweep.search.encoder import holds
from greensweep.search.space import Space

log = logging.getLogger(__name__)


def read_space(
    params: Mapping[str, Any], arguments: Sequence[str], config: DictConfig
) -> tuple[Space, list[str]]:
    """Return what the sweeper's params and the command search, and what all trials share.

    Raises:
        GreensweepError: a range makes no sense, or what an option needs cannot be.
    """
    searched, others = read_searched(params, arguments)
    shared = [
        str(each.input_line)
        if each.is_delete()
        else f"{each.get_key_element()}={each.get_value_element_as_str()}"
        for each in others
    ]
    ranges: dict[str, BaseDistribution] = {}
    conditions: dict[str, Mapping[str, Sequence[Any]]] = {}
    keys = [each.key for each in searched]
    for each in searched:
        needed = still_needed(each.when, keys, partial(present_value, config))
        if needed is None:
            continue
        ranges[each.key] = _distribution(each)
        if needed:
            conditions[each.key] = needed
    levels = Space(ranges).levels
    kept: dict[str, Mapping[str, Sequence[Any]]] = {}
    for key, heads in conditions.items():
        for other in heads:
            if other not in levels or other in conditions:
                raise StudyError(
                    f"hydra.sweeper.params: {key} needs a value of {other}, which is a range "
                    "without steps, or needs values of others itself: give it choices"
                )
        kept[key] = {
            other: [_as_kept(ranges[other], escape_interpolations(value)) for value in values]
            for other, values in heads.items()
        }
        never = [other for other, values in kept[key].items() if not {*values} & {*levels[other]}]
        if never:
            log.info("%s is not searched: %s has none of the values that it needs.", key, never[0])
            del ranges[key], kept[key]
    return Space(ranges, kept), shared


def _distribution(searched: Searched) -> BaseDistribution:
    """Return what the stock Optuna sweeper searches too, where its Hydra is installed."""
    override = searched.override
    try:
        if override.is_choice_sweep():
            return CategoricalDistribution(kept_choices(choices_of(override)))
        value: Any = override.value()
        match value:
            case RangeSweep(transformers=[_, *_]):
                return CategoricalDistribution([*override.sweep_iterator()])  # type: ignore[list-item]
            case RangeSweep():
                return _of_steps(value)
            case IntervalSweep():
                low, high = ends_of(override)
                whole = isinstance(low, int) and isinstance(high, int)
                make = IntDistribution if whole else FloatDistribution
                return make(low, high, log="log" in value.tags)
        raise NotImplementedError("it is neither choices, a range nor an interval")
    except (ValueError, NotImplementedError, AssertionError, HydraException) as error:
        raise StudyError(
            f"{override.input_line} cannot be searched: {first_line(error)}"
        ) from error


def _of_steps(sweep: RangeSweep) -> BaseDistribution:
    """Return the values of a range, whose end Hydra leaves out and Optuna has, in any order."""
    start, stop, step = (Fraction(str(each)) for each in (sweep.start, sweep.stop, sweep.step))
    count = ceil((stop - start) / step) if step else 0
    if count < 1:
        raise ValueError("it holds no value")
    low, high = sorted((start, start + (count - 1) * step))
    if all(isinstance(each, int) for each in (sweep.start, sweep.stop, sweep.step)):
        return IntDistribution(int(low), int(high), step=abs(int(step)))
    return FloatDistribution(float(low), float(high), step=abs(float(step)))


def _as_kept(distribution: BaseDistribution, value: Any) -> Any:
    """Return a value of an option as Optuna keeps it."""
    if isinstance(distribution, CategoricalDistribution):
        return kept_choice(distribution.choices, value)
    return value


def read_points(enqueue: Any, config: DictConfig, space: Space) -> tuple[Mapping[str, Any], ...]:
    """Return the points to start from, as Optuna keeps them."""
    if enqueue is None:
        return ()
    if enqueue == "present":
        present: dict[str, Any] = {}
        for name in space.names:
            if space.has(name, present):
                value = escape_interpolations(present_value(config, name))
                present[name] = _as_kept(space.distributions[name], value)
        outside = [name for name in present if not holds(space.distributions[name], present[name])]
        if outside:
            log.info(
                "The present configuration is no point of the space (%s=%s), so it is not tried.",
                outside[0],
                kept_as_override(present[outside[0]]),
            )
        return () if outside else (present,)
    ranges = space.distributions
    return tuple(
        {
            name: _as_kept(ranges[name], escape_interpolations(value)) if name in ranges else value
            for name, value in point.items()
        }
        for point in enqueue
    )
