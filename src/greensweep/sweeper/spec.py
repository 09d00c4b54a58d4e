"""From `hydra.sweeper` and the command's overrides to a search."""

import math
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy
from omegaconf import DictConfig
from optuna.distributions import BaseDistribution

from greensweep.config.folders import command_folder, storage_url
from greensweep.config.grammar import as_override, escape_interpolations, kept_as_override
from greensweep.config.schema_energy import EnergyConfig
from greensweep.config.sweeper import (
    AutoSamplerConfig,
    EiPerJouleConfig,
    ScaledTpeConfig,
    SweeperConfig,
)
from greensweep.energy import declared_grid
from greensweep.energy.units import JOULES_PER_KWH
from greensweep.errors import StudyError, install_command
from greensweep.record.reported import split_of
from greensweep.search.constraints import of_energy
from greensweep.search.optuna_internals import packages_of
from greensweep.search.planned_run import PlannedRun
from greensweep.search.spec import SearchSpec
from greensweep.search.stopping import least_gain_per_joule
from greensweep.sweeper.command import refuse_secrets
from greensweep.sweeper.options import PREFIX, energy_of, is_metered
from greensweep.sweeper.space import read_points, read_space

_MULTI_FIDELITY = "greensweep.search.samplers.MultiFidelitySampler"


def build_spec(
    config: DictConfig,
    options: SweeperConfig,
    arguments: Sequence[str],
    *,
    run: PlannedRun | None,
    parallel: bool,
) -> tuple[SearchSpec, list[str]]:
    """Return the search, and the overrides that all of its trials share.

    Args:
        arguments: the command's overrides of the program's own options.
        run: as the present configuration plans it; None where that is not known.
        parallel: trials run side by side.

    Raises:
        GreensweepError: the search makes no sense.
    """
    energy = energy_of(options, run)
    grid = declared_grid(energy)
    directory = command_folder() / config.hydra.sweep.dir
    space, shared = read_space(options.params or {}, arguments, config)
    if not space.distributions:
        raise StudyError(
            "there is nothing to search: give ranges in hydra.sweeper.params, or on the command "
            "line, as in 'optimizer.learning_rate=tag(log,interval(1e-4,1e-1))'"
        )
    directions = _directions(options.direction)
    target, sampler = _sampler(options.sampler, len(directions))
    if options.fidelities:
        target = _with_fidelities(options, target, len(directions), space.distributions)
    if target.endswith("GridSampler") and space.size == math.inf:
        raise StudyError(
            "a grid needs values, not an interval: write choice(…) or range(…,…,step=…)"
        )
    seed = options.seed if options.seed is not None else sampler.pop("seed", None)
    spec = SearchSpec(
        directory=directory,
        study_name=options.study_name,
        storage=_storage(options, directory),
        directions=directions,
        metric=options.metric and split_of(options.metric)[1],
        distributions=space.distributions,
        conditions=space.conditions,
        n_trials=options.n_trials,
        sampler=(target, sampler),
        seed=seed if seed is not None else int(numpy.random.SeedSequence().generate_state(1)[0]),
        fixed=tuple(shared),
        changeable=tuple(options.changeable),
        pruner=options.pruner,
        pruning=options.pruning,
        budget=options.budget,
        stop=options.stop,
        constraints={name: float(bound) for name, bound in options.constraints.items()},
        price_per_kilojoule=options.price_per_kilojoule,
        enqueue=read_points(options.enqueue, config, space),
        extend=options.extend,
        parallel=parallel,
        racing=options.racing,
        fidelities=tuple(
            tuple(
                f"{name}={as_override(escape_interpolations(value))}"
                for name, value in each.items()
            )
            for each in options.fidelities
        ),
        max_failure_rate=options.max_failure_rate,
        kg_per_joule=grid.kilograms_per_kwh / JOULES_PER_KWH if grid else None,
    )
    _check(spec, energy, is_metered(options, energy, run))
    _check_packages(spec)
    return spec, shared


def _storage(options: SweeperConfig, directory: Path) -> str:
    """Return where the study is kept.

    Raises:
        StudyError: in a file that several machines must not write to.
    """
    on_slurm = options.executor == "slurm"
    if on_slurm and options.storage is not None and options.storage.startswith("sqlite"):
        raise StudyError(
            f"{PREFIX}storage={options.storage} is a SQLite file, which nodes of a cluster must "
            "not share: leave it out, which keeps journal.log in the sweep's folder, or give a "
            "server, postgresql+psycopg://USER@HOST/NAME, say"
        )
    return storage_url(options.storage, directory, several_machines=on_slurm)


