"""The energy of a run by phase, as its result holds it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from greensweep.config.schema_energy import EnergyConfig
from greensweep.energy import EnergyReading, Grid, Meter, Phases, declared_grid
from greensweep.record.recorded_run import RecordedRun
from greensweep.record.summaries import ComponentSummary, PhaseSummary, summary_of

# What a result holds of its training's reading by the same names, with `energy_` before them.
_OF_TRAINING = (
    "joules", "basis", "comparable", "net_joules", "idle_joules", "charged_joules", "kwh",
    "uncertainty_joules", "quality", "measured_share", "constant_share", "neighbours",
)  # fmt: skip


@contextmanager
def metered(run: RecordedRun, meter: Meter, config: EnergyConfig) -> Iterator[Phases]:
    """Meter a run by phases; its result gets the energy, however the block ends.

    Raises:
        EnergyError: the meter cannot start or fails, or the declared grid is unknown.
    """
    phases = Phases(meter)
    grid = declared_grid(config)
    try:
        phases.start()
        yield phases
    finally:
        phases.stop()
        run.note(**energy_figures(phases.readings, grid))


def energy_figures(readings: Mapping[str, EnergyReading], grid: Grid | None) -> dict[str, Any]:
    """Return what a result holds of a run's energy: of its training, of each phase and of all."""
    training = readings.get("training", EnergyReading()).settled()
    total = sum(readings.values(), start=EnergyReading()).settled()
    key = "cpu_time+gpu_time" if "gpu" in training.components else "cpu_time"
    return {
        **{f"energy_{name}": getattr(training, name) for name in _OF_TRAINING},
        "energy_spent_joules": total.joules,
        "energy_gap_joules": total.gap_joules,
        "gap_seconds": total.gap_seconds,
        "energy_components": {
            name: summary_of(ComponentSummary, part) for name, part in training.components.items()
        },
        "energy_contended": bool(training.contended),
        "energy_contended_by": ", ".join(training.contended) or None,
        "energy_key": key if training.contended else None,
        "energy_phases": {name: summary_of(PhaseSummary, each) for name, each in readings.items()},
        "emissions_kg": grid.emissions_kg(training.kwh) if grid else None,
        "emissions_spent_kg": grid.emissions_kg(total.kwh) if grid else None,
        "emissions_grid": grid.declared if grid else None,
        "seconds": training.seconds if "training" in readings else None,
    }
