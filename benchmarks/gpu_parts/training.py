"""Plain and captured steps against bare loops: seconds and joules."""

from collections.abc import Iterator
from dataclasses import replace

import gpu_training
from figures import Figure

from gpu_parts.cells import CELLS
from gpu_parts.session import Session


def measure(session: Session) -> Iterator[Figure]:
    """Compare all cells that there is time for; the first, which aims are set for, for longer."""
    joules = counter_of(session)
    for number, cell in enumerate(CELLS[:1] if session.plan.is_tiny else CELLS):
        if not session.is_time_for(cell.name, cell.seconds):
            continue
        with session.trying(cell.name):
            plan = (
                cell.plan(session, rounds=2, seconds=0.6)
                if number
                else cell.plan(session, rounds=3, seconds=1.0)
            )
            figures = gpu_training.measure(session.device, plan, joules)
            yield from (replace(figure, benchmark="training") for figure in figures)
            auto = figures[0].details["auto"]
            if session.has_gpu and not any("capture=graph" in figure.of for figure in figures):
                session.fail(f"{cell.name}, capture=graph", f"not captured ({auto['reason']})")
            yield Figure(
                "training",
                cell.name,
                "capture=auto takes a graph (1) or plain steps (0)",
                float(auto["mode"] == "graph"),
                unit="",
                details=auto,
            )


def counter_of(session: Session) -> gpu_training.Joules | None:
    """Return the GPU's counter; None, recorded as failed, where it has none."""
    with session.trying("joules"):  # without which times are still worth having
        counter = session.counter()
        counter()
        return counter
    return None
