"""Search spaces: plain ranges, written once, read by every strategy."""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from greensweep.config.grammar import as_override, escape_interpolations
from greensweep.config.searched import any_of, still_needed
from greensweep.errors import ConfigError, StudyError

_RANGE_KEYS = {"low", "high", "log", "integer", "step", "levels", "endpoint", "when"}


@dataclass(frozen=True)
class Dimension:
    """One searched option.

    Attributes:
        key: the option, such as optimizer.learning_rate.
        choices: its values; empty for a range.
        low, high: ends of the range; low is included.
        log: search the logarithm.
        integer: whole numbers only.
        step: only low and so many steps above it; None for every value between the ends.
        levels: how many points a grid takes.
        endpoint: whether high is included, as for NumPy's linspace.
        when: other options, each with the values of which it needs one: the option is searched,
            and set, only there.
    """

    key: str
    choices: tuple[Any, ...] = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    integer: bool = False
    step: float | None = None
    levels: int = 0
    endpoint: bool = True
    when: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)

    @property
    def ends(self) -> tuple[float, float]:
        """The least and the most of a range."""
        if self.step is not None:
            return self._steps()[0], self._steps()[-1]
        if self.integer:
            return int(self.low), int(self.high) - (not self.endpoint)
        low, high = float(self.low), float(self.high)
        return low, high if self.endpoint else math.nextafter(high, low)

    def grid(self) -> list[Any]:
        """Return the levels of a grid: equal steps (of the logarithm) from low to high.

        High is the last level where it is included, else the one that would follow the last.

        Raises:
            StudyError: the range states no levels.
        """
        if self.choices:
            return list(self.choices)
        if self.step is not None:
            return self._steps()
        if not self.levels:
            raise StudyError(
                f"space: {self.key} has no levels, which a grid needs: add levels: 5, say, to it"
            )
        low, high = (math.log(self.low), math.log(self.high)) if self.log else (self.low, self.high)
        steps = max(self.levels - 1, 1) if self.endpoint else self.levels
        points = [low + (high - low) * index / steps for index in range(self.levels)]
        points = [math.exp(point) for point in points] if self.log else points
        points[0] = self.low
        if self.endpoint and self.levels > 1:
            points[-1] = self.high
        if self.integer:
            least, most = self.ends
            return sorted({int(min(max(round(point), least), most)) for point in points})
        # 12 digits: the text of a value that went through a logarithm stays readable.
        return [float(f"{point:.12g}") for point in points]

    def override(self, *, grid: bool) -> str:
        """Return the dimension in Hydra's sweep syntax: choices for a grid, else a range.

        Raises:
            StudyError: Hydra's syntax has no text for a value.
        """
        if self.choices or grid:
            try:
                texts = [as_override(escape_interpolations(value)) for value in self.grid()]
            except ConfigError as error:
                raise StudyError(f"space: {self.key}: {error}") from error
            # choice(…) takes no null, and takes the quotes off that keep a text one.
            given = zip(self.grid(), texts, strict=True)
            is_plain = all(isinstance(value, int | float) or text == value for value, text in given)
            return f"choice({','.join(texts)})" if is_plain else ",".join(texts)
        low, high = self.ends
        if self.step is not None:
            step = int(self.step) if self.integer else float(self.step)
            beyond = Decimal(str(high)) + Decimal(str(step))
            return f"range({low!r},{int(beyond) if self.integer else float(beyond)!r},{step!r})"
        if self.integer and not self.log:
            return f"range({low},{high + 1})"
        interval = f"interval({low!r},{high!r})"
        return f"tag(log,{interval})" if self.log else interval

    def _steps(self) -> list[Any]:
        """Return low and all steps above it, in the decimals that they are written in."""
        low, high, step = (Decimal(str(each)) for each in (self.low, self.high, self.step))
        count = int((high - low) / step) + 1
        if not self.endpoint and low + (count - 1) * step == high:
            count -= 1
        kind = int if self.integer else float
        return [kind(low + index * step) for index in range(count)]


def read_space(
    space: Mapping[str, Any], where: Callable[[str], str] = lambda _: ""
) -> list[Dimension]:
    """Read a space as `conf/space/` declares it: option to range or choices.

    Args:
        where: returns where an option is declared, for errors.

    Raises:
        StudyError: a dimension is malformed; all faults in one.
    """
    faults: list[str] = []
    dimensions = []
    for key, declared in space.items():
        fault = _fault(key, declared, space)
        if fault is not None:
            faults.append(f"space: {key} {fault}{where(key)}")
            continue
        values = dict(declared)
        choices = tuple(values.pop("choices", ()))
        when = {name: any_of(needed) for name, needed in values.pop("when", {}).items()}
        dimensions.append(Dimension(key=str(key), choices=choices, when=when, **values))
    if faults:
        raise StudyError("; ".join(faults))
    return dimensions


