"""A run's training energy shared out by layer type."""

from pathlib import Path
from typing import Any

from greensweep.csv_files.cells import write_rows
from greensweep.energy import Phases
from greensweep.record.recorded_run import RecordedRun
from greensweep.record.summaries import LayerEnergySummary
from greensweep.runs.setup import Setup
from greensweep.training.layer_time import LayerTimes, time_layers

_COLUMNS = (
    "module",
    "layer",
    "calls_per_step",
    "forward_seconds",
    "backward_seconds",
    "share",
    "joules",
    "quality",
    "key",
)


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
    rows: list[dict[str, Any]] = [
        {
            "module": layer.path,
            "layer": layer.kind,
            "calls_per_step": layer.calls,
            "forward_seconds": layer.forward_seconds,
            "backward_seconds": layer.backward_seconds,
            "share": (layer.forward_seconds + layer.backward_seconds) / total,
        }
        for layer in times.layers
    ]
    rows += [
        {"module": "", "layer": name, "share": seconds / total}
        for name, seconds in times.rest.items()
    ]
    for row in rows:
        row["joules"] = None if joules is None else row["share"] * joules
        row |= {"quality": "attributed", "key": times.key}
    write_rows([_COLUMNS, *([row.get(name) for name in _COLUMNS] for row in rows)], path)
