"""Meters, readings and phases: joules with their origin."""

from greensweep.config import schema
from greensweep.energy.carbon import Grid, declared_grid
from greensweep.energy.meter import Meter, UnmeteredMeter
from greensweep.energy.phases import Phases
from greensweep.energy.reading import (
    ComponentEnergy,
    EnergyReading,
    Quality,
    shared_quality,
    sum_joules,
)
from greensweep.energy.scripted import ScriptedMeter

__all__ = [
    "ComponentEnergy",
    "EnergyReading",
    "Grid",
    "Meter",
    "Phases",
    "Quality",
    "ScriptedMeter",
    "UnmeteredMeter",
    "build_meter",
    "declared_grid",
    "shared_quality",
    "sum_joules",
]


def build_meter(config: schema.EnergyConfig) -> Meter:
    """Return the configured meter, not yet started."""
    if isinstance(config, schema.CodeCarbonConfig):
        from greensweep.energy.codecarbon import CodeCarbonMeter

        return CodeCarbonMeter(config.tracking_mode)
    return UnmeteredMeter()
