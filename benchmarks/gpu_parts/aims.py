"""What is aimed at, and whether the figures reach it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from figures import Figure

Status = Literal["met", "not met", "not run"]
MARKS: Mapping[Status, str] = {"met": "✓", "not met": "✗", "not run": "–"}


@dataclass(frozen=True)
class Aim:
    """An aim; figures of a part that have a target and are of that are held against it."""

    text: str
    part: str
    of: str = ""

    def reached(self, figures: Iterable[Figure]) -> tuple[Status, int, int]:
        """Return the status, how many figures meet their target, and how many have one."""
        found = [
            figure.met
            for figure in figures
            if figure.benchmark == self.part and self.of in figure.of and figure.met is not None
        ]
        if not found:
            return "not run", 0, 0
        return "met" if all(found) else "not met", sum(found), len(found)


AIMS: Sequence[Aim] = (
    Aim("the doctor finds nothing that would stop a sweep", "doctor"),
    Aim("both meters agree with the counter over 5 s", "meters", "long window"),
    Aim("0.2 s are off by no more than their uncertainty", "meters", "short window"),
    Aim("equal runs side by side within 10 % of each other", "neighbours", "largest - smallest"),
    Aim("what is charged to runs side by side adds up", "neighbours", "charged to all"),
    Aim("a run is charged the GPU that it computes on", "placement"),
    Aim("the CUDA tests pass", "cuda_tests"),
    Aim("inference measured five times within 5 %", "inference"),
    Aim("deterministic: the same weights, bit by bit", "determinism"),
    Aim("plain steps at 0.97 of the bare loop", "training", "capture=none"),
    Aim(
        "captured: 0.4 of the bare loop's time",
        "training",
        "capture=graph / bare loop, order drawn on cuda, seconds",
    ),
    Aim(
        "captured: 0.5 of the bare loop's joules",
        "training",
        "capture=graph / bare loop, order drawn on cuda, joules",
    ),
    Aim('"other" below 0.15 of the layers\' energy', "layers", '"other"'),
    Aim("a sampled step within 1.3 plain ones", "layers", "a sampled step"),
)
