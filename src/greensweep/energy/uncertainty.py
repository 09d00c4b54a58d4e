"""How far the joules of a window may be off, since counters and models step at times of their own.

A counter that has a new figure every so many seconds shows, at the edge of a window, what was used
up to one period ago: an edge is worth the power there times the period.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

# A counter's figures of fewer periods do not show its power.
STEADY_PERIODS = 10

# Of so many, two edges are worth a tenth, and hardly ever more than a twentieth.
INFERENCE_PERIODS = 20


@dataclass(frozen=True)
class Uncertainty:
    """What a component's uncertainty over a window is made of.

    What one lap is given too much at an edge the next one lacks: where laps follow one another, the
    edge between them is no edge of their sum.
    """

    edges: Mapping[float, float] = field(default_factory=dict)  # joules by the time of the edge
    model_joules: float = 0.0  # of a model, which is wrong by the same part of all laps
    update_seconds: float = 0.0  # the period of the source

    def __add__(self, other: "Uncertainty") -> "Uncertainty":
        edges = {**self.edges, **other.edges}
        for inner in self.edges.keys() & other.edges.keys():
            del edges[inner]
        return Uncertainty(
            edges,
            self.model_joules + other.model_joules,
            max(self.update_seconds, other.update_seconds),
        )

    @property
    def joules(self) -> float:
        """Both edges of each stretch of time added up, and stretches as independent of another."""
        in_order = [self.edges[time] for time in sorted(self.edges)]
        stretches = zip(in_order[::2], in_order[1::2], strict=False)
        return math.hypot(self.model_joules, *(begin + end for begin, end in stretches))


class Steps:
    """The uncertainty of one component's laps, by the power of late.

    Args:
        update_seconds: how often its source has a new figure.
        model_error: the part by which a model is wrong; 0 of a counter.
    """

    def __init__(self, update_seconds: float, model_error: float) -> None:
        self._period, self._model_error = update_seconds, model_error
        self._joules = self._seconds = 0.0
        self._watts: float | None = None

    def of_lap(self, began: float, ended: float, joules: float) -> Uncertainty:
        """Return that of the next lap: mean power times the period, at both edges.

        The power is that of the lap, or of the last ten periods where it is shorter.
        """
        self._joules += joules
        self._seconds += ended - began
        watts = self._joules / self._seconds if self._seconds > 0 else 0.0
        if self._seconds >= STEADY_PERIODS * self._period:
            self._watts, self._joules, self._seconds = watts, 0.0, 0.0
        edge = (watts if self._watts is None else self._watts) * self._period
        edges = {began: edge, ended: edge} if ended > began else {}
        return Uncertainty(edges, self._model_error * joules, self._period)
