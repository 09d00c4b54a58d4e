"""The study of the stock Optuna sweeper, which knows no names of its objectives and no energy."""

import logging
from collections.abc import Iterable
from pathlib import Path

import optuna

from greensweep.config.folders import sqlite_file
from greensweep.config.schema import TrainConfig
from greensweep.errors import StudyError
from greensweep.record.recorded_run import initial_result
from greensweep.record.result import RunResult
from greensweep.search.optuna_internals import set_attributes
from greensweep.search.records import Outcome
from greensweep.search.shown import objective_names, shown_outcome, shown_result
from greensweep.search.storage import storage_faults

log = logging.getLogger(__name__)


def show_stock_trial(
    storage: str,
    name: str,
    overrides: Iterable[str],
    outcome: Outcome,
    result: RunResult | None,
    sweep: Path,
) -> None:
    """Let dashboards show what a trial came to and cost, while it still runs: later none may write.

    A job of the sweeper does not know its trial, which is told by what the job overrides. That
    nothing can be written costs a warning.
    """
    given = set(overrides)
    shown = {**shown_outcome(outcome), **shown_result(result, sweep)}
    try:
        with storage_faults(storage):
            study = optuna.load_study(study_name=name, storage=storage)
            for trial in study.get_trials(states=[optuna.trial.TrialState.RUNNING]):
                drawn = {f"{option}={value}" for option, value in trial.params.items()}
                if drawn <= given and "status" not in trial.user_attrs:
                    set_attributes(study, trial, shown, {})
                    return
    except (StudyError, KeyError) as fault:
        log.warning("Optuna's study does not show what this trial came to: %s", fault)


def name_stock_objectives(storage: str, name: str | None, config: TrainConfig) -> None:
    """Name the objectives of a study for dashboards; of one without a name nobody can find it.

    Raises:
        StudyError: the storage failed.
    """
    file = sqlite_file(storage)
    if name is None or (file is not None and not file.is_file()):  # nothing was begun
        return
    with storage_faults(storage):
        if name not in optuna.get_all_study_names(storage):
            return
        study = optuna.load_study(study_name=name, storage=storage)
        study.set_metric_names(
            objective_names(
                initial_result(config, None, ()).objective_label,
                len(study.directions),
                energy=config.objective.name == "pareto",
                priced=config.objective.name == "priced",
            )
        )
