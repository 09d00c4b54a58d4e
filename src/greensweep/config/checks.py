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
    # Pareto has two values, validation accuracy and energy; the others have one.
    is_pareto, given = objective.name == "pareto", objective.direction
    directions = given if is_pareto else [given]
    if (
        not isinstance(directions, list)
        or len(directions) != (2 if is_pareto else 1)
        or any(direction not in ("minimize", "maximize") for direction in directions)
    ):
        usual = "[maximize,minimize]" if is_pareto else "maximize"
        yield (
            "objective.direction must be minimize or maximize for each value of "
            f"objective={objective.name}, got {given}: set objective.direction={usual}"
        )