def trial_overrides(params: Mapping[str, Any], shared: Sequence[str]) -> list[str]:
    """Return what a trial sets, in Hydra's syntax, by its parameters as Optuna keeps them."""
    return [*(f"{name}={kept_as_override(value)}" for name, value in params.items()), *shared]


def _check(spec: SearchSpec, energy: EnergyConfig, metered: bool) -> None:
    for name, each in spec.distributions.items():
        refuse_secrets(name, getattr(each, "choices", ()))
    if spec.budget.emissions_kg is not None and not spec.kg_per_joule:
        raise StudyError(
            "hydra.sweeper.budget.emissions_kg needs a declared grid: set "
            f"{energy.prefix}country=NLD, say"
        )
    one = len(spec.directions) == 1
    if spec.pruner == "pareto" and not spec.weighs_energy:
        raise StudyError(
            "hydra.sweeper.pruner=pareto weighs a metric against energy, so it needs "
            "hydra.sweeper.direction=[maximize,minimize] or [minimize,minimize], got "
            f"{list(spec.directions)}: set hydra.sweeper.pruner=auto"
        )
    if spec.pruner not in ("auto", "none", "pareto") and not one:
        raise StudyError(
            f"hydra.sweeper.pruner={spec.pruner} compares one objective, and there are "
            f"{len(spec.directions)}: set hydra.sweeper.pruner=pareto"
        )
    if spec.stop.min_gain_per_kg_co2e is not None and not spec.kg_per_joule:
        raise StudyError(
            "hydra.sweeper.stop.min_gain_per_kg_co2e needs a declared grid: set "
            f"{energy.prefix}country=NLD, say"
        )
    if least_gain_per_joule(spec) is not None and not one:
        raise StudyError(
            "hydra.sweeper.stop weighs one objective against energy, and there are "
            f"{len(spec.directions)}: set objective=accuracy, or a budget instead"
        )
    if spec.racing and not one:
        raise StudyError(
            "hydra.sweeper.racing compares one objective, and there are "
            f"{len(spec.directions)}: set hydra.sweeper.racing=false"
        )
    needing = of_energy(spec)
    if needing and not metered:
        way = "energy=codecarbon"
        if energy.prefix != EnergyConfig.prefix:  # of another program
            way = (
                "hydra.sweeper.meter=trials with another meter than unmetered, or "
                "hydra.sweeper.meter=search where the program reports joules itself"
            )
        raise StudyError(
            f"{needing[0]} needs energy figures, and no trial has any: set {way}, or leave it out"
        )


def _check_packages(spec: SearchSpec) -> None:
    """Refuse a sampler without a package that it imports only when it draws."""
    sampler = spec.build_sampler(0)
    for package in packages_of(sampler):
        if find_spec(package) is None:
            raise StudyError(
                f"hydra.sweeper.sampler: {type(sampler).__name__} needs the package {package}: "
                f"{install_command(package) or f'pip install {package}'}, or choose "
                "hydra/sweeper/sampler=tpe, say"
            )


def _directions(given: Any) -> tuple[Any, ...]:
    directions = tuple(given) if isinstance(given, list | tuple) else (given,)
    names = tuple(getattr(each, "name", each) for each in directions)
    if not names or any(name not in ("minimize", "maximize") for name in names):
        raise StudyError(
            f"hydra.sweeper.direction must be minimize or maximize, one per objective, got {given}"
        )
    return names


def _sampler(config: Any, objectives: int) -> tuple[str, dict[str, Any]]:
    if isinstance(config, AutoSamplerConfig):
        return _sampler(EiPerJouleConfig() if objectives == 1 else ScaledTpeConfig(), objectives)
    values = dict(config) if isinstance(config, dict) else dict(vars(config))
    target = str(values.pop("_target_"))
    return target, {name: value for name, value in values.items() if not name.startswith("_")}


def _with_fidelities(
    options: SweeperConfig,
    target: str,
    objectives: int,
    distributions: Mapping[str, BaseDistribution],
) -> str:
    """Return the sampler that chooses among fidelities, where `target` can."""
    name = f"{PREFIX}fidelities"
    if objectives > 1 or target != EiPerJouleConfig._target_:
        raise StudyError(
            f"{name} needs one objective and hydra/sweeper/sampler=ei_per_joule, which alone "
            "weighs what a cheaper run shows: set both, or leave fidelities out"
        )
    if options.racing:
        raise StudyError(f"{name} and {PREFIX}racing exclude each other: set one of them")
    for each in options.fidelities:
        searched = [f"{option} is searched itself" for option in each if option in distributions]
        if not each or searched:
            reason = searched[0] if searched else "one of them is empty"
            raise StudyError(f"{name}: {reason}: give {{training.epochs: 3}}, say")
    return _MULTI_FIDELITY
