"""Trials whose process died: finished from what they left, or queued to run again."""

import logging
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from greensweep.errors import GreensweepError
from greensweep.record.result import RunResult, find_result
from greensweep.search.constraints import broken_by
from greensweep.search.optuna_internals import heartbeat_is_stale, trial_of
from greensweep.search.records import (
    PROGRESS,
    Outcome,
    TrialStatus,
    outcome_of,
    owner_of,
    retried_numbers,
    retry_history,
)
from greensweep.search.spec import SearchSpec
from greensweep.search.trial import figures_of_result, finish_trial, read_trial_file

log = logging.getLogger(__name__)

# How long a trial may be seen without an owner, which it gets as soon as it is drawn. Dates, which
# another machine's clock gave, show only what is older than any clock is off.
_OWNERLESS_SECONDS = 120.0
_ANCIENT = timedelta(days=2)

ValuesOf = Callable[[RunResult], Sequence[float]]
Folder = Callable[[FrozenTrial], Path]


class Recovery:
    """Finishes trials that their own process did not. Whoever uses it holds the study's lock.

    Args:
        values_of: returns the objectives of a finished run that left a result.
    """

    def __init__(
        self,
        spec: SearchSpec,
        study: optuna.Study,
        folder: Folder,
        values_of: ValuesOf | None = None,
    ) -> None:
        self._spec, self._study = spec, study
        self._folder, self._values_of = folder, values_of
        self._ownerless: dict[int, float] = {}  # by number: when it was first seen so

    def recover_dead(self) -> int:
        """Finish the trials whose process has died; return how many."""
        running = self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        return sum(self._recover_if_dead(trial) for trial in running)

    def recover(self, trial: FrozenTrial) -> bool:
        """Finish a running trial by what its folder holds; False where it says nothing."""
        folder = self._folder(trial)
        kept = read_trial_file(folder)
        if kept is not None:
            self._finish_as(trial, kept.outcome, kept.values, folder)
            return True
        result = find_result(folder) if self._values_of is not None else None
        if self._values_of is None or result is None or result.status != "finished":
            return False
        try:
            values = self._values_of(result)
        except GreensweepError as error:
            log.warning("Trial %d runs again: %s.", trial.number, error)
            return False
        outcome = Outcome(
            status="finished", seconds=result.seconds or 0.0, **figures_of_result(result)
        )
        self._finish_as(trial, outcome, values, folder)
        return True

    def run_again(self, trial: FrozenTrial) -> None:
        """Put a trial's parameters in the queue, linked to it."""
        again = retried_numbers(self._study.get_trials(deepcopy=False))
        if trial.number in again:
            return  # whoever began this died before the trial itself was finished
        attributes = {
            name: value
            for name, value in trial.system_attrs.items()
            if not name.startswith("constraints")
        }
        history = [*retry_history(trial), trial.number]
        space, drawn = self._spec.space, trial.params
        is_drawn = all(name in drawn for name in space.names if space.has(name, drawn))
        if drawn and not is_drawn:  # it died meanwhile: what is left open is drawn beside the rest
            attributes["fixed_params"] = {**attributes.get("fixed_params", {}), **drawn}
        self._study.add_trial(
            optuna.create_trial(
                state=TrialState.WAITING,
                params=trial.params if is_drawn else {},
                distributions=trial.distributions if is_drawn else {},
                system_attrs={**attributes, "failed_trial": history[0], "retry_history": history},
            )
        )

    def _recover_if_dead(self, trial: FrozenTrial) -> bool:
        if not self._is_dead(trial):
            return False
        if not self.recover(trial):
            died = sum(1 for number in retry_history(trial) if self._died(number))
            if not died:
                self.run_again(trial)
            outcome = _what_is_left(trial, "failed" if died else "died")
            finish_trial(self._study, trial, outcome, None, self._folder(trial))
            log.warning(
                "Trial %d: %s%s.",
                trial.number,
                outcome.error,
                " for the second time: it counts as failed" if died else "; it runs again",
            )
        return True

    def _is_dead(self, trial: FrozenTrial) -> bool:
        owner = owner_of(trial)
        if owner is None:
            if self._spec.storage.startswith("sqlite"):
                return True  # its owner held the lock that is held now
            if trial.datetime_start and datetime.now() - trial.datetime_start > _ANCIENT:
                return True
            first = self._ownerless.setdefault(trial.number, time.monotonic())
            return time.monotonic() - first > _OWNERLESS_SECONDS
        if owner.here:
            return not owner.alive()
        return heartbeat_is_stale(self._study, trial)

    def _finish_as(
        self, trial: FrozenTrial, outcome: Outcome, values: Sequence[float] | None, folder: Path
    ) -> None:
        is_finished = outcome.status == "finished"
        broken = broken_by(self._spec.constraints, outcome, folder) if is_finished else {}
        finish_trial(self._study, trial, outcome, values, folder, broken)

    def _died(self, number: int) -> bool:
        outcome = outcome_of(trial_of(self._study, number))
        return outcome is not None and outcome.status == "died"


def _what_is_left(trial: FrozenTrial, status: TrialStatus) -> Outcome:
    """Return what a dead trial is known to have cost: by its last report."""
    known = trial.user_attrs.get(PROGRESS) or {}
    epoch = known.get("epoch", 0)
    names = ("accuracy", "metric_value", "spent_joules", "search_joules")
    figures: dict[str, Any] = {name: known.get(name) for name in names}
    return Outcome(
        status=status,
        error=f"its process died after epoch {epoch}" if epoch else "its process died",
        **figures,
        seconds=known.get("seconds", 0.0),
        epochs=epoch,
        epochs_planned=known.get("epochs"),
    )
