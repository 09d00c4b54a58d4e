"""A run's training energy shared out by layer type."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from greensweep.csv_files import write_rows
from greensweep.energy import Phases
from greensweep.record.recorded_run import RecordedRun
from greensweep.record.summaries import LayerEnergySummary
from greensweep.runs.setup import Setup
from greensweep.training import LayerTimes, time_layers

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
        energy = LayerEnergy(times, phases.of("training").joules)
        run.files.append(energy.write(file))
    cost = phases.of("layer_energy")
    run.note(layer_energy=energy.summary(cost.joules, cost.seconds))


@dataclass(frozen=True)
class LayerEnergy:
    """Training energy by layer type, attributed by time; then what belongs to no layer.

    That is exact only where the machine's power is the same in all layers: a layer that keeps the
    arithmetic units busy draws more than one that waits for memory.

    Attributes:
        times: what the shares rest on.
        joules: that are shared out; None where nothing was metered.
    """

    times: LayerTimes
    joules: float | None

    @property
    def shares(self) -> dict[str, float]:
        """Share of the step's time by layer type, 0 to 1; they add up to 1."""
        by_kind = self.times.by_kind()
        total = sum(by_kind.values())
        return {kind: seconds / total for kind, seconds in by_kind.items()}

    def by_kind(self) -> dict[str, float] | None:
        """Return joules by layer type; they add up to `joules`."""
        if self.joules is None:
            return None
        return {kind: share * self.joules for kind, share in self.shares.items()}

    def summary(self, cost_joules: float | None, cost_seconds: float) -> LayerEnergySummary:
        """Return the figures of a run's result.

        Args:
            cost_joules: of sampling the steps.
            cost_seconds: likewise.
        """
        return LayerEnergySummary(
            key=self.times.key,
            joules=self.by_kind(),
            shares=self.shares,
            steps=self.times.steps,
            step_seconds=self.times.step_seconds,
            plain_step_seconds=self.times.plain_step_seconds,
            cost_joules=cost_joules,
            cost_seconds=cost_seconds,
        )

    def write(self, path: Path) -> Path:
        """Write a CSV table by module path and layer type, and return its path.

        Raises:
            OSError: the file cannot be written.
        """
        total = sum(self.times.by_kind().values())
        rows: list[dict[str, Any]] = [
            {
                "module": layer.path,
                "layer": layer.kind,
                "calls_per_step": layer.calls,
                "forward_seconds": layer.forward_seconds,
                "backward_seconds": layer.backward_seconds,
                "share": (layer.forward_seconds + layer.backward_seconds) / total,
            }
            for layer in self.times.layers
        ]
        rows += [
            {"module": "", "layer": name, "share": seconds / total}
            for name, seconds in self.times.rest.items()
        ]
        for row in rows:
            joules = None if self.joules is None else row["share"] * self.joules
            row |= {"joules": joules, "quality": "attributed", "key": self.times.key}
        table = [_COLUMNS, *([row.get(name) for name in _COLUMNS] for row in rows)]
        write_rows(table, path)
        return path
