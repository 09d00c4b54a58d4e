"""A sweep's beginning and end: its checks, reference jobs, summary and report."""

import logging
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from greensweep.app.folders import FolderCallback, OpenFolder, refusals
from greensweep.app.tables import write_page
from greensweep.config.schema import DecisionConfig, TrainConfig
from greensweep.config.schema_analysis import sweep_report
from greensweep.config.store import parse
from greensweep.energy import Meter, build_meter, measure_idle, warn_once_per_sweep
from greensweep.errors import GreensweepError, StudyError
from greensweep.messages import error_line
from greensweep.search.callbacks import before_first_trial
from greensweep.search.folders import lost
from greensweep.study.preflight import check_sweep
from greensweep.sweeper.command import (
    resumes,
    searched_in,
    shared_config,
    space_text,
    sweep_of,
)
from greensweep.sweeper.hydra_lines import quiet_hydra
from greensweep.tracking.mlflow_store import MlflowStore
from greensweep.tracking.mlflow_tracker import open_store
from greensweep.tracking.view import ui_address

if TYPE_CHECKING:
    from greensweep.study.summary import StudySummary

log = logging.getLogger(__name__)


class SweepCallback(FolderCallback):
    """Refuses a sweep that cannot work; notes one that began, so that `run` can close it."""

    current: DictConfig | None = None
    folder: OpenFolder

    @classmethod
    def forget(cls) -> None:
        """Forget a sweep of an earlier command in this process."""
        cls.current = None
        before_first_trial(None)

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        quiet_hydra(config.hydra.verbose)
        with refusals():
            check_sweep(config)
            super().on_multirun_start(config, **kwargs)
            if resumes(config.hydra):  # it may refuse its study, and begins only then
                before_first_trial(partial(_begin_sweep, config))
            else:
                _begin_sweep(config)


def _begin_sweep(config: DictConfig) -> None:
    from greensweep.search.storage import check_storage, keep_private, storage_faults
    from greensweep.study import drift
    from greensweep.study.trials import keep_searched

    directory = Path(config.hydra.sweep.dir)
    # Optuna opens its file in the sweep's directory before Hydra makes it.
    directory.mkdir(parents=True, exist_ok=True)
    searched = [each.key.lstrip("+") for each in searched_in(config.hydra)]
    keep_searched(directory, searched, space_text(config.hydra))
    storage = OmegaConf.select(config, "hydra.sweeper.storage")
    if storage is not None:
        check_storage(storage)
        with storage_faults(storage):
            keep_private(storage)
    parsed: TrainConfig = parse(shared_config(config))
    with warn_once_per_sweep(directory):
        measure_idle(parsed.energy)
        drift.begin(directory, meter_of(parsed), parsed)
    SweepCallback.current, SweepCallback.folder = config, OpenFolder(directory)


def meter_of(config: TrainConfig, sweep: Path | None = None) -> Meter:
    """Return the meter of runs, and of the reference job, which computes where they do.

    Args:
        sweep: the folder of a sweep, whose runs share it.
    """
    if config.replay is not None:
        return build_meter(config.energy)  # nothing is trained, so PyTorch is not loaded
    from greensweep.training import device_asked_for

    device = device_asked_for(config.training.device, config.training.devices)
    return build_meter(config.energy, sweep, device=device)


def close_current(fault: BaseException | None) -> BaseException | None:
    """Summarise the sweep that began, if one did; return the fault that the program ends with."""
    config = SweepCallback.current
    if config is None:
        return fault
    directory = Path(config.hydra.sweep.dir)
    if not SweepCallback.folder.close():
        return lost(directory)
    if fault is not None and not any(directory.glob("*/")):
        return fault  # nothing was begun
    from greensweep.study.dead_trials import fail_running
    from greensweep.study.finish import Ours, finish_sweep, sweep_notes
    from greensweep.study.stock import name_stock_objectives

    interrupted = isinstance(fault, KeyboardInterrupt)
    parsed: TrainConfig = parse(shared_config(config))
    try:
        storage = OmegaConf.select(config, "hydra.sweeper.storage")
        if storage is not None and not resumes(config.hydra):
            fail_running(directory, storage)
            name = OmegaConf.select(config, "hydra.sweeper.study_name")
            name_stock_objectives(storage, name, parsed)
        store = open_store(parsed.tracking)
        report = ", the report" if parsed.report.auto else ""
        notes = sweep_notes(directory, store, f"Trials, study.json{report} and kept weights")
        with warn_once_per_sweep(directory):
            summary = finish_sweep(
                directory.absolute(),
                Ours(parsed, meter_of(parsed)),
                store,
                interrupted=interrupted,
                notes=notes,
                points_per_halving=parsed.decision.points_per_halving,
            )
    except (GreensweepError, OSError) as error:
        return fault or error
    if parsed.report.auto:
        strategy = sweep_of(config.hydra).strategy
        _report_sweep(directory, store, summary, strategy, parsed.decision)
    if fault is not None and summary.trials_by_status.get("finished", 0) == 0 and not interrupted:
        from greensweep.study.trials import read_trials

        if faults := [each.result.error for each in read_trials(directory) if each.result.error]:
            return StudyError(f"no trial of {len(faults)} finished; the first: {faults[0]}")
    return fault


def _report_sweep(
    directory: Path,
    store: MlflowStore | None,
    summary: "StudySummary",
    strategy: str,
    decision: DecisionConfig,
) -> None:
    """Write the report of a sweep into its folder, and log it to its run; a fault only warns."""
    import pandas as pd

    from greensweep.analysis import standard_table
    from greensweep.analysis.collect import analyses_of
    from greensweep.sources.study import read_sweep
    from greensweep.study.trials import read_trials, searched_keys

    config = sweep_report(directory, decision)
    try:
        trials = read_trials(directory)
        raw = read_sweep(directory, trials)
        raw["strategy"] = strategy
        if store is not None:
            config = replace(config, ui=ui_address(store.uri))
            raw["experiment_id"] = store.experiment_id
        runs = standard_table(raw, config.columns, f"the sweep {directory}")
        runs = replace(runs, searched=tuple(searched_keys(trials)))
        sweeps = pd.DataFrame([summary.metrics()])
        page = write_page(analyses_of(runs, config, sweeps), config)
    except (GreensweepError, OSError) as error:
        log.warning(f"No report of this sweep: {error_line(error)}")
        return
    if store is not None and summary.mlflow_run_id is not None:
        run_id, folder = summary.mlflow_run_id, page.parent
        store.attempt(partial(store.client.log_artifacts, run_id, str(folder), folder.name))