def search_params(
    space: Mapping[str, Any],
    *,
    sampler_target: str,
    fixed_keys: Collection[str],
    swept_keys: Collection[str] = (),
    present: Callable[[str], Any] = lambda _: None,
    conditional: bool = False,
    where: Callable[[str], str] = lambda _: "",
) -> dict[str, Any]:
    """Return the space as `hydra.sweeper.params` for a sampler.

    A grid gets each range's levels, any other sampler the range. What the command line fixes is
    left out: the stock grid sampler would repeat each configuration for its levels.

    Args:
        sampler_target: import path of the sampler's class.
        fixed_keys: options that the command line sets, to a value or a range of its own.
        swept_keys: those of them that it sets to a range.
        present: returns the value of an option that is not searched.
        conditional: the sweeper takes options that need values of others, and any choices.
        where: as for `read_space`.

    Raises:
        StudyError: the space is malformed, or the sweeper cannot search it.
    """
    grid = sampler_target.endswith("GridSampler")
    free = [each for each in read_space(space, where) if each.key not in fixed_keys]
    searched = {*swept_keys, *(each.key for each in free)}
    params: dict[str, Any] = {}
    for each in free:
        needed = still_needed(each.when, searched, present)
        if needed is None:
            continue
        if not conditional:
            _refuse_for_stock(each, needed)
        try:
            sweep = each.override(grid=grid)
        except StudyError as error:
            raise StudyError(f"{error}{where(each.key)}") from error
        params[each.key] = {"sweep": sweep, "when": needed} if needed else sweep
    return params


def _refuse_for_stock(dimension: Dimension, needed: Collection[str]) -> None:
    """Refuse what the stock Optuna sweeper would search wrongly."""
    if needed:
        raise StudyError(
            f"space: {dimension.key} is searched only with certain values of "
            f"{', '.join(needed)}, which the stock sweeper does not know: choose "
            "hydra/sweeper=greensweep"
        )
    numbers = [each for each in dimension.choices if isinstance(each, int | float)]
    equal = [each for each in numbers if sum(each == other for other in numbers) > 1]
    if len({as_override(each) for each in equal}) > 1:
        raise StudyError(
            f"space: {dimension.key} has choices that the stock sweeper takes for one, "
            f"{' and '.join(map(as_override, equal))}: choose hydra/sweeper=greensweep"
        )


def _fault(key: str, declared: Any, space: Mapping[str, Any]) -> str | None:
    """Say what is wrong with one dimension as declared, or None."""
    if not isinstance(declared, Mapping):
        return f"must be {{low, high}} or {{choices}}, got {declared!r}"
    if "when" in declared and (fault := _when_fault(key, declared["when"], space)):
        return fault
    if "choices" in declared:
        choices = declared["choices"]
        is_list = isinstance(choices, Sequence) and not isinstance(choices, str)
        if declared.keys() - {"choices", "when"} or not is_list or not list(choices):
            return "must list at least one value under choices, and nothing else but when"
        return None
    if unknown := sorted(set(declared) - _RANGE_KEYS):
        known = ", ".join(sorted(_RANGE_KEYS))
        return f"does not know {', '.join(map(str, unknown))}: a range has {known}"
    low, high = declared.get("low"), declared.get("high")
    if not _is_number(low) or not _is_number(high):
        return f"must have numbers as low and high, got {low!r} and {high!r}"
    assert isinstance(low, int | float) and isinstance(high, int | float)
    if low > high:
        return f"must have low at most high, got {low:g} > {high:g}: swap them"
    for name in ("log", "integer", "endpoint"):
        if not isinstance(declared.get(name, False), bool):
            return f"must have true or false as {name}, got {declared[name]!r}"
    if not declared.get("endpoint", True) and low == high:
        return f"leaves nothing: low and high are both {low:g}, and endpoint: false leaves high out"
    if declared.get("log") and low <= 0:
        return f"is logarithmic, so low must be above 0, got {low:g}: raise low or set log: false"
    if declared.get("integer") and (low != int(low) or high != int(high)):
        return f"is integer, so low and high must be whole, got {low:g} and {high:g}"
    levels = declared.get("levels", 1)
    if not isinstance(levels, int) or isinstance(levels, bool) or levels < 1:
        return f"must have at least 1 of levels, got {levels!r}"
    return _step_fault(declared)


def _step_fault(declared: Mapping[str, Any]) -> str | None:
    step = declared.get("step")
    if step is None:
        return None
    if not _is_number(step) or step <= 0:
        return f"must have a number above 0 as step, got {step!r}"
    if declared.get("integer") and step != int(step):
        return f"is integer, so step must be whole, got {step:g}"
    for name, why in (("log", "has steps of one size"), ("levels", "is a grid by its step")):
        if declared.get(name):
            return f"{why}: leave {name} or step out"
    return None


def _when_fault(key: str, when: Any, space: Mapping[str, Any]) -> str | None:
    if not isinstance(when, Mapping) or not when:
        return f"must name an option and its value under when, as {{optimizer: sgd}}, got {when!r}"
    for name in when:
        other = space.get(name)
        if name == key or (isinstance(other, Mapping) and "when" in other):
            return (
                f"needs a value of {name}, which needs values of others itself: one level of when "
                "is all there is"
            )
    return None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
