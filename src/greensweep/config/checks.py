"""Consistency between options: what no single range can say."""

from collections.abc import Iterator
from typing import Any

from greensweep.config.schema import EnergyConfig, ObjectiveConfig, SgdConfig, TrainConfig


def consistency_faults(config: Any) -> Iterator[str]:
    """Yield one sentence per pair of options that contradict each other."""
    energy = getattr(config, "energy", None)
    if isinstance(energy, EnergyConfig):
        yield from _energy_faults(energy)
    if isinstance(config, TrainConfig):
        yield from _optimizer_faults(config)
        yield from _objective_faults(config.objective, config.energy)
        yield from _device_faults(config)


def _energy_faults(energy: EnergyConfig) -> Iterator[str]:
    if energy.country is not None and energy.grams_co2e_per_kwh is not None:
        yield (
            "energy.country and energy.grams_co2e_per_kwh both state the grid: set one of them "
            "to null"
        )


def _optimizer_faults(config: TrainConfig) -> Iterator[str]:
    optimizer = config.optimizer
    if isinstance(optimizer, SgdConfig) and optimizer.nesterov and optimizer.momentum == 0:
        yield "optimizer.nesterov needs momentum, got 0: set optimizer.momentum=0.9"


def _objective_faults(objective: ObjectiveConfig, energy: EnergyConfig) -> Iterator[str]:
    if objective.name in ("pareto", "priced") and energy.name == "unmetered":
        yield (
            f"objective={objective.name} needs energy, but energy=unmetered: "
            "set energy=codecarbon or objective=accuracy"
        )


def _device_faults(config: TrainConfig) -> Iterator[str]:
    training = config.training
    if training.device == "cpu" and training.precision == "float16":
        yield (
            "training.precision=float16 needs a GPU, but training.device=cpu: "
            "set training.precision=bfloat16 or float32"
        )
