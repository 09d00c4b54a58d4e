"""The sweeper's own options, `hydra.sweeper.*`, checked before anything begins."""

import logging

from omegaconf import DictConfig, OmegaConf, read_write

from greensweep.config.energy_options import energy_config
from greensweep.config.folders import use_sweep_folder
from greensweep.config.metrics import METRICS, direction_fault
from greensweep.config.options import option_faults
from greensweep.config.schema_energy import EnergyConfig, UnmeteredConfig
from greensweep.config.store import raise_faults
from greensweep.config.sweeper import SweeperConfig
from greensweep.config.unknown import unknown_options
from greensweep.errors import ConfigError
from greensweep.nested import dotted
from greensweep.record.reported import direction_doubt, known_direction, split_of
from greensweep.search.constraint_errors import constraint_errors
from greensweep.search.planned_run import PlannedRun
from greensweep.sweeper.command import check_subdir

PREFIX = "hydra.sweeper."

log = logging.getLogger(__name__)


def sweeper_options(config: DictConfig, run: PlannedRun | None) -> SweeperConfig:
    """Return the sweeper's own options, checked.

    Args:
        run: as the present configuration plans it; None where that is not known.

    Raises:
        GreensweepError: one is out of its range; all faults in one.
    """
    _use_direction(config)
    options = OmegaConf.to_object(config.hydra.sweeper)
    assert isinstance(options, SweeperConfig)
    faults = [*option_faults(options, PREFIX), *unknown_options(config.hydra.sweeper, PREFIX)]
    given = options.constraints
    options.constraints = dotted(given) if isinstance(given, dict) else {}
    faults += constraint_errors(options.constraints, run)
    try:
        energy_of(options, run)
    except ConfigError as error:
        faults.append(str(error))
    if options.metric and run is not None:
        faults += ["hydra.sweeper.metric is of programs of one's own: set objective.metric instead"]
    elif options.metric and (split := split_of(options.metric)[0]) != "validation":
        faults += [f"hydra.sweeper.metric={options.metric} is of {split}, which selects no trial"]
    elif options.metric:
        metric, given = METRICS.get(split_of(options.metric)[1]), options.direction
        first = given[0] if isinstance(given, list) and given else given
        faults += filter(None, [direction_fault(f"{PREFIX}direction", metric, first)])
        asked = getattr(first, "name", first)
        doubt = direction_doubt(f"{PREFIX}direction", split_of(options.metric)[1], asked)
        if doubt and not faults:
            log.warning(doubt)
    raise_faults(faults)
    check_subdir(config.hydra)
    return options


def _use_direction(config: DictConfig) -> None:
    """Search for a metric in the direction that its name tells, where none was asked for.

    Without a name it is the stock sweeper's. The jobs that the sweep composes have it too.
    """
    sweeper = config.hydra.sweeper
    if sweeper.direction is not None:
        return
    known = known_direction(split_of(sweeper.metric)[1]) if sweeper.metric else None
    with read_write(config.hydra):
        sweeper.direction = known or "minimize"
        config.hydra.overrides.hydra.append(f"{PREFIX}direction={sweeper.direction}")


def use_study_folder(config: DictConfig) -> None:
    """Name the sweep's folder by its study, where the user did not choose it.

    The same command then finds its study again, which no time stamp would let it.
    """
    chosen = OmegaConf.to_container(config.hydra.sweep, resolve=False)
    assert isinstance(chosen, dict)
    if "${now:" in str(chosen["dir"]):
        use_sweep_folder(config, f"multirun/{config.hydra.sweeper.study_name}")


def energy_of(options: SweeperConfig, run: PlannedRun | None) -> EnergyConfig:
    """Return the sweeper's meter, or the default: that of our own runs, or of another program.

    Raises:
        ConfigError: it does not exist, or has an option that does not, or out of its range.
    """
    prefix = EnergyConfig.prefix if run else f"{PREFIX}energy."
    energy = energy_config(options.energy, prefix=prefix)
    energy.prefix = prefix
    return energy


def search_meter(options: SweeperConfig, run: PlannedRun | None) -> EnergyConfig:
    """Return the meter of what the search itself does, and of trials that it meters."""
    return UnmeteredConfig() if options.meter == "nothing" else energy_of(options, run)


def is_metered(options: SweeperConfig, energy: EnergyConfig, run: PlannedRun | None) -> bool:
    """Tell whether trials have energy figures; those of a program may, that measures by itself."""
    if run is not None:
        return run.is_metered
    if options.meter == "trials":
        return not isinstance(energy, UnmeteredConfig)
    return options.meter == "search"
