"""Deterministic algorithms: the same weights twice, bit by bit, and what that costs."""

from collections.abc import Iterator
from dataclasses import replace

import gpu_training
from figures import Figure

from gpu_parts.cells import CELLS
from gpu_parts.session import Session

_SECONDS = 9.0  # of one cell


def measure(session: Session) -> Iterator[Figure]:
    """Train each network twice so, and compare its time with that of steps that are not."""
    cells = [cell for cell in CELLS if cell.batch_size == 64]
    for cell in cells[:1] if session.plan.is_tiny else cells:
        if session.is_time_for(cell.name, _SECONDS):
            with session.trying(cell.name):
                plan = cell.plan(session, rounds=2, seconds=0.6)
                figures = gpu_training.measure_determinism(session.device, plan)
                yield from (replace(figure, benchmark="determinism") for figure in figures)
