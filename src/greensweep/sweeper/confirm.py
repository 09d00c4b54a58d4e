"""Ask before a sweep that would take long: forecast it before its first trial."""

import statistics
from collections.abc import Sequence

from optuna.trial import FrozenTrial

from greensweep.config.sweeper import SweeperConfig
from greensweep.errors import StudyError
from greensweep.search.records import whole_seconds
from greensweep.search.terminal import duration_text
from greensweep.sweeper.worker import Worker


def refuse_long(worker: Worker, options: SweeperConfig, earlier: Sequence[FrozenTrial]) -> None:
    """Refuse a sweep that would take longer than `confirm_hours` here, unless it is confirmed.

    The trials that a study already has tell what the rest will take; before any, a few timed steps
    of the present configuration do. Trials side by side share the machine, so they are counted as
    if they followed each other.

    Args:
        earlier: trials that the search goes on from.

    Raises:
        StudyError: it would; or the program's runs cannot be forecast.
        GreensweepError: the run that is to be timed cannot be built.
    """
    if options.confirm_hours is None or options.confirmed:
        return
    ended = [each for each in earlier if each.state.is_finished()]
    taken = [seconds for each in ended if (seconds := whole_seconds(each)) is not None]
    left = worker.spec.total - len(ended)
    if left < 1:
        return
    if taken:
        each = statistics.fmean(taken)
        what = f"trials in all: {worker.spec.total}, of which {len(ended)} ended"
    else:
        run = worker.planned({})
        if run is None:
            raise StudyError(
                "hydra.sweeper.confirm_hours forecasts greensweep's own runs, which this program's "
                "are not: set hydra.sweeper.confirm_hours=null"
            )
        planned = run.seconds()
        if planned is None:
            return
        each = planned
        what = f"trials in all: {left}, of {run.size}"
    if left * each > 3600 * options.confirm_hours:
        raise StudyError(
            f"this sweep would take about {duration_text(left * each)} on this machine ({what}; "
            f"about {duration_text(each)} for each), and hydra.sweeper.confirm_hours="
            f"{options.confirm_hours:g} has longer ones confirmed: set "
            "hydra.sweeper.confirmed=true, or make it smaller, as with size=small"
        )
