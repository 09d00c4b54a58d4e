"""The end of a sweep of a program of one's own, as that of our own runs but for what is ours."""

from collections.abc import Iterable
from pathlib import Path

from greensweep.energy import warn_once_per_sweep
from greensweep.search.interrupt import interrupted
from greensweep.study.finish import finish_sweep, sweep_notes
from greensweep.study.trials import keep_searched
from greensweep.tracking.choice import tracking_of_sweep
from greensweep.tracking.mlflow_tracker import open_store


def finish_own_sweep(directory: Path, searched: Iterable[str], points_per_halving: float) -> None:
    """Write and show the summary of a sweep, and close its run in MLflow, where it has one.

    Args:
        searched: the options that it searches.
        points_per_halving: as for `greensweep.decision.choice.decide`.

    Raises:
        StudyError: a result file is broken.
        OSError: the directory cannot be written to.
    """
    keep_searched(directory, [name.lstrip("+") for name in searched])
    store = open_store(tracking_of_sweep(directory))
    notes = sweep_notes(directory, store, "Trials, trials.csv and study.json")
    with warn_once_per_sweep(directory):
        finish_sweep(
            directory,
            None,
            store,
            interrupted=interrupted(),
            notes=notes,
            points_per_halving=points_per_halving,
        )
