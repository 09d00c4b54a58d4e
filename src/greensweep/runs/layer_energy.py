"""A run's training energy shared out by layer type."""

from dataclasses import astuple
from pathlib import Path
from typing import Any

from greensweep.csv_files.cells import write_rows
from greensweep.energy import Phases
from greensweep.record.recorded_run import RecordedRun
from greensweep.record.summaries import LayerEnergySummary
from greensweep.runs.setup import Setup
from greensweep.training.layer_time import LayerTimes, time_layers


def attribute_layer_energy(setup: Setup, run: RecordedRun, phases: Phases, file: Path) -> None:
    """Share a run's training energy out by layer type, from sampled steps, and note it.

    It is attributed by time, which is exact only where the machine's power is the same in all
    layers: one that keeps the arithmetic units busy draws more than one that waits for memory.

    Args:
        file: the table by layer.

    Raises:
        DataError: no image could be read.
        TrainingError: memory ran out, the model failed, or the GPU could not be watched.
        OSError: the table cannot be written.
    """
    config = setup.config
    with phases.phase("layer_energy"):
        times = time_layers(
            setup.model,
            setup.train,
            setup.normalise,
            setup.task,
            training=config.training,
            optimizer=config.optimizer,
            seed=config.seed,
        )
        joules = phases.of("training").joules
        write_table(times, joules, file)
        run.files.append(file)
    by_kind, cost = times.by_kind(), phases.of("layer_energy")
    total = sum(by_kind.values())
    shares = {kind: seconds / total for kind, seconds in by_kind.items()}
    run.note(
        layer_energy=LayerEnergySummary(
            key=times.key,
            joules=None if joules is None else {kind: x * joules for kind, x in shares.items()},
            shares=shares,
            steps=times.steps,
            step_seconds=times.step_seconds,
            plain_step_seconds=times.plain_step_seconds,
            cost_joules=cost.joules,
            cost_seconds=cost.seconds,
        )
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
