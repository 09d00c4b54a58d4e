"""What a sweep will cost: a preview of it, and the question before one that would take long."""

import copy
import time
from collections.abc import Sequence
from dataclasses import replace

from optuna.trial import FrozenTrial

from greensweep.config.folders import storage_url, use_sweep_folder
from greensweep.config.sweeper import BudgetConfig, StopConfig, SweeperConfig
from greensweep.energy.units import duration_text
from greensweep.errors import StudyError
from greensweep.files import new_folder
from greensweep.search.cost_model import CostModel, total_forecast, whole_joules, whole_seconds
from greensweep.search.folders import keep_owner
from greensweep.search.interrupt import graceful
from greensweep.search.records import outcome_of, spent_of
from greensweep.search.sentences import preview_sentences
from greensweep.sweeper.trial_task import open_once
from greensweep.sweeper.worker import Worker

_POINTS = 5  # beside the first, which pays for what a process does once
_EPOCHS = 2


def preview(worker: Worker, overrides: Sequence[str]) -> None:
    """Run some random points for two epochs each, and print what the whole sweep will cost.

    Args:
        overrides: what they set besides.

    Raises:
        StudyError: none of them came to an epoch.
    """
    spec, total = worker.spec, worker.spec.total
    # Beside the sweep's folder, every run in which counts as its own.
    beside = spec.directory.with_name(f"{spec.directory.name}.preview")
    folder = new_folder(beside / time.strftime("%Y-%m-%d_%H-%M-%S"))
    config = copy.deepcopy(worker.config)
    use_sweep_folder(config, str(folder))
    tried = replace(
        worker,
        config=config,
        shared=(*worker.shared, *overrides),
        spec=replace(
            spec,
            directory=folder,
            storage=storage_url(None, folder),
            n_trials=1 + max(min(_POINTS, total), 2),
            sampler=("optuna.samplers.RandomSampler", {}),
            pruner="none",
            budget=BudgetConfig(),
            stop=StopConfig(),
            constraints={},
            enqueue=(),
            fidelities=(),
            only_epochs=_EPOCHS,
        ),
    )
    keep_owner(tried.spec, open_once(tried.spec))
    with graceful():
        tried.work(1)
    trials = open_once(tried.spec).get_trials(deepcopy=False)
    shown = [trial for trial in trials if whole_seconds(trial) is not None]
    shown = shown[1:] or shown
    seconds = CostModel(spec.space, shown, whole_seconds).of_trials(total)
    outcomes = [outcome for trial in trials if (outcome := outcome_of(trial)) is not None]
    if seconds is None:
        errors = [outcome.error for outcome in outcomes if outcome.error]
        raise StudyError(
            f"no preview run of {len(outcomes)} came to an epoch; the first: {errors[0]}"
        )
    for sentence in preview_sentences(
        CostModel(spec.space, shown, joules_with_search).of_trials(total),
        seconds,
        trials=total,
        points=len(shown),
        cost=sum(map(spent_of, trials)),
        kg_per_joule=spec.kg_per_joule,
    ):
        print(sentence)


def joules_with_search(trial: FrozenTrial) -> float | None:
    """Return what a whole run and the search for it would have cost."""
    joules, outcome = whole_joules(trial), outcome_of(trial)
    return joules and joules + ((outcome and outcome.search_joules) or 0.0)


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
