"""From the `energy` group to a meter."""

from pathlib import Path

from greensweep.config import schema
from greensweep.energy.baseline import IdleBaseline
from greensweep.energy.codecarbon import CodeCarbonSource
from greensweep.energy.counters import Source
from greensweep.energy.ledger import Ledger, open_machine_ledger
from greensweep.energy.load_model import CalibratedSource, LoadCounter
from greensweep.energy.machine import MachineMeter
from greensweep.energy.meter import Meter, UnmeteredMeter
from greensweep.energy.nvml_rapl import NvmlRaplSource
from greensweep.energy.processes import Processes
from greensweep.energy.replay import ReplayTable, ReplayTrace


def build_meter(
    config: schema.EnergyConfig,
    sweep: Path | None = None,
    *,
    device: str | None = None,
) -> Meter:
    """Return the configured meter, not yet started.

    Args:
        sweep: directory of the sweep that the metered run belongs to.
        device: where the run computes, cpu, cuda or cuda:1, say, which is the GPU that it is
            charged; None where that is not known, so that it is charged all that CUDA shows.

    Raises:
        EnergyError: a file that the meter reads is missing or wrong.
    """
    if isinstance(config, schema.ReplayConfig) and config.time_column is None:
        return ReplayTable(Path(config.path), config.column, config.component, config.unit)
    source = build_source(config, device)
    if source is None:
        return UnmeteredMeter()
    # What a record or a model says of this process alone is not the machine's to share out.
    own = isinstance(config, schema.ReplayConfig) or (
        isinstance(config, schema.CodeCarbonConfig) and config.tracking_mode == "process"
    )
    return MachineMeter(
        source,
        Ledger() if own else open_machine_ledger(),
        baseline=build_baseline(config),
        sweep=sweep,
        whole=not own,
    )


def build_source(config: schema.EnergyConfig, device: str | None = None) -> Source | None:
    """Return what opens the configured counters, or None where the meter has none.

    Args:
        device: as `build_meter` takes it.
    """
    match config:
        case schema.CodeCarbonConfig():
            source = CodeCarbonSource(
                config.tracking_mode, config.cpu_tdp_watts, config.gpus, device
            )
            idle, load = config.calibration.idle_watts, config.calibration.load_watts
            if idle is None or load is None:
                return source
            processes = Processes()
            counter = LoadCounter(idle, load, cores=processes.cores(), processes=processes)
            return CalibratedSource(source, counter)
        case schema.NvmlRaplConfig():
            return NvmlRaplSource(config.gpus, device)
        case schema.ReplayConfig() if config.time_column is not None:
            return ReplayTrace(
                Path(config.path), config.column, config.time_column, config.component
            )
    return None


def build_baseline(config: schema.EnergyConfig) -> IdleBaseline | None:
    """Return the idle baseline that the configuration asks for."""
    if not isinstance(config, schema.MachineEnergyConfig) or config.baseline == "none":
        return None
    return _baseline(config, measures=config.baseline == "measure")


def _baseline(config: schema.MachineEnergyConfig, *, measures: bool) -> IdleBaseline:
    return IdleBaseline(config.baseline_seconds, config.baseline_hours, measures=measures)


def measure_idle(config: schema.EnergyConfig) -> None:
    """Measure the idle machine before a sweep, where no model of its counters tells its power.

    Without it, joules of trials side by side would not compare with those of one alone. All GPUs
    that CUDA shows are measured at once: each trial may have another, and a machine that is busy.

    Raises:
        EnergyError: there is nothing to read here.
    """
    source = build_source(config)
    if not isinstance(config, schema.MachineEnergyConfig) or source is None:
        return
    counters = {counter.key: counter for counter in source.open()}
    try:
        is_known = all(each.idle_watts is not None for each in counters.values())
        if config.baseline == "measure" or (config.baseline == "auto" and not is_known):
            _baseline(config, measures=True).watts(counters)
    finally:
        source.close()
