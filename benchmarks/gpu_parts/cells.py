"""Networks, batch sizes and precisions in which training is measured, most important first."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import gpu_training
from subjects import SUBJECTS, Subject

from gpu_parts.session import Session


@dataclass(frozen=True)
class Cell:
    """One of them.

    Attributes:
        seconds: that its comparison with bare loops takes, roughly.
    """

    subject: Subject
    batch_size: int
    precision: Literal["float32", "bfloat16"]
    seconds: float

    @property
    def name(self) -> str:
        """As figures name it."""
        return f"{self.subject.name}, {self.batch_size}, {self.precision}"

    def plan(
        self, session: Session, *, rounds: int, seconds: float, compiles: bool = False
    ) -> gpu_training.Plan:
        """Return how to measure it alone."""
        return replace(
            gpu_training.FULL,
            subjects=(self.subject,),
            batch_sizes=(self.batch_size,),
            precisions=(self.precision,),
            compiled=(self.subject.name,) if compiles else (),
            images=session.plan.images // (2 if self.subject is _RESNET else 1),
            rounds=1 if session.plan.is_tiny else rounds,
            seconds=0.0 if session.plan.is_tiny else seconds,
        )


_SMALLEST, _LARGEST, _RESNET = SUBJECTS
CELLS: Sequence[Cell] = (
    Cell(_SMALLEST, 64, "float32", 22.0),
    Cell(_RESNET, 64, "float32", 16.0),
    Cell(_LARGEST, 64, "float32", 12.0),
    Cell(_SMALLEST, 64, "bfloat16", 12.0),
    Cell(_SMALLEST, 512, "float32", 9.0),
    Cell(_RESNET, 512, "bfloat16", 12.0),
    Cell(_RESNET, 64, "bfloat16", 16.0),
    Cell(_LARGEST, 512, "float32", 9.0),
    Cell(_SMALLEST, 512, "bfloat16", 9.0),
    Cell(_RESNET, 512, "float32", 12.0),
    Cell(_LARGEST, 64, "bfloat16", 12.0),
    Cell(_LARGEST, 512, "bfloat16", 9.0),
)
