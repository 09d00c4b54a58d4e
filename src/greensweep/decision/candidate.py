"""A configuration that may be taken: its metric, its energy, and how far both are known."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from greensweep.intervals import Interval


@dataclass(frozen=True)
class Candidate:
    """A configuration that was trained.

    Attributes:
        name: as people call it: trial 6.
        value: of the metric that configurations are compared by.
        joules: energy of a training; None where it is not known, or does not compare.
        uncertainty_joules: how far that may be off; None where it is not known.
        interval: 95 % interval of `value`; None where it is not known.
        options: what was chosen for it, by the option's name.
        is_start: the search began from it, so that it is what others are held against.
        is_shared: its machine did other work meanwhile, so that its energy is a share.
    """

    name: str
    value: float
    joules: float | None = None
    uncertainty_joules: float | None = None
    interval: Interval | None = None
    options: Mapping[str, object] = field(default_factory=dict)
    is_start: bool = False
    is_shared: bool = False
