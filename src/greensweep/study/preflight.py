"""Refuse a sweep that cannot work before anything is trained."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig

from greensweep.config.grammar import ends_of
from greensweep.config.schema import TrainConfig
from greensweep.config.schema_dataset import TableConfig
from greensweep.config.searched import Searched
from greensweep.config.store import parse, raise_faults, without_hydra
from greensweep.config.unknown import unknown_options
from greensweep.errors import StudyError
from greensweep.search.folders import has_owner, trial_directories
from greensweep.study.searched_values import condition_faults, value_faults
from greensweep.sweeper.command import BASIC, refuse_secrets, searched_in, with_values

log = logging.getLogger(__name__)


def check_sweep(config: DictConfig) -> None:
    """Check a composed sweep: the options themselves, what is searched, and the sweeper's numbers.

    Args:
        config: the program's with what the command line fixes, and Hydra's own.

    Raises:
        GreensweepError: what is wrong; faults of one kind all in one.
    """
    hydra, sweeper = config.hydra, config.hydra.sweeper
    is_basic = str(sweeper._target_).endswith(BASIC)
    searched = searched_in(hydra)
    for each in searched:
        refuse_secrets(each.key, ends_of(each.override))
    raise_faults(unknown_options(hydra, "hydra."))
    app = with_values(without_hydra(config), searched)
    raise_faults(list(condition_faults(config, app)))
    run: TrainConfig = parse(app)
    _check_direction(config)
    if run.replay is not None:
        from greensweep.runs.replay.source import replay_model

        replay_model(run)  # a table that answers nothing is found before the first trial
    if not searched and is_basic:
        raise StudyError(
            "-m has nothing to sweep: list values, as in `-m seed=1,2,3`, or choose a "
            "sampling sweeper, as in `-m hydra/sweeper=optuna`"
        )
    if hydra.launcher.get("n_jobs") == 0:
        raise StudyError(
            "hydra.launcher.n_jobs=0 lets no job run: set how many run at a time, or -1 for one "
            "on each core"
        )
    raise_faults(
        [
            f"hydra.sweeper.{name} must be at least 1, got {sweeper[name]}: "
            f"set hydra.sweeper.{name}={example}"
            for name, example in (("n_trials", 12), ("n_jobs", 1), ("n_workers", 1))
            if name in sweeper and isinstance(sweeper[name], int) and sweeper[name] < 1
        ]
    )
    if not searched and not config.space:
        raise StudyError(
            f"space={hydra.runtime.choices.space} names no option: name some, each with its range"
        )
    if not searched:
        raise StudyError(
            "the space has nothing left to search: the command line fixes every option in it; "
            "leave one free or choose another space"
        )
    raise_faults([*value_faults(config, app, searched)])
    if isinstance(run.dataset, TableConfig) and run.replay is None:
        _fit_batches(config, run, searched)


def _fit_batches(config: DictConfig, run: TrainConfig, searched: Sequence[Searched]) -> None:
    """Read the table, and leave out of the space batches that its training split does not fill.

    Raises:
        GreensweepError: the table cannot be read, or fills none of them.
    """
    from greensweep.data import load_splits
    from greensweep.tasks import targets_of

    if any(each.key.startswith("dataset") for each in searched):
        return  # each trial has a table of its own
    samples = len(load_splits(run.dataset, run.seed, targets_of(run.task)).train)
    for each in searched:
        sizes = ends_of(each.override)
        if each.key != "training.batch_size" or max(sizes) <= samples:
            continue
        filled = [size for size in sizes if size <= samples]
        said = f"training.batch_size is searched up to {max(sizes)}, and {config.dataset.path} has "
        said += f"{samples} training samples"
        if not filled or not each.in_params or "choices" not in config.space.get(each.key, ()):
            raise StudyError(f"{said}: add training.batch_size={min(32, samples)}, say")
        config.space[each.key].choices = filled
        log.warning(f"{said}: it is searched up to {max(filled)}.")


def _check_direction(config: DictConfig) -> None:
    given, expected = (
        _directions(each.get("direction")) for each in (config.hydra.sweeper, config.objective)
    )
    if given and given != expected:
        raise StudyError(
            f"hydra.sweeper.direction={given} is not that of objective={config.objective.name}, "
            f"{expected}: leave it out, since it follows from objective.metric"
        )


def _directions(given: Any) -> str:
    """Return one direction, or several in brackets; nothing where there is none."""
    if isinstance(given, ListConfig):
        return f"[{','.join(map(_directions, given))}]"
    return str(getattr(given, "name", given or ""))


def check_sweep_folder(directory: Path) -> None:
    """Refuse a folder with the trials of an earlier sweep, for a sweeper that does not go on.

    Raises:
        StudyError: it has some.
    """
    if has_owner(directory) or trial_directories(directory):
        raise StudyError(
            f"hydra.sweep.dir={directory} holds the trials of another sweep, which would be "
            "overwritten: name a new folder, or move that one away"
        )
