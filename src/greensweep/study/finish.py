"""The end of a sweep: test the winners, write and show the summary, close the tracked run."""

import shlex
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from greensweep.config.schema import TrainConfig
from greensweep.energy import Meter
from greensweep.energy.machine import machine_totals
from greensweep.errors import plural
from greensweep.search.cost import read_search_cost
from greensweep.search.folders import STUDY_FILE
from greensweep.study import drift
from greensweep.study.dead_trials import record_dead_trials
from greensweep.study.summary import StudySummary, emitted, summarise, write_summary
from greensweep.study.summary_output import print_summary
from greensweep.study.tracked_sweep import finish_tracked_sweep
from greensweep.study.trials import kept_space, read_trials
from greensweep.study.winners import drop_beaten_weights, evaluate_winners
from greensweep.tracking.mlflow_places import is_default_store, known_parent
from greensweep.tracking.mlflow_store import MlflowStore
from greensweep.tracking.view import view_sentence


@dataclass(frozen=True)
class Ours:
    """What a sweep of our own runs has in common, and the meter of what it does at its end."""

    config: TrainConfig
    meter: Meter


def sweep_notes(directory: Path, store: MlflowStore | None, what: str) -> list[str]:
    """Say where a sweep's files are, and how its runs are seen in MLflow."""
    notes = [f"{what}: {_from_here(directory)}"]
    if store is not None:
        is_default, parent = is_default_store(store.uri), known_parent(directory)
        notes.append(view_sentence(store.uri, store.experiment_id, parent, is_default=is_default))
    return notes


def finish_sweep(
    directory: Path,
    ours: Ours | None,
    store: MlflowStore | None,
    *,
    interrupted: bool,
    notes: list[str],
    points_per_halving: float,
) -> StudySummary:
    """Finish the sweep in `directory`; an interrupted one is summarised without tests.

    Args:
        ours: what sweeps of our own runs know beside; None of a program of one's own, whose
            weights and test split are its own too.
        notes: sentences with addresses and commands, to print below the summary.
        points_per_halving: as for `greensweep.decision.choice.decide`.

    Raises:
        StudyError: a result file is broken.
        OSError: the directory cannot be written to.
    """
    record_dead_trials(directory, ours.config if ours else None, store)
    found = read_search_cost(directory)
    test_joules, drifted = None, None
    if ours is not None:
        recorded_only = found is not None
        drop_beaten_weights(directory, store, recorded_only=recorded_only, ended=not interrupted)
        if not interrupted:
            drifted = drift.end(directory, ours.meter, ours.config)
            test_joules = evaluate_winners(read_trials(directory), ours.meter, store)
    trials = read_trials(directory)
    found = found and emitted(found, trials)
    parent = known_parent(directory)
    summary = summarise(
        trials,
        interrupted=interrupted,
        test_joules=test_joules,
        machines=machine_totals(directory),
        drifted=drifted,
        mlflow_run_id=parent,
        space=kept_space(directory),
        search_cost=found,
        points_per_halving=points_per_halving,
    )
    files = write_summary(summary, trials, directory)
    if store is not None and parent is not None:
        store.attempt(partial(finish_tracked_sweep, store, parent, summary, trials, files))
    here = _from_here(directory)
    unsent = sum(trial.result.is_unsent for trial in trials if trial.result.status == "finished")
    if parent is not None and unsent:
        send = f"greensweep upload {shlex.quote(str(here))}"
        notes = [*notes, f"Not in MLflow yet, or not whole: {plural(unsent, 'trial')}; {send}"]
    if ours is not None and summary.chosen_trial is not None:
        study = shlex.quote(str(here / STUDY_FILE))
        notes = [*notes, f"Train it anew: greensweep train --from {study}"]
    print_summary(summary, trials, notes, f"greensweep summarise {shlex.quote(str(here))}")
    return summary


def _from_here(directory: Path) -> Path:
    """Return a folder as one names it where one is."""
    here = Path.cwd()
    return directory.relative_to(here) if directory.is_relative_to(here) else directory
