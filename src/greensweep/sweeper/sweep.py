"""Run a search of a Hydra program: in this process, in workers, or through a launcher."""

import json
import logging
import shutil
from collections.abc import Sequence
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import optuna
from hydra.errors import CompactHydraException
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf
from optuna.trial import FrozenTrial, TrialState

from greensweep.config.grammar import read_kept
from greensweep.config.schema_energy import CodeCarbonConfig, EnergyConfig, UnmeteredConfig
from greensweep.config.sweeper import SweeperConfig
from greensweep.energy import declared_grid
from greensweep.energy.units import JOULES_PER_KWH
from greensweep.errors import GreensweepError, StudyError
from greensweep.files import write_text
from greensweep.record.result import read_results
from greensweep.search.callbacks import call_before_first_trial
from greensweep.search.cost import SearchCost, search_cost, write_search_cost
from greensweep.search.folders import (
    check_owner,
    check_present,
    holds_sweep,
    keep_owner,
    trial_directories,
)
from greensweep.search.interrupt import graceful, interrupted
from greensweep.search.made_from import changed_inputs, digest_inputs, keep_inputs
from greensweep.search.optuna_internals import packages_of
from greensweep.search.placement import gpus_of_worker, workers_of
from greensweep.search.planned_run import PlannedRun
from greensweep.search.pool import run_workers
from greensweep.search.progress_line import shown
from greensweep.search.records import counted, outcome_of
from greensweep.search.spec import SearchSpec
from greensweep.search.storage import find_study, open_storage, storage_faults
from greensweep.search.terminal import print_search
from greensweep.secrets import masked
from greensweep.sweeper.command import check_subdir, shared_config
from greensweep.sweeper.confirm import refuse_long
from greensweep.sweeper.preview import preview
from greensweep.sweeper.spec import (
    build_spec,
    sweeper_options,
    use_study_folder,
)
from greensweep.sweeper.worker import Plan, Worker, guard_program, open_once

log = logging.getLogger(__name__)

INTERRUPTED = 130

# Of the sweeper's options: a study goes on with more trials, workers or budget.
_DECIDES_TRIALS = (
    *("params", "direction", "sampler", "seed", "enqueue", "fidelities"),
    *("pruner", "pruning", "racing", "stop", "constraints", "price_per_kilojoule"),
)


class Sweep:
    """A sweep of a Hydra program.

    Args:
        config: as Hydra composed it, with `hydra`.
        task: the program's function.
        plan: tells of a composed configuration which run it plans, where that is known.
    """

    def __init__(
        self, config: DictConfig, context: HydraContext, task: TaskFunction, plan: Plan
    ) -> None:
        use_study_folder(config)
        self._config, self._context, self._task, self._plan = config, context, task, plan

    def run(self, arguments: Sequence[str]) -> None:
        """Search, and leave `study.json` and `optimization_results.yaml` in the sweep's folder.

        Raises:
            CompactHydraException: the search cannot be run, or go on.
            SystemExit: it was interrupted, with status 130.
        """
        guard_program(self._config)
        try:
            self._run(arguments)
        except GreensweepError as error:
            raise CompactHydraException(f"Error: {error}") from error
        except KeyboardInterrupt as error:
            raise SystemExit(INTERRUPTED) from error
        if interrupted():
            raise SystemExit(INTERRUPTED)

    def _run(self, arguments: Sequence[str]) -> None:
        run = self._plan(shared_config(self._config))
        options = sweeper_options(self._config, run)
        _check_name(options.study_name)
        check_subdir(self._config.hydra)
        gpus = gpus_of_worker(options, run)
        workers = workers_of(options, gpus)
        energy = _energy(options.energy)
        grid = declared_grid(energy)
        per_kwh = None if grid is None else grid.emissions_kg(1.0)
        spec, shared = build_spec(
            self._config,
            options,
            arguments,
            parallel=workers > 1,
            kg_per_joule=None if per_kwh is None else per_kwh / JOULES_PER_KWH,
            metered=_is_metered(options, energy, run),
        )
        _check_packages(spec)
        worker = Worker(
            self._config,
            self._context,
            self._task,
            self._plan,
            spec,
            tuple(shared),
            energy=energy if options.meter != "nothing" else UnmeteredConfig(name="unmetered"),
            meters_trials=options.meter == "trials",
            gpus=gpus,
        )
        apart = workers > 1 or options.gpus_per_worker is not None
        if options.preview:
            preview(worker, options.preview_overrides, spec.total)
            return
        inputs: dict[str, str] = {}
        changed: list[str] = []
        if options.made_from:
            inputs = digest_inputs(self._configuration(options), options.made_from)
            changed = changed_inputs(spec.directory, inputs)
        with storage_faults(spec.storage):
            earlier: list[FrozenTrial] = []
            if not (options.fresh or changed):
                known = find_study(spec)
                check_owner(spec, known)
                earlier = counted(known.get_trials(deepcopy=False)) if known else []
            why = _why_anew(spec, changed, earlier)
            anew = options.fresh or why is not None
            refuse_long(worker, options, [] if anew else earlier)
        if why is not None:
            log.info(f"Starting anew: {why}.")
        if spec.total < spec.n_trials:
            log.info(f"The space has {spec.total} points, so there are no {spec.n_trials} trials.")
        if anew:
            _put_aside(spec)
        spec.directory.mkdir(parents=True, exist_ok=True)
        if inputs:
            keep_inputs(spec.directory, inputs)
        with storage_faults(spec.storage):
            study = open_once(spec, anew=True)
            keep_owner(spec, study)
            queue = worker.queue(study)
            queue.prepare()
        # What is broken of earlier trials is told before anything trains.
        read_results(trial_directories(spec.directory))
        call_before_first_trial()
        with storage_faults(spec.storage):
            total = spec.total
            try:
                with shown(spec, study, total):
                    if apart and worker.launches_here:
                        run_workers(worker, workers, queue.recover_dead)
                    else:
                        with graceful():
                            worker.work(1 if worker.launches_here else workers)
            finally:
                check_present(spec.directory)
                ended = "interrupted" if interrupted() else queue.ended()
                found = search_cost(spec, study, total, ended)
                write_search_cost(found, spec.directory)
                _write_best(study, found, spec.directory)
            trials = study.get_trials(deepcopy=False)
            if options.summary:
                print_search(trials, found)
            _require_one(trials)

    def _configuration(self, options: SweeperConfig) -> str:
        """Return what decides which trials there are and what they come to, without secrets."""
        kept = [str(name) for name in self._config if name not in ("hydra", *options.changeable)]
        nodes = {name: OmegaConf.select(self._config, name) for name in kept}
        plain = {
            name: OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node
            for name, node in nodes.items()
        }
        search = {name: getattr(options, name) for name in _DECIDES_TRIALS}
        return json.dumps(masked({**plain, "hydra": search}), sort_keys=True, default=str)


