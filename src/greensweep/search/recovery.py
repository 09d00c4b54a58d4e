"""Trials whose process died: finished from what they left, or queued to run again."""

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, Literal

import optuna
from filelock import FileLock
from optuna.trial import FrozenTrial, TrialState

from greensweep.energy.processes import Processes
from greensweep.errors import GreensweepError
from greensweep.nested import from_json
from greensweep.record.result import RunResult, find_result
from greensweep.search.constraints import broken_by
from greensweep.search.heartbeats import Listener
from greensweep.search.optuna_internals import trial_of
from greensweep.search.records import (
    ENQUEUED,
    MOST_DEATHS,
    PROGRESS,
    Outcome,
    TrialStatus,
    inherited,
    is_enqueued,
    kept,
    owner_of,
    retry_history,
    status_of,
)
from greensweep.search.reports import read_reports
from greensweep.search.shown import shown_result
from greensweep.search.spec import SearchSpec
from greensweep.search.trial import (
    EndedTrial,
    figures_of_result,
    finish_trial,
    read_trial_file,
)
from greensweep.search.trials_so_far import trials_so_far

log = logging.getLogger(__name__)

_CLAIM_SECONDS = 0.005  # between looks whether another draws yet, which takes some ten of them

# Dates, which another machine's clock gave, show only what is older than any clock is off.
_ANCIENT = timedelta(days=2)

_ORDINAL = {2: "second", 3: "third"}


