"""The end of a sweep: test the winners, write and show the summary, close the tracked run."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from greensweep.config.schema import TrainConfig
from greensweep.energy import Meter
from greensweep.energy.machine import machine_total
from greensweep.search.cost import read_search_cost
from greensweep.search.terminal import cost_sentences
from greensweep.study import drift
from greensweep.study.dead_trials import record_dead_trials
from greensweep.study.sentences import beside_sentence, caveats
from greensweep.study.summary import StudySummary, summarise, write_summary
from greensweep.study.trials import Trial, read_trials
from greensweep.study.trials_table import print_summary
from greensweep.study.winners import drop_beaten_weights, evaluate_winners
from greensweep.tracking.mlflow_places import known_parent
from greensweep.tracking.mlflow_store import MlflowStore


def finish_sweep(
    directory: Path,
    config: TrainConfig,
    meter: Meter,
    store: MlflowStore | None,
    *,
    interrupted: bool,
    notes: list[str],
) -> StudySummary:
    """Finish the sweep in `directory`; an interrupted one is summarised without tests.

    Args:
        config: what the sweep has in common.
        notes: sentences to print below the summary.

    Raises:
        StudyError: a result file is broken.
        OSError: the directory cannot be written to.
    """
    record_dead_trials(directory, config, store)
    found = read_search_cost(directory)
    drop_beaten_weights(directory, store, recorded_only=found is not None, ended=not interrupted)
    trials = read_trials(directory)
    test_joules, drifted = None, None
    if not interrupted:
        drifted = drift.end(directory, meter, config)
        test_joules = evaluate_winners(trials, meter, store)
        trials = read_trials(directory)
    parent = known_parent(directory)
    summary = summarise(
        trials,
        interrupted=interrupted,
        test_joules=test_joules,
        machine=machine_total(directory),
        drifted=drifted,
        mlflow_run_id=parent,
        search_cost=found,
    )
    files = write_summary(summary, trials, directory)
    if store is not None and parent is not None:
        store.attempt(partial(finish_tracked_sweep, store, parent, summary, trials, files))
    said = caveats(summary, trials) if trials else []
    bill = [] if found is None else [*cost_sentences(found), beside_sentence(summary)]
    print_summary(summary, trials, [*said, *bill, *notes])
    return summary


def finish_tracked_sweep(
    store: MlflowStore,
    run_id: str,
    summary: StudySummary,
    trials: Sequence[Trial],
    files: Sequence[Path],
) -> None:
    """Give a sweep's run in MLflow its figures and files, and end it; tag infeasible trials."""
    for trial in trials:
        if trial.broken and trial.result.mlflow_run_id is not None:
            store.log(trial.result.mlflow_run_id, [], {"infeasible": ", ".join(trial.broken)})
    store.log_now(run_id, summary.metrics())
    if summary.selected_on_test:
        store.log(run_id, [], {"selected_on_test": "true"})
    store.log_files(run_id, files)
    store.close(run_id, "KILLED" if summary.status == "interrupted" else "FINISHED")
