"""From the `energy` group to a meter."""

import os
from pathlib import Path
from pkgutil import resolve_name

from greensweep.config.schema_energy import EnergyConfig, MachineEnergyConfig
from greensweep.energy.baseline import IdleBaseline
from greensweep.energy.counters import Source
from greensweep.energy.ledger import Ledger, open_machine_ledger
from greensweep.energy.machine import MachineMeter
from greensweep.energy.meter import Meter
from greensweep.energy.notices import warn_once

# Set for what `greensweep exec` runs.
UNDER_EXEC = "GREENSWEEP_EXEC"


def build_meter(
    config: EnergyConfig, sweep: Path | None = None, *, device: str | None = None
) -> Meter:
    """Return the configured meter, not yet started.

    Args:
        sweep: directory of the sweep that the metered run belongs to.
        device: where the run computes, cpu, cuda or cuda:1, say, which is the GPU that it is
            charged; None where that is not known, so that it is charged all that CUDA shows.

    Raises:
        EnergyError: a file that the meter reads is missing or wrong.
    """
    built = _build(config, device)
    if not isinstance(built, Source):
        return built
    if UNDER_EXEC in os.environ and config.of_machine:
        warn_once(
            "This program measures itself under greensweep exec, which measures it too: the two "
            "share its joules, so leave one of them out."
        )
    baseline = None
    if isinstance(config, MachineEnergyConfig) and config.baseline != "none":
        baseline = _baseline(config, measures=config.baseline == "measure")
    # What a record or a model says of this process alone is not the machine's to share out.
    ledger = open_machine_ledger() if config.of_machine else Ledger()
    return MachineMeter(built, ledger, baseline=baseline, sweep=sweep, whole=config.of_machine)


def build_source(config: EnergyConfig, device: str | None = None) -> Source | None:
    """Return what opens the counters that `build_meter` reads, or None where it has none."""
    built = _build(config, device)
    return built if isinstance(built, Source) else None


def _build(config: EnergyConfig, device: str | None) -> Source | Meter:
    # Imported when used: a run has one meter, and a page about runs none.
    built: Source | Meter = resolve_name(config.implementation)(config, device)
    return built


def _baseline(config: MachineEnergyConfig, *, measures: bool) -> IdleBaseline:
    return IdleBaseline(config.baseline_seconds, config.baseline_hours, measures=measures)


def measure_idle(config: EnergyConfig) -> None:
    """Measure the idle machine before a sweep, where no model of its counters gives its power.

    Without it, joules of trials side by side would not compare with those of one alone. All GPUs
    that CUDA shows are measured at once: each trial may have another, and a machine that is busy.

    Raises:
        EnergyError: there is nothing to read here.
    """
    source = build_source(config)
    if not isinstance(config, MachineEnergyConfig) or source is None:
        return
    counters = {counter.key: counter for counter in source.open()}
    try:
        is_known = all(each.idle_watts is not None for each in counters.values())
        if config.baseline == "measure" or (config.baseline == "auto" and not is_known):
            _baseline(config, measures=True).watts(counters)
    finally:
        source.close()