def _why_anew(
    spec: SearchSpec, changed: Sequence[str], earlier: Sequence[FrozenTrial]
) -> str | None:
    """Say why an earlier study is put aside; None where there is none, or it goes on."""
    if changed:
        return f"{', '.join(changed)} changed since the study began"
    # What was at fault may be mended by now, and there is nothing to go on from.
    if len(earlier) >= spec.total and all(each.state == TrialState.FAIL for each in earlier):
        return f"all {len(earlier)} trials of the study had failed"
    return None


def _require_one(trials: Sequence[FrozenTrial]) -> None:
    """Raise a StudyError where trials ended, but none of them well."""
    if interrupted() or any(trial.state == TrialState.COMPLETE for trial in trials):
        return
    outcomes = [outcome for trial in trials if (outcome := outcome_of(trial)) is not None]
    if any(each.status == "stopped" for each in outcomes):
        return  # by a budget, which did what it was asked to
    errors = [each.error for each in outcomes if each.error]
    if errors:
        raise StudyError(f"none of {len(errors)} trials finished; the first: {errors[0]}")


def _energy(given: Any) -> EnergyConfig:
    """Return the sweeper's meter: an energy group of greensweep's own, or the default."""
    if given is None:
        return CodeCarbonConfig()
    if not isinstance(given, EnergyConfig):
        raise StudyError(
            "hydra.sweeper.energy must be an energy group, as in hydra.sweeper.energy='${energy}', "
            f"got {given}"
        )
    return given


def _is_metered(options: SweeperConfig, energy: EnergyConfig, run: PlannedRun | None) -> bool:
    """Tell whether trials have energy figures; those of a program may, that measures by itself."""
    if run is not None:
        return run.is_metered
    if options.meter == "trials":
        return not isinstance(energy, UnmeteredConfig)
    return options.meter == "search"


def _write_best(study: optuna.Study, found: SearchCost, directory: Path) -> None:
    """Leave the best as the stock sweeper does."""
    best = [study.get_trials(deepcopy=False)[number] for number in found.best_trials]
    points = [{name: read_kept(value) for name, value in each.params.items()} for each in best]
    solutions = [
        {"params": params, "values": list(trial.values)}
        for params, trial in zip(points, best, strict=True)
    ]
    results: dict[str, Any] = {"name": "greensweep", "solutions": solutions}
    if len(study.directions) == 1 and best:
        results = {"name": "greensweep", "best_params": points[0], "best_value": best[0].value}
    text = OmegaConf.to_yaml(OmegaConf.create(results))
    write_text(directory / "optimization_results.yaml", text)


def _check_name(name: str) -> None:
    """Refuse a study's name that does not name one folder: another's would be taken for it.

    Raises:
        StudyError: it does not.
    """
    if not name.strip(". ") or "/" in name or "\\" in name:
        raise StudyError(
            "hydra.sweeper.study_name names a folder, so it must not be empty or hold a slash, "
            f"got {name!r}: set hydra.sweeper.study_name=first, say"
        )


def _check_packages(spec: SearchSpec) -> None:
    """Find a package that a sampler imports only when it draws, before anything is trained.

    Raises:
        StudyError: it is not installed.
    """
    sampler = spec.build_sampler(0)
    for package in packages_of(sampler):
        if find_spec(package) is None:
            raise StudyError(
                f"hydra.sweeper.sampler: {type(sampler).__name__} needs the package {package}: "
                f"pip install {package}, or choose hydra/sweeper/sampler=tpe, say"
            )


def _put_aside(spec: SearchSpec) -> None:
    """Move an earlier sweep of this name away: what was measured is never deleted.

    Raises:
        StudyError: what is no sweep's would move with it.
    """
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
