"""What metering costs: runs with and without it in turn, and one edge of a window."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from figures import Figure, interleave, ratios, summarised
from subjects import SEED, SUBJECTS, Subject, folder_splits

from greensweep.config.schema import (
    AdamConfig,
    ConstantConfig,
    InferenceConfig,
    PlainObjectiveConfig,
    TrainConfig,
    TrainingConfig,
)
from greensweep.config.schema_dataset import ImageFolderConfig
from greensweep.config.schema_energy import CodeCarbonConfig, EnergyConfig, UnmeteredConfig
from greensweep.config.schema_task import ClassificationConfig
from greensweep.config.schema_tracking import LocalConfig
from greensweep.energy import EnergyReading, Meter, build_meter
from greensweep.runs.once import run_once
from greensweep.tracking.tracker import MemoryTracker

_EDGES = 200
_BATCH_SIZE = 64


@dataclass(frozen=True)
class Plan:
    """How long to measure."""

    rounds: int
    epochs: int
    images: int


FULL = Plan(rounds=7, epochs=12, images=4000)
QUICK = Plan(rounds=1, epochs=1, images=64)


def measure(folder: Path, plan: Plan) -> list[Figure]:
    """Return the cost of metering over a run, and of one edge.

    Args:
        folder: of images.

    Raises:
        Skipped: the images are not here.
    """
    folder_splits(folder)
    return [*_over_runs(folder, plan), *_of_edges()]


class _TimedMeter:
    """A meter, and the seconds that its laps took."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self.start, self.stop = meter.start, meter.stop
        self.seconds = 0.0

    def lap(self, computes: bool = True) -> EnergyReading:
        began = perf_counter()
        reading = self._meter.lap(computes)
        self.seconds += perf_counter() - began
        return reading


def _over_runs(folder: Path, plan: Plan) -> list[Figure]:
    """Whole epochs, with what lies between them: that is where the edges are."""
    smallest = SUBJECTS[0]
    in_meter: list[float] = []

    def run(energy: EnergyConfig) -> float:
        config = _config(folder, plan, smallest, energy)
        meter = _TimedMeter(build_meter(config.energy))
        seconds = _run_seconds(config, meter)
        if isinstance(energy, CodeCarbonConfig):
            in_meter.append(meter.seconds / seconds)
        return seconds

    seconds = interleave(
        {"with": lambda: run(CodeCarbonConfig()), "without": lambda: run(UnmeteredConfig())},
        plan.rounds,
    )
    return [
        Figure(
            benchmark="metering",
            subject=smallest.name,
            of="seconds of a run's epochs with metering / without",
            **summarised(ratios(seconds["with"], seconds["without"])),
            at_most=1.01,
            details={f"seconds_{name}": values for name, values in seconds.items()},
        ),
        Figure(
            benchmark="metering",
            subject=smallest.name,
            of="seconds in the meter / seconds of a run's epochs",
            **summarised(in_meter),
            at_most=0.01,
        ),
    ]


def _of_edges() -> list[Figure]:
    meter = build_meter(CodeCarbonConfig())
    meter.start()
    began = perf_counter()
    meter.lap()
    first = perf_counter() - began
    costs = []
    for _ in range(_EDGES):
        began = perf_counter()
        meter.lap()
        costs.append(1000 * (perf_counter() - began))
    meter.stop()
    return [
        Figure("metering", "codecarbon", "the first edge of a window", 1000 * first, unit="ms"),
        Figure(
            "metering",
            "codecarbon",
            "an edge after the first",
            **summarised(costs),
            unit="ms",
            at_most=20.0,
            details={"slowest_ms": max(costs)},
        ),
    ]


def _config(folder: Path, plan: Plan, subject: Subject, energy: EnergyConfig) -> TrainConfig:
    return TrainConfig(
        task=ClassificationConfig(),
        dataset=ImageFolderConfig(root=str(folder), cache=None, train_limit=plan.images),
        model=subject.model,
        optimizer=AdamConfig(name="adam"),
        scheduler=ConstantConfig(),
        training=TrainingConfig(epochs=plan.epochs, batch_size=_BATCH_SIZE),
        inference=InferenceConfig(seconds=0.0),
        energy=energy,
        tracking=LocalConfig(),
        objective=PlainObjectiveConfig(name="accuracy", direction="maximize"),
        seed=SEED,
    )


def _run_seconds(config: TrainConfig, meter: Meter) -> float:
    with tempfile.TemporaryDirectory() as directory:
        result = run_once(
            config,
            Path(directory),
            meter=meter,
            tracker=MemoryTracker(),
            test=False,
        )
    phases = ("training", "evaluation", "other")
    return float(sum(result.energy_phases[name].seconds for name in phases))