@dataclass
class Recovery:
    """Finishes trials that their own process did not.

    Attributes:
        folder: returns a trial's own.
        values_of: returns the objectives of a finished run that left a result.
    """

    spec: SearchSpec
    study: optuna.Study
    folder: Callable[[FrozenTrial], Path]
    values_of: Callable[[RunResult], Sequence[float]] | None = None

    def __post_init__(self) -> None:
        """No trial has been heard yet."""
        self._listener = Listener()
        self._lock = FileLock(self.spec.lock_file("claim"))

    def claim(self) -> AbstractContextManager[Any]:
        """Hold the lock of who draws a trial, or finishes one of another process."""
        return self._lock.acquire(poll_interval=_CLAIM_SECONDS)

    def recover_dead(self) -> int:
        """Finish the trials whose process has died; return how many."""
        with self.claim():
            running = trials_so_far(self.study, reports=False).running
            alive = cache(Processes().alive)  # many trials may be of one process
            dead = {trial.number: self._is_dead(trial, alive) for trial in running}
            unknown = [trial for trial in running if dead[trial.number] is None]
            silent = self._listener.silent(self.study, unknown)
            lost = [number for number, is_dead in dead.items() if is_dead or number in silent]
            self.finish_lost(lost)
            return len(lost)

    def jobs_of_running(self) -> dict[int, str]:
        """Return the Slurm jobs of the trials that run in one, by the trials' numbers."""
        running = self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        owners = {trial.number: owner_of(trial) for trial in running}
        return {number: each.job for number, each in owners.items() if each and each.job}

    def finish_lost(
        self,
        numbers: Collection[int],
        how: str = "its process died",
        status: Literal["died", "lost"] = "died",
    ) -> None:
        """Finish those of these trials that still run, whose process is known to be gone."""
        with self.claim():
            for number in numbers:
                trial = trial_of(self.study, number)
                if trial.state == TrialState.RUNNING:
                    self.finish_dead(trial, how, status)

    def recover(self, trial: FrozenTrial) -> bool:
        """Finish a running trial by what its folder holds; False where it says nothing."""
        with self.claim():
            folder = self.folder(trial)
            ended = read_trial_file(folder) or self._ended_by_result(trial, folder)
            if ended is None:
                return False
            is_finished = ended.outcome.status == "finished"
            broken: Mapping[str, float] = {}
            result = find_result(folder)
            if is_finished:
                broken = broken_by(self.spec.constraints, ended.outcome, result)
            shown = shown_result(result, self.spec.directory)
            finish_trial(self.study, trial, ended.outcome, ended.values, folder, broken, shown)
            return True

    def _ended_by_result(self, trial: FrozenTrial, folder: Path) -> EndedTrial | None:
        if self.values_of is None:
            return None
        result = find_result(folder)
        if result is None or result.status != "finished":
            return None
        try:
            values = self.values_of(result)
        except GreensweepError as error:
            log.warning("Trial %d runs again: %s.", trial.number, error)
            return None
        outcome = Outcome("finished", seconds=result.seconds or 0.0, **figures_of_result(result))
        return EndedTrial(trial.number, outcome, values, enqueued=is_enqueued(trial))

    def run_again(self, trial: FrozenTrial) -> None:
        """Put a trial's parameters in the queue, linked to it."""
        if trials_so_far(self.study).is_repeated(trial):
            return  # whoever began this died before the trial itself was finished
        attributes = inherited(trial)
        history = [*retry_history(trial), trial.number]
        space, drawn = self.spec.space, trial.params
        is_drawn = all(name in drawn for name in space.names if space.has(name, drawn))
        if drawn and not is_drawn:  # it died meanwhile: what is left open is drawn beside the rest
            attributes["fixed_params"] = {**attributes.get("fixed_params", {}), **drawn}
        self.study.add_trial(
            optuna.create_trial(
                state=TrialState.WAITING,
                params=trial.params if is_drawn else {},
                distributions=trial.distributions if is_drawn else {},
                user_attrs=ENQUEUED if is_enqueued(trial) else {},
                system_attrs={**attributes, "failed_trial": history[0], "retry_history": history},
            )
        )

    def finish_dead(
        self,
        trial: FrozenTrial,
        how: str = "its process died",
        status: Literal["died", "lost"] = "died",
    ) -> None:
        """Finish a running trial whose process is gone, by what it left; else it runs again.

        Args:
            how: it was lost, in words that an epoch may follow.
            status: lost: its machine is gone, too.
        """
        with self.claim():
            if self.recover(trial):
                return
            earlier = [trial_of(self.study, number) for number in retry_history(trial)]
            times = 1 + sum(status_of(each) == status for each in earlier)
            fails = times >= MOST_DEATHS[status]
            if not fails:
                self.run_again(trial)
            folder = self.folder(trial)
            outcome = _what_is_left(trial, folder, how, "failed" if fails else status)
            finish_trial(self.study, trial, outcome, None, folder)
            log.warning(
                "Trial %d: %s%s.",
                trial.number,
                outcome.error,
                f" for the {_ORDINAL[times]} time: it counts as failed"
                if fails
                else "; it runs again",
            )

    def finish_interrupted(self, trial: FrozenTrial) -> None:
        """Finish a trial that was ended from outside before it could itself, by what it left."""
        if trial.state == TrialState.RUNNING and not self.recover(trial):
            folder = self.folder(trial)
            outcome = _what_is_left(trial, folder, "interrupted", "stopped")
            finish_trial(self.study, trial, replace(outcome, interrupted=True), None, folder)

    def _is_dead(self, trial: FrozenTrial, alive: Callable[[int, str], bool]) -> bool | None:
        """Tell whether a running trial's process is gone; None where only its silence tells."""
        owner = owner_of(trial)
        if owner is None:
            if self.spec.storage.startswith("sqlite"):
                return True  # its owner held the lock that is held now
            if trial.datetime_start and datetime.now() - trial.datetime_start > _ANCIENT:
                return True
        elif owner.here:
            return not alive(owner.pid, owner.born)
        return None


def _what_is_left(trial: FrozenTrial, folder: Path, how: str, status: TrialStatus) -> Outcome:
    """Return what a trial that was lost is known to have cost: by its last report."""
    reports = read_reports(folder)  # those of another machine's may be out of reach
    known: Mapping[str, Any] = kept(trial, PROGRESS) or {}
    if reports and reports[-1].known["seconds"] > known.get("seconds", 0.0):
        known = reports[-1].known
    epoch = known.get("epoch", 0)
    error = f"{how} after epoch {epoch}" if epoch else how
    ended = {"status": status, "error": error, "epochs": epoch}
    return from_json(Outcome, {**known, **ended, "epochs_planned": known.get("epochs")})
