"""Steps compiled by `torch.compile` against bare loops, as far as there is time: it takes long."""

from collections.abc import Iterator
from dataclasses import replace

import gpu_training
from figures import Figure

from gpu_parts.cells import CELLS
from gpu_parts.session import Session
from gpu_parts.training import counter_of

_COMPILING_SECONDS = 20.0


def measure(session: Session) -> Iterator[Figure]:
    """Compare the cells in their order of importance."""
    if session.plan.is_tiny:
        return  # a compiler takes longer than everything else there
    joules = counter_of(session)
    for cell in CELLS:
        if session.is_time_for(cell.name, cell.seconds + _COMPILING_SECONDS):
            with session.trying(cell.name):
                plan = cell.plan(session, rounds=2, seconds=0.6, compiles=True)
                found = [
                    replace(figure, benchmark="compiled")
                    for figure in gpu_training.measure(session.device, plan, joules)
                    if "capture=compile" in figure.of
                ]
                if not found:
                    session.fail(cell.name, "steps were not compiled: see the warnings")
                yield from found
