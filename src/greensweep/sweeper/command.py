"""What the command of a sweep says: what it searches and fixes, whichever its sweeper."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from greensweep.config.folders import command_folder
from greensweep.config.grammar import ends_of
from greensweep.config.searched import Searched, read_searched
from greensweep.config.store import without_hydra
from greensweep.errors import StudyError
from greensweep.messages import message_of
from greensweep.secrets.data import has_secrets
from greensweep.tracking.tracker import SweepRun

BASIC = "BasicSweeper"
_RESUMES = "GreensweepSweeper"
_RANGE = re.compile(r"=.*\b(choice|interval|range)\(|^\+*space(\.|=\{)")


def sweep_of(hydra: Any) -> SweepRun:
    """Return the sweep that Hydra's configuration describes, as trackers know it."""
    directory = command_folder() / hydra.sweep.dir
    target = OmegaConf.select(hydra, "sweeper.sampler._target_", default=None)
    kind = target.rpartition(".")[2].removesuffix("Sampler") if target else "multirun"
    return SweepRun(directory, f"sweep {kind} {directory.name}", kind.lower())


def space_text(hydra: Any) -> str:
    """Return the name of the chosen space, and the ranges that the command line sets."""
    ranges = sorted(text for text in task_overrides(hydra) if _RANGE.search(text))
    return " ".join([OmegaConf.select(hydra, "runtime.choices.space") or "none", *ranges])


def task_overrides(hydra: Any) -> list[str]:
    """Return the overrides of the program's own options as they were written, not resolved."""
    overrides = OmegaConf.to_container(hydra.overrides.task, resolve=False)
    assert isinstance(overrides, list)
    return [str(text) for text in overrides]


def fixed_keys(hydra: DictConfig) -> list[str]:
    """Return the options that the command line sets, to a value or a range of its own."""
    return [text.lstrip("+~").partition("=")[0] for text in task_overrides(hydra)]


def swept_keys(hydra: DictConfig) -> list[str]:
    """Return the options that the command line sweeps over."""
    return [each.key for each in read_searched({}, task_overrides(hydra))[0]]


def searched_in(hydra: DictConfig) -> list[Searched]:
    """Return what a sweep searches, whichever its sweeper.

    Raises:
        GreensweepError: the space is malformed, or a range is.
    """
    try:
        params = OmegaConf.to_container(hydra.sweeper.params or OmegaConf.create({}), resolve=True)
    except OmegaConfBaseException as error:  # the space is read as it is resolved
        raise StudyError(message_of(error)) from error
    assert isinstance(params, dict)
    named = {str(key): given for key, given in params.items()}
    return read_searched(named, task_overrides(hydra))[0]


def declared_space(config: DictConfig) -> dict[str, Any]:
    """Return the chosen space as it is declared."""
    space = OmegaConf.to_container(config.space, resolve=True)
    assert isinstance(space, dict)
    return {str(key): declared for key, declared in space.items()}


def resumes(hydra: Any) -> bool:
    """Tell whether the sweeper goes on with an earlier sweep, and records its trials itself."""
    return str(hydra.sweeper._target_).endswith(_RESUMES)


def shared_config(config: DictConfig) -> DictConfig:
    """Return the program's configuration that a sweep's trials have in common.

    What is searched has the value that a single run would have, or else the first of its own.

    Raises:
        GreensweepError: the space is malformed, or a range is.
    """
    return with_values(without_hydra(config), searched_in(config.hydra))


def with_values(app: DictConfig, searched: Sequence[Searched]) -> DictConfig:
    """Return a configuration in which what has no value but a searched one has its first."""
    for each in searched:
        # OmegaConf 2.3's missing_keys resolves what a job alone can: ${hydra:runtime.output_dir}.
        parent, _, name = each.key.rpartition(".")
        node = OmegaConf.select(app, parent) if parent else app
        if isinstance(node, DictConfig) and OmegaConf.is_missing(node, name):
            OmegaConf.update(app, each.key, ends_of(each.override)[0])
    return app


def check_subdir(hydra: DictConfig) -> None:
    """Refuse one folder for several trials.

    Raises:
        StudyError: `hydra.sweep.subdir` does not name trials by their numbers; where the user lists
            the values of all trials, these may name them too.
    """
    sweep = OmegaConf.to_container(hydra.sweep, resolve=False)
    assert isinstance(sweep, dict)
    subdir = str(sweep["subdir"])
    is_listed = str(hydra.sweeper._target_).endswith(BASIC)
    if not ("job.num" in subdir or "job.id" in subdir or (is_listed and "${" in subdir)):
        raise StudyError(
            f"hydra.sweep.subdir={subdir} may give several trials one folder, where each would "
            "overwrite the one before: let it hold ${hydra.job.num}"
        )


def refuse_secrets(name: str, choices: Iterable[Any]) -> None:
    """Raise StudyError where a choice is a secret, which a study and its tables would hold."""
    if has_secrets(list(choices), name):
        raise StudyError(
            f"{name} cannot be searched, since its choices are secrets, which a study keeps: give "
            f"one of them as {name}='${{oc.env:NAME}}'"
        )
