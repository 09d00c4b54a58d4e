"""Refuse a sweep that cannot work before anything is trained."""

from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from greensweep.config import (
    TrainConfig,
    is_option,
    no_option,
    parse,
    raise_faults,
    unknown_options,
)
from greensweep.errors import GreensweepError, StudyError
from greensweep.study.space import read_space

_BASIC = "BasicSweeper"
_RESUMES = "GreensweepSweeper"


def check_sweep(app: DictConfig, hydra: DictConfig) -> None:
    """Check a composed sweep: the options themselves, the space, and the sweeper's numbers.

    Args:
        app: the program's config with what the command line fixes.
        hydra: Hydra's own config.

    Raises:
        GreensweepError: what is wrong; range faults all in one.
    """
    swept = _swept_keys(hydra)
    raise_faults(
        [
            *unknown_options(hydra, "hydra."),
            *(no_option(key, app) for key in swept if not _exists(app, hydra, key)),
        ]
    )
    config: TrainConfig = parse(app)
    if config.replay is not None:
        from greensweep.replay.source import replay_model

        replay_model(config)  # a table that answers nothing is found before the first trial
    sweeper = hydra.sweeper
    if sweeper._target_.endswith(_BASIC):
        if not swept and not sweeper.params:
            raise StudyError(
                "-m has nothing to sweep: list values, as in `-m seed=1,2,3`, or choose a "
                "sampling sweeper, as in `-m hydra/sweeper=optuna`"
            )
        return
    raise_faults(
        [
            f"hydra.sweeper.{name} must be at least 1, got {sweeper[name]}: "
            f"set hydra.sweeper.{name}={example}"
            for name, example in (("n_trials", 12), ("n_jobs", 1), ("n_workers", 1))
            if name in sweeper and sweeper[name] < 1
        ]
    )
    fixed = set(fixed_keys(hydra))
    searched = [each for each in read_space(app.space) if each.key not in fixed]
    if not searched and not swept:
        raise StudyError(
            "the space has nothing left to search: the command line fixes every option in it; "
            "leave one free or choose another space"
        )
    for dimension in searched:
        for value in dimension.ends:
            _check_value(app, dimension.key, value)


def check_sweep_folder(directory: Path) -> None:
    """Refuse a folder with the trials of an earlier sweep, for a sweeper that does not go on.

    Raises:
        StudyError: it has some.
    """
    from greensweep.search.folders import has_owner, trial_directories

    if has_owner(directory) or trial_directories(directory):
        raise StudyError(
            f"hydra.sweep.dir={directory} holds the trials of another sweep, which would be "
            "overwritten: name a new folder, or move that one away"
        )


def resumes(hydra: Any) -> bool:
    """Tell whether the sweeper goes on with an earlier sweep, and settles its trials itself."""
    return str(hydra.sweeper._target_).endswith(_RESUMES)


def fixed_keys(hydra: DictConfig) -> list[str]:
    """Return the options that the command line sets, to a value or a range of its own."""
    return [text.lstrip("+~").partition("=")[0] for text in task_overrides(hydra)]


def task_overrides(hydra: DictConfig) -> list[str]:
    """Return the overrides of the program's own options as they were written, not resolved."""
    overrides = OmegaConf.to_container(hydra.overrides.task, resolve=False)
    assert isinstance(overrides, list)
    return [str(text) for text in overrides]


def _swept_keys(hydra: DictConfig) -> list[str]:
    from hydra.core.override_parser.overrides_parser import OverridesParser

    parsed = OverridesParser.create().parse_overrides(task_overrides(hydra))
    return [str(override.key_or_group) for override in parsed if override.is_sweep_override()]


def _exists(app: DictConfig, hydra: DictConfig, key: str) -> bool:
    """Tell whether there is such an option, or group of Hydra's."""
    return key in hydra.runtime.choices or is_option(app, key)


def _check_value(app: DictConfig, key: str, value: Any) -> None:
    """Check that the option exists and takes the value at an end of its searched range."""
    tried = app.copy()
    try:
        OmegaConf.update(tried, key, value, force_add=False)
    except Exception as error:
        raise StudyError(
            f"space: {key} cannot be {value!r} with the chosen groups "
            f"({str(error).splitlines()[0]}): choose another space, or the model and optimizer "
            "that have this option"
        ) from error
    try:
        parse(tried)
    except GreensweepError as error:
        raise StudyError(f"space: {error}") from error
