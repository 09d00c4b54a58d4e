"""Meters, readings and phases: joules with their origin."""

from greensweep.energy.build import build_meter, measure_idle
from greensweep.energy.carbon import Grid, declared_grid
from greensweep.energy.meter import Meter, ScriptedMeter, UnmeteredMeter
from greensweep.energy.notices import warn_once_per_sweep
from greensweep.energy.phases import Phases, Window, synchronize
from greensweep.energy.reading import (
    ComponentEnergy,
    EnergyReading,
    Quality,
    joined,
    shared_quality,
    sum_joules,
)

__all__ = [
    "ComponentEnergy",
    "EnergyReading",
    "Grid",
    "Meter",
    "Phases",
    "Quality",
    "ScriptedMeter",
    "UnmeteredMeter",
    "Window",
    "build_meter",
    "declared_grid",
    "joined",
    "measure_idle",
    "shared_quality",
    "sum_joules",
    "synchronize",
    "warn_once_per_sweep",
]
