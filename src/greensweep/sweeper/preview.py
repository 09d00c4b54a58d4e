"""What a sweep will cost, before it is run: two epochs of some points tell."""

import copy
import logging
import time
from collections.abc import Sequence
from dataclasses import replace

from greensweep.config import storage_url, use_sweep_folder
from greensweep.config.sweeper import BudgetConfig, StopConfig
from greensweep.errors import StudyError
from greensweep.files import new_folder
from greensweep.search.folders import keep_owner
from greensweep.search.forecast import total_forecast, whole_run
from greensweep.search.interrupt import graceful
from greensweep.search.records import Outcome, outcome_of
from greensweep.search.terminal import preview_sentences
from greensweep.sweeper.worker import Worker, open_once

log = logging.getLogger(__name__)

_POINTS = 5  # beside the first, which pays for what a process does once
_EPOCHS = 2


def preview(worker: Worker, overrides: Sequence[str], total: int) -> None:
    """Run some random points for two epochs each, and print what the whole sweep will cost.

    Args:
        worker: of the sweep.
        overrides: what preview runs set besides.
        total: trials of the sweep.

    Raises:
        StudyError: none of them told anything.
    """
    spec = worker.spec
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
            n_trials=1 + max(min(_POINTS, total), 2),  # one point has no interval
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
    outcomes = [outcome_of(trial) for trial in open_once(tried.spec).get_trials(deepcopy=False)]
    told = [outcome for outcome in outcomes if outcome is not None and outcome.status != "failed"]
    wholes = [whole for outcome in told if (whole := _whole(outcome)) is not None]
    wholes = wholes[1:] or wholes
    if not wholes:
        errors = [outcome.error for outcome in outcomes if outcome and outcome.error]
        raise StudyError(
            f"none of {len(outcomes)} preview runs told anything; the first: {errors[0]}"
        )
    seconds = total_forecast([seconds for _, seconds in wholes], total)
    known = [joules for joules, _ in wholes if joules is not None]
    joules = total_forecast(known, total) if known else None
    cost = sum((each.spent_joules or 0.0) + (each.search_joules or 0.0) for each in told)
    for sentence in preview_sentences(
        joules, seconds, trials=total, points=len(wholes), cost=cost, kg_per_joule=spec.kg_per_joule
    ):
        print(sentence)


def _whole(outcome: Outcome) -> tuple[float | None, float] | None:
    """What a run and the search for it would have cost; one that never reports ran to its end."""
    told = whole_run(outcome) or (
        (outcome.spent_joules, outcome.seconds) if outcome.status == "finished" else None
    )
    if told is None or told[0] is None:
        return told
    return told[0] + (outcome.search_joules or 0.0), told[1]
