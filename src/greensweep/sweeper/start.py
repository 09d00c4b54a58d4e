"""Where a sweep begins: at the trials of an earlier command, or anew."""

import json
import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import optuna
from omegaconf import DictConfig, OmegaConf
from optuna.trial import FrozenTrial, TrialState

from greensweep.config.sweeper import SweeperConfig
from greensweep.errors import StudyError, plural
from greensweep.search.folders import check_owner, holds_sweep
from greensweep.search.made_from import changed_inputs, digest_inputs, keep_inputs
from greensweep.search.records import FUTILE_TRIALS, counted
from greensweep.search.spec import SearchSpec
from greensweep.search.storage import find_study, open_storage, storage_faults
from greensweep.secrets.data import masked

log = logging.getLogger(__name__)

# Of the sweeper's options: a study goes on with more trials, workers or budget.
_DECIDES_TRIALS = (
    *("params", "direction", "metric", "sampler", "seed", "enqueue", "fidelities"),
    *("pruner", "pruning", "racing", "stop", "constraints", "price_per_kilojoule"),
)


@dataclass(frozen=True)
class Start:
    """How a sweep begins.

    Attributes:
        anew: an earlier sweep of its name is put aside first; `reason` says why, where the user
            did not ask for it.
        earlier: trials that it goes on from.
        made_from: the digests of what it is made from.
    """

    anew: bool = False
    reason: str | None = None
    earlier: Sequence[FrozenTrial] = ()
    made_from: Mapping[str, str] = field(default_factory=dict)


def find_start(config: DictConfig, options: SweeperConfig, spec: SearchSpec) -> Start:
    """Return how a sweep begins; nothing is changed yet.

    Raises:
        StudyError: its folder is another study's, or its storage failed.
    """
    asked = options.made_from
    made_from = digest_inputs(_configuration(config, options), asked) if asked else {}
    changed = changed_inputs(spec.directory, made_from) if asked else []
    if options.fresh:
        return Start(anew=True, made_from=made_from)
    if changed:
        reason = f"{', '.join(changed)} changed since the study began"
        return Start(anew=True, reason=reason, made_from=made_from)
    with storage_faults(spec.storage):
        study = find_study(spec)
        check_owner(spec, study)
        earlier = counted(study.get_trials(deepcopy=False)) if study else []
    # What was at fault may be mended by now, and there is nothing to go on from.
    futile = len(earlier) >= min(spec.total, FUTILE_TRIALS)
    if futile and all(each.state == TrialState.FAIL for each in earlier):
        reason = "all trials of the study had failed"
        return Start(anew=True, reason=reason, made_from=made_from)
    return Start(earlier=earlier, made_from=made_from)


def make_folder(spec: SearchSpec, start: Start) -> None:
    """Make the sweep's folder, an earlier one put aside where it begins anew.

    Raises:
        StudyError: what is no sweep's would move with it.
    """
    if start.reason is not None:
        log.info(f"Starting anew: {start.reason}.")
    if spec.total < spec.n_trials:
        log.info(
            f"The space has {plural(spec.total, 'point')}, so there are no {spec.n_trials} trials."
        )
    if start.anew:
        _put_aside(spec)
    spec.directory.mkdir(parents=True, exist_ok=True)
    if start.made_from:
        keep_inputs(spec.directory, start.made_from)


def _configuration(config: DictConfig, options: SweeperConfig) -> str:
    """Return what decides which trials there are and what they come to, without secrets."""
    kept = [str(name) for name in config if name not in ("hydra", *options.changeable)]
    nodes = {name: OmegaConf.select(config, name) for name in kept}
    plain = {
        name: OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node
        for name, node in nodes.items()
    }
    search = {name: getattr(options, name) for name in _DECIDES_TRIALS}
    return json.dumps(masked({**plain, "hydra": search}), sort_keys=True, default=str)


def _put_aside(spec: SearchSpec) -> None:
    """Move an earlier sweep of this name away: what was measured is never deleted."""
    # Into a folder that is there already, as within one second, it would be moved.
    stamp = datetime.now().strftime("%Y-%m-%d_%H-%M-%S-%f")
    if holds_sweep(spec.directory):
        if Path.cwd().is_relative_to(spec.directory.resolve()):
            raise StudyError(
                f"hydra.sweeper.fresh=true would put {spec.directory} aside, where you work: set "
                "hydra.sweep.dir to a folder of its own"
            )
        shutil.move(spec.directory, spec.directory.with_name(f"{spec.directory.name}.{stamp}"))
    with storage_faults(spec.storage):
        file = spec.storage_file
    if file is not None and file.resolve().is_relative_to(spec.directory.resolve()):
        return
    storage = open_storage(spec.storage)
    if any(each.study_name == spec.study_name for each in storage.get_all_studies()):
        aside = f"{spec.study_name}.{stamp}"
        optuna.copy_study(
            from_study_name=spec.study_name,
            from_storage=storage,
            to_storage=storage,
            to_study_name=aside,
        )
        optuna.delete_study(study_name=spec.study_name, storage=storage)
