"""All that greensweep uses of Hydra's private interface, each with the reason.

`tests/config/test_hydra_internals.py` holds each of them to the Hydra that is installed.
"""

import copy
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import hydra.core.utils
from hydra._internal import defaults_list
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import CachingConfigRepository
from hydra._internal.grammar import grammar_functions
from hydra.core.utils import JobReturn, JobStatus
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf

from greensweep.config.omegaconf_internals import masked_yaml
from greensweep.errors import StudyError
from greensweep.files import write_text


def let_choices_be_null() -> None:
    """Let choice(…) and shuffle(…) take null, as `OPTION=1,null` does.

    Hydra checks the arguments of its functions by their annotations, and offers no other.
    """
    for function in (grammar_functions.choice, grammar_functions.shuffle):
        function.__annotations__["args"] |= None


def fault_of(returned: JobReturn) -> BaseException | None:
    """Return what a job raised, None where it did not fail.

    The public `return_value` raises it, after a line of its own on stderr.
    """
    fault = returned._return_value if returned.status == JobStatus.FAILED else None
    return fault if isinstance(fault, BaseException | None) else StudyError(str(fault))


class SweepLoader(ConfigLoaderImpl):
    """Composes the trials of a sweep as Hydra does, in a third of the time.

    Hydra reads and merges all configuration files anew for each job. Here the files are read once,
    as they were before the first trial, and merged once for each choice of groups: what trials set
    beside these is applied to a copy, as Hydra applies it.
    """

    def __init__(self, config_search_path: Any) -> None:
        super().__init__(config_search_path)
        self._read: dict[str, dict[str, Any]] = defaultdict(dict)  # files, by where they are sought
        self._merged: dict[str, DictConfig] = {}  # by the list of defaults

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what another process reads by itself."""
        return {**vars(self), "_read": defaultdict(dict), "_merged": {}}

    def _parse_overrides_and_create_caching_repo(
        self, *given: Any, **named: Any
    ) -> tuple[Any, CachingConfigRepository]:
        parsed, repository = super()._parse_overrides_and_create_caching_repo(*given, **named)
        repository.cache = self._read[str(repository.get_sources())]
        return parsed, repository

    def _compose_config_from_defaults_list(self, defaults: Any, repo: Any) -> DictConfig:
        key = f"{defaults}{repo.get_sources()}"
        if key not in self._merged:
            # Merging takes over parts of what is read, so that has to be read anew.
            unread = CachingConfigRepository(repo.delegate)
            self._merged[key] = super()._compose_config_from_defaults_list(defaults, unread)
        return copy.deepcopy(self._merged[key])


def sweep_context(context: HydraContext) -> HydraContext:
    """Return what composes the trials of a sweep, one after another, sooner."""
    loader = context.config_loader
    is_hydras = type(loader) is ConfigLoaderImpl
    return (
        replace(context, config_loader=SweepLoader(loader.get_search_path()))
        if is_hydras
        else context
    )


def _let_defaults_follow_choices() -> None:
    """Let a program's defaults follow `${hydra/sweeper}` under Hydra 1.3, as 1.4 does.

    1.3 asks for it before it comes to its own groups, but knows by then what is chosen of them.
    """
    known = getattr(defaults_list, "_create_interpolation_map", None)
    if known is None:
        return

    def chosen(overrides: Any, *others: Any) -> DictConfig:
        defaults = {"hydra/sweeper": "basic", "hydra/sweeper/sampler": "auto"}
        choices = {**defaults, **overrides.override_choices}
        return OmegaConf.merge(choices, known(overrides, *others))  # type: ignore[return-value]

    defaults_list._create_interpolation_map = chosen  # type: ignore[attr-defined]


def mask_kept_configurations() -> None:
    """Mask what Hydra keeps of each job in `.hydra`, whatever program it is.

    It does so before any of its callbacks could, and offers no other place to.
    """

    def save(cfg: Any, filename: str, output_dir: Path) -> None:
        output_dir.mkdir(parents=True, exist_ok=True)
        write_text(output_dir / filename, masked_yaml(cfg))

    hydra.core.utils._save_config = save


_let_defaults_follow_choices()  # before any program is composed
