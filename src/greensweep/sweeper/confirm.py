"""Ask before a sweep that would take long: forecast it before its first trial."""

from collections.abc import Sequence

from optuna.trial import FrozenTrial

from greensweep.config.sweeper import SweeperConfig
from greensweep.errors import StudyError
from greensweep.search.cost_model import CostModel, total_forecast, whole_seconds
from greensweep.search.terminal import duration_text
from greensweep.sweeper.worker import Worker


def refuse_long(worker: Worker, options: SweeperConfig, earlier: Sequence[FrozenTrial]) -> None:
    """Refuse a sweep that would take longer than `confirm_hours` here, unless it is confirmed.

    The rest is forecast from the trials that a study already has, before any from a few timed steps
    of the present configuration. Trials side by side share the machine, so they are counted as
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
    left = worker.spec.total - len(ended)
    if left < 1:
        return
    forecast = CostModel(worker.spec.space, ended, whole_seconds).of_trials(left)
    what = f"trials in all: {worker.spec.total}, of which {len(ended)} ended"
    if forecast is None:
        run = worker.planned({})
        if run is None:
            raise StudyError(
                "hydra.sweeper.confirm_hours forecasts greensweep's own runs, which this program's "
                "are not: set hydra.sweeper.confirm_hours=null"
            )
        timed = run.seconds()
        if timed is None:
            return
        forecast = total_forecast([timed], left)
        what = f"trials in all: {left}, of {run.size}"
    if forecast.cost > 3600 * options.confirm_hours:
        raise StudyError(
            f"this sweep would take about {duration_text(forecast.cost)} on this machine ({what}; "
            f"about {duration_text(forecast.cost / left)} for each), and "
            f"hydra.sweeper.confirm_hours={options.confirm_hours:g} has longer ones confirmed: set "
            "hydra.sweeper.confirmed=true, or make it smaller, as with size=small"
        )
