"""The learning curve of a trial: what it had come to after each epoch."""

from collections.abc import Sequence
from typing import Any, NamedTuple

# A storage keeps no more of a curve than a search looks at.
CURVE_POINTS = 50


class CurvePoint(NamedTuple):
    """A report of a trial; a storage keeps it as a list, in this order.

    Attributes:
        epoch: from 1.
        value: the metric by which trials are compared, accuracy say; None where it is not reported.
        joules: of training so far.
        spent_joules: of everything so far.
        seconds: so far, wall-clock.
    """

    epoch: int
    value: float | None = None
    joules: float | None = None
    spent_joules: float | None = None
    seconds: float = 0.0


Curve = Sequence[CurvePoint]


def read_curve(kept: Sequence[Sequence[Any]]) -> tuple[CurvePoint, ...]:
    """Return a curve from how a storage keeps it, of whichever version."""
    named = CurvePoint.__annotations__
    return tuple(CurvePoint(*point[: len(named)]) for point in kept)


def kept_curve(curve: Curve) -> list[list[Any]]:
    """Return what a storage keeps of a curve: at most `CURVE_POINTS`, with its end."""
    step = -(-len(curve) // CURVE_POINTS) or 1
    return [list(point) for point in curve[::-step][::-1]]


def scores_of(curve: Curve, sign: int) -> Curve:
    """Return a curve whose values are turned so that more is better.

    Args:
        sign: -1 of values that are minimised.
    """
    return [
        point if point.value is None else CurvePoint(point.epoch, sign * point.value, *point[2:])
        for point in curve
    ]
