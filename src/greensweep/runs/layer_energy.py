"""The training energy of a run, shared out over layers by the time that they take."""

from dataclasses import astuple
from pathlib import Path
from typing import Any

from greensweep.csv_files.cells import write_rows
from greensweep.record.summaries import LayerEnergySummary
from greensweep.training.layer_time import LayerTimes


def shared_out(
    times: LayerTimes, joules: float | None, cost_joules: float | None, cost_seconds: float
) -> LayerEnergySummary:
    """Share a run's training energy out by layer type.

    Args:
        joules: of the training; None where nothing was metered.
        cost_joules, cost_seconds: of sampling the times.
    """
    by_kind = times.by_kind()
    total = sum(by_kind.values())
    shares = {kind: seconds / total for kind, seconds in by_kind.items()}
    return LayerEnergySummary(
        key=times.key,
        joules=None if joules is None else {kind: x * joules for kind, x in shares.items()},
        shares=shares,
        steps=times.steps,
        step_seconds=times.step_seconds,
        plain_step_seconds=times.plain_step_seconds,
        cost_joules=cost_joules,
        cost_seconds=cost_seconds,
    )


def write_table(times: LayerTimes, joules: float | None, path: Path) -> None:
    """Write a CSV table by module path and layer type, then of what belongs to no layer.

    Args:
        joules: that are shared out by time; None where nothing was metered.

    Raises:
        OSError: the file cannot be written.
    """
    total = sum(times.by_kind().values())
    parts: list[tuple[Any, ...]] = [
        (*astuple(layer), layer.forward_seconds + layer.backward_seconds) for layer in times.layers
    ]
    parts += [("", name, None, None, None, seconds) for name, seconds in times.rest.items()]
    rows = [
        {
            "module": module,
            "layer": layer,
            "calls_per_step": calls,
            "forward_seconds": forward,
            "backward_seconds": backward,
            "share": seconds / total,
            "joules": None if joules is None else seconds / total * joules,
            "quality": "attributed",
            "key": times.key,
        }
        for module, layer, calls, forward, backward, seconds in parts
    ]
    write_rows([[*rows[0]], *([*row.values()] for row in rows)], path)
