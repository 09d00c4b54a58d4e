"""Search spaces: plain ranges, written once, read by every strategy."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from greensweep.errors import StudyError

_RANGE_KEYS = {"low", "high", "log", "integer", "levels", "endpoint"}


@dataclass(frozen=True)
class Dimension:
    """One searched option.

    Attributes:
        key: the option, such as optimizer.learning_rate.
        choices: its values; empty for a range.
        low, high: ends of the range; low is included.
        log: search the logarithm.
        integer: whole numbers only.
        levels: how many points a grid takes.
        endpoint: whether high is included, as for NumPy's linspace.
    """

    key: str
    choices: tuple[Any, ...] = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    integer: bool = False
    levels: int = 0
    endpoint: bool = True

    @property
    def ends(self) -> tuple[Any, ...]:
        """The values to check against the option's own rules."""
        if self.choices:
            return self.choices
        if self.integer:
            return int(self.low), int(self.high) - (not self.endpoint)
        high = float(self.high)
        return float(self.low), high if self.endpoint else math.nextafter(high, self.low)

    def grid(self) -> list[Any]:
        """Return the levels of a grid: equal steps (of the logarithm) from low to high.

        High is the last level where it is included, else the one that would follow the last.

        Raises:
            StudyError: the range states no levels.
        """
        if self.choices:
            return list(self.choices)
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
            return sorted({min(max(round(point), least), most) for point in points})
        # 12 digits: the text of a value that went through a logarithm stays readable.
        return [float(f"{point:.12g}") for point in points]

    def override(self, *, grid: bool) -> str:
        """Return the dimension in Hydra's sweep syntax: choices for a grid, else a range."""
        if grid or self.choices:
            return f"choice({','.join(_text(value) for value in self.grid())})"
        if self.integer and not self.log:
            least, most = self.ends
            return f"range({least},{most + 1})"
        low, high = self.ends
        interval = f"interval({_text(low)},{_text(high)})"
        return f"tag(log,{interval})" if self.log else interval


def read_space(space: Mapping[str, Any]) -> list[Dimension]:
    """Read a space as `conf/space/` declares it: option to range or choices.

    Raises:
        StudyError: a dimension is malformed; all faults in one.
    """
    faults: list[str] = []
    dimensions = []
    for key, declared in space.items():
        fault = _fault(declared)
        if fault is not None:
            faults.append(f"space: {key} {fault}")
            continue
        values = dict(declared)
        choices = tuple(values.pop("choices", ()))
        dimensions.append(Dimension(key=str(key), choices=choices, **values))
    if faults:
        raise StudyError("; ".join(faults))
    return dimensions


def search_params(
    space: Mapping[str, Any], *, sampler_target: str, fixed_keys: Iterable[str]
) -> dict[str, str]:
    """Return the space as `hydra.sweeper.params` for a sampler.

    A grid gets each range's levels, any other sampler the range. What the command line fixes is
    left out: the stock grid sampler would repeat each configuration for its levels.

    Args:
        sampler_target: import path of the sampler's class.
        fixed_keys: options that the command line sets, to a value or a range of its own.
    """
    fixed = set(fixed_keys)
    grid = sampler_target.endswith("GridSampler")
    return {
        dimension.key: dimension.override(grid=grid)
        for dimension in read_space(space)
        if dimension.key not in fixed
    }


def _fault(declared: Any) -> str | None:
    """Say what is wrong with one dimension as declared, or None."""
    if not isinstance(declared, Mapping):
        return f"must be {{low, high}} or {{choices}}, got {declared!r}"
    if "choices" in declared:
        if set(declared) != {"choices"} or not list(declared["choices"]):
            return "must list at least one value under choices, and nothing else"
        return None
    if unknown := sorted(set(declared) - _RANGE_KEYS):
        return f"does not know {', '.join(map(str, unknown))}: a range has {_listed(_RANGE_KEYS)}"
    low, high = declared.get("low"), declared.get("high")
    if not _is_number(low) or not _is_number(high):
        return f"must have numbers as low and high, got {low!r} and {high!r}"
    assert isinstance(low, int | float) and isinstance(high, int | float)
    if low > high:
        return f"must have low at most high, got {low:g} > {high:g}: swap them"
    if declared.get("endpoint", True) not in (True, False):
        return f"must have true or false as endpoint, got {declared['endpoint']!r}"
    if not declared.get("endpoint", True) and low == high:
        return f"leaves nothing: low and high are both {low:g}, and endpoint: false leaves high out"
    if declared.get("log") and low <= 0:
        return f"is logarithmic, so low must be above 0, got {low:g}: raise low or set log: false"
    if declared.get("integer") and (low != int(low) or high != int(high)):
        return f"is integer, so low and high must be whole, got {low:g} and {high:g}"
    levels = declared.get("levels", 1)
    if not isinstance(levels, int) or levels < 1:
        return f"must have at least 1 of levels, got {levels!r}"
    return None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))


def _text(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return repr(value) if isinstance(value, int | float) else str(value)
