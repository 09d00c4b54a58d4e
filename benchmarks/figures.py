"""What a benchmark gives: figures, each the median of ratios of paired measurements."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median, quantiles
from typing import Any, TypeVar

T = TypeVar("T")


class Skipped(Exception):
    """A benchmark cannot be run here; the text says why."""


@dataclass(frozen=True)
class Figure:
    """One line of the table.

    Attributes:
        benchmark: the file that measured it.
        subject: what was measured.
        of: what over what, such as "greensweep / bare loop, images per second".
        value: median of the pairwise values.
        low, high: their quartiles; None of a single value.
        pairs: how many there are.
        unit: "x" for a ratio, "s" or "packages" for the few figures that are none.
        at_least, at_most: the target, where there is one.
        details: what the figure was computed from, in units that the names say.
    """

    benchmark: str
    subject: str
    of: str
    value: float
    low: float | None = None
    high: float | None = None
    pairs: int = 1
    unit: str = "x"
    at_least: float | None = None
    at_most: float | None = None
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None without one."""
        if self.at_least is None and self.at_most is None:
            return None
        above = self.at_least is None or self.value >= self.at_least
        return above and (self.at_most is None or self.value <= self.at_most)


def summarised(values: Sequence[float]) -> dict[str, Any]:
    """Return value, quartiles and count of pairwise values, as arguments of `Figure`."""
    if len(values) == 1:
        return {"value": values[0]}
    low, _, high = quantiles(values, n=4, method="inclusive")
    return {"value": median(values), "low": low, "high": high, "pairs": len(values)}


def ratios(numerators: Sequence[float], denominators: Sequence[float]) -> list[float]:
    """Return the ratio of each pair of measurements."""
    return [a / b for a, b in zip(numerators, denominators, strict=True)]


def interleave(
    measured: Mapping[str, Callable[[], T]], rounds: int, warmup_rounds: int = 1
) -> dict[str, list[T]]:
    """Call each of `measured` once a round and return its values by name, without the warm-up's.

    Every second round goes backwards, so that a machine that grows slower or faster within a
    round favours none of them.
    """
    names = list(measured)
    values: dict[str, list[T]] = {name: [] for name in names}
    for number in range(warmup_rounds + rounds):
        for name in names if number % 2 == 0 else reversed(names):
            value = measured[name]()
            if number >= warmup_rounds:
                values[name].append(value)
    return values
