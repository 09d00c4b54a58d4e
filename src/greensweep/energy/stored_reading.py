"""Readings as plain data, which a file of weights may hold, and back."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from greensweep.energy.reading import ComponentEnergy, EnergyReading
from greensweep.energy.uncertainty import Uncertainty


def stored_reading(reading: EnergyReading) -> dict[str, Any]:
    """Return a reading as numbers, texts, lists and dicts."""
    return {**asdict(reading), "lost": sorted(reading.lost)}


def restored_reading(kept: Mapping[str, Any]) -> EnergyReading:
    """Return the reading that was stored."""
    components = {name: _component(each) for name, each in kept["components"].items()}
    return EnergyReading(**{**kept, "components": components, "lost": frozenset(kept["lost"])})


def _component(kept: Mapping[str, Any]) -> ComponentEnergy:
    uncertainty = kept["uncertainty"]
    known = None if uncertainty is None else Uncertainty(**uncertainty)
    return ComponentEnergy(**{**kept, "uncertainty": known})
