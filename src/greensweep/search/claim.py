"""Take the next trial: under a lock, within the total and the budget, once each."""

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy
import optuna
from filelock import FileLock
from optuna.samplers import BaseSampler, RandomSampler
from optuna.storages._heartbeat import BaseHeartbeat, is_heartbeat_enabled
from optuna.trial import FrozenTrial, TrialState

from greensweep.errors import StudyError
from greensweep.result import RESULT_FILE, RunResult, read_result
from greensweep.search.budget import CostModel, over_budget, spent
from greensweep.search.fidelity import fidelity_of
from greensweep.search.records import (
    OWNER,
    PROGRESS,
    Outcome,
    counted,
    left_to_repeat,
    outcome_of,
    owner_of,
    retried_numbers,
    retry_history,
    this_process,
    whole_seconds,
)
from greensweep.search.samplers.scales import holds
from greensweep.search.spec import SearchSpec
from greensweep.search.stopping import not_worth_it
from greensweep.search.trial import (
    broken_by,
    figures_of_result,
    read_trial_file,
    settle,
    trial_of,
)

log = logging.getLogger(__name__)

LOCK_FILE = ".claim.lock"

# How long a trial may be without an owner, which it gets as soon as its parameters are drawn.
_OWNERLESS_SECONDS = 120.0

ValuesOf = Callable[[Path, RunResult], Sequence[float]]
Folder = Callable[[FrozenTrial], Path]


@dataclass(frozen=True)
class Claim:
    """A trial that this process is to run, in the `fidelity`-th cheaper way, or whole (0)."""

    number: int
    params: Mapping[str, Any]
    fidelity: int = 0


@dataclass(frozen=True)
class Exhausted:
    """There is no further trial to run, and why; `early` says that the total is not reached."""

    reason: str
    early: bool


class Claims:
    """Hands out the trials of a study.

    Args:
        spec: the search.
        study: opened.
        folder: returns the folder of a trial.
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
        self.folder, self._values_of = folder, values_of
        self._lock = FileLock(spec.directory / LOCK_FILE)

    def prepare(self) -> None:
        """Make a study ready to go on: settle what died, put what was interrupted in the queue.

        Raises:
            StudyError: a point to start from is outside of the space.
        """
        with self._lock:
            for trial in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
                self._settle_if_dead(trial)
            trials = self._study.get_trials(deepcopy=False)
            for trial in left_to_repeat(trials):
                self._run_again(trial)
            if not trials:
                self._enqueue()

    def next(self) -> Claim | Exhausted:
        """Draw the next trial and take it.

        Raises:
            StudyError: the sampler cannot be made.
        """
        with self._lock:
            for trial in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
                self._settle_if_dead(trial)
            trials = self._study.get_trials(deepcopy=False)
            done = counted(trials)
            exhausted = self._exhausted(trials, done)
            if exhausted is not None:
                return exhausted
            withdrawn_already = self._withdrawn(trials)
            if withdrawn_already is not None:
                return Exhausted(withdrawn_already, early=True)
            self._study.sampler = self._sampler(trials, done)
            drawn = self._study.ask(dict(self._spec.distributions))
            drawn.set_user_attr(OWNER, asdict(this_process()))
            claim = Claim(drawn.number, drawn.params, self._fidelity(drawn.number))
            reason = self._surplus(claim.number) or self._unaffordable(trials, claim)
            if reason is None:
                return claim
            withdrawn = Outcome("withdrawn", reason)
            frozen = trial_of(self._study, claim.number)
            settle(self._study, frozen, withdrawn, None, self.folder(frozen))
            return Exhausted(reason, early=True)

    def _fidelity(self, number: int) -> int:
        # The storage is read only where there is something to read.
        return fidelity_of(trial_of(self._study, number)) if self._spec.fidelities else 0

    def _withdrawn(self, trials: Sequence[FrozenTrial]) -> str | None:
        """Say why a trial was withdrawn that would be drawn again now; None without one."""
        for trial in left_to_repeat(trials):
            outcome = outcome_of(trial)
            if outcome is not None and outcome.status == "withdrawn":
                return outcome.error
        return None

    def _sampler(self, trials: Sequence[FrozenTrial], done: Sequence[FrozenTrial]) -> BaseSampler:
        """Return the strategy for the next trial; a grid's next point is put in the queue.

        Optuna's own grid goes by the trials' numbers, which a trial that runs again shifts, and
        at its end stops a loop that is not there.
        """
        spec = self._spec
        if not spec.levels:
            return spec.build_sampler(len(done))
        if not any(trial.state == TrialState.WAITING for trial in trials):
            taken = {tuple(trial.params.get(name) for name in spec.levels) for trial in done}
            sizes = [len(levels) for levels in spec.levels.values()]
            for place in numpy.random.default_rng(spec.seed).permutation(math.prod(sizes)):
                indices = numpy.unravel_index(place, sizes)
                point = tuple(
                    levels[i] for levels, i in zip(spec.levels.values(), indices, strict=True)
                )
                if point not in taken:
                    self._study.enqueue_trial(dict(zip(spec.levels, point, strict=True)))
                    break
        # What a point to start from leaves open.
        return RandomSampler(seed=spec.seed + len(done))

    def settle_dead(self) -> int:
        """Settle the trials whose process has died; return how many."""
        with self._lock:
            running = self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
            return sum(self._settle_if_dead(trial) for trial in running)

    def adopt(self, trial: FrozenTrial) -> bool:
        """Settle a running trial by what its folder says; False where it says nothing."""
        with self._lock:
            return self._adopt(trial, self.folder(trial))

    def ended(self) -> str | None:
        """Return why no more trials are run, though the total is not reached."""
        trials = self._study.get_trials(deepcopy=False)
        exhausted = self._exhausted(trials, counted(trials))
        if exhausted is not None:
            return exhausted.reason if exhausted.early else None
        left = left_to_repeat(trials)
        outcome = outcome_of(left[-1]) if left else None
        return outcome.error if outcome else None

    def _exhausted(
        self, trials: Sequence[FrozenTrial], done: Sequence[FrozenTrial]
    ) -> Exhausted | None:
        spec = self._spec
        total = spec.total
        if len(done) >= total:
            return Exhausted(f"all {total} trials are done", early=False)
        failed = sum(trial.state == TrialState.FAIL for trial in done)
        if failed and failed > spec.max_failure_rate * len(done):
            return Exhausted(
                f"{failed} of {len(done)} trials failed, more than hydra.sweeper.max_failure_rate="
                f"{spec.max_failure_rate:g} allows",
                early=True,
            )
        reason = over_budget(spec, spent(self._study, trials)) if spec.has_budget else None
        reason = reason or not_worth_it(spec, self._study, trials)
        return Exhausted(reason, early=True) if reason else None

    def _surplus(self, number: int) -> str | None:
        """Say that a trial is one too many: another machine, which has no lock here, was faster."""
        if self._spec.storage.startswith("sqlite"):
            return None
        earlier = [each for each in self._study.get_trials(deepcopy=False) if each.number < number]
        total = self._spec.total
        return f"all {total} trials are taken" if len(counted(earlier)) >= total else None

    def _unaffordable(self, trials: Sequence[FrozenTrial], claim: Claim) -> str | None:
        """Say why a drawn trial would break the budget, with what the running ones still need."""
        spec = self._spec
        if not spec.has_budget:
            return None
        joules = seconds = 0.0
        if spec.budget_joules is not None:
            model = CostModel(spec.distributions, trials)
            joules = _forecast(model, claim.params, claim.fidelity)
            for trial in trials:
                if trial.state == TrialState.RUNNING:
                    known = (trial.user_attrs.get(PROGRESS) or {}).get("spent_joules") or 0.0
                    whole = _forecast(model, trial.params, fidelity_of(trial))
                    joules += max(whole - known, 0.0)
        if spec.budget.hours is not None:
            model = CostModel(spec.distributions, trials, whole_seconds)
            seconds = _forecast(model, claim.params, claim.fidelity)
        return over_budget(spec, spent(self._study, trials), joules, seconds)

    def _enqueue(self) -> None:
        for point in self._spec.enqueue:
            for name, value in point.items():
                distribution = self._spec.distributions.get(name)
                if distribution is None:
                    raise StudyError(
                        f"hydra.sweeper.enqueue: {name} is not searched: leave it out, or search it"
                    )
                if not holds(distribution, value):
                    raise StudyError(
                        f"hydra.sweeper.enqueue: {name}={value} is outside of its space "
                        f"({distribution}): widen the space, or leave the value out"
                    )
            self._study.enqueue_trial(dict(point), skip_if_exists=True)

    def _settle_if_dead(self, trial: FrozenTrial) -> bool:
        if not self._is_dead(trial):
            return False
        folder = self.folder(trial)
        if not self._adopt(trial, folder):
            died = sum(1 for number in retry_history(trial) if self._died(number))
            if not died:
                self._run_again(trial)
            outcome = self._what_is_left(trial, folder)
            settle(self._study, trial, outcome, None, folder)
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
            begun = trial.datetime_start or datetime.now()
            return time.time() - begun.timestamp() > _OWNERLESS_SECONDS
        if owner.here:
            return not owner.alive()
        storage = self._study._storage
        if not isinstance(storage, BaseHeartbeat) or not is_heartbeat_enabled(storage):
            return False
        return trial._trial_id in storage._get_stale_trial_ids(self._study._study_id)

    def _adopt(self, trial: FrozenTrial, folder: Path) -> bool:
        """Settle a trial that ended, but whose process died before the storage knew."""
        kept = read_trial_file(folder)
        if kept is not None:
            _, outcome, values = kept
            self._settle_as(trial, outcome, values, folder)
            return True
        if self._values_of is None or not (folder / RESULT_FILE).is_file():
            return False
        result = read_result(folder)
        if result.status != "finished":
            return False
        outcome = Outcome(
            status="finished", seconds=result.seconds or 0.0, **figures_of_result(result)
        )
        self._settle_as(trial, outcome, self._values_of(folder, result), folder)
        return True

    def _settle_as(
        self, trial: FrozenTrial, outcome: Outcome, values: Sequence[float] | None, folder: Path
    ) -> None:
        is_finished = outcome.status == "finished"
        broken = broken_by(self._spec.constraints, outcome, folder) if is_finished else {}
        settle(self._study, trial, outcome, values, folder, broken)

    def _what_is_left(self, trial: FrozenTrial, folder: Path) -> Outcome:
        """Return what a dead trial is known to have cost: by its last report."""
        known = trial.user_attrs.get(PROGRESS) or {}
        epoch = known.get("epoch", 0)
        return Outcome(
            status="died",
            error=f"its process died after epoch {epoch}" if epoch else "its process died",
            accuracy=known.get("accuracy"),
            spent_joules=known.get("spent_joules"),
            search_joules=known.get("search_joules"),
            seconds=known.get("seconds", 0.0),
            epochs=epoch,
            epochs_planned=known.get("epochs"),
        )

    def _run_again(self, trial: FrozenTrial) -> None:
        """Put a trial's parameters in the queue, linked to it."""
        again = retried_numbers(self._study.get_trials(deepcopy=False))
        if trial.number in again:
            return  # whoever began this died before the trial itself was settled
        attributes = {
            name: value
            for name, value in trial.system_attrs.items()
            if not name.startswith("constraints")
        }
        history = [*retry_history(trial), trial.number]
        # One that died while it was drawn is drawn anew, and then gets the same values.
        is_drawn = owner_of(trial) is not None or len(history) > 1
        self._study.add_trial(
            optuna.create_trial(
                state=TrialState.WAITING,
                params=trial.params if is_drawn else {},
                distributions=trial.distributions if is_drawn else {},
                system_attrs={**attributes, "failed_trial": history[0], "retry_history": history},
            )
        )

    def _died(self, number: int) -> bool:
        outcome = outcome_of(trial_of(self._study, number))
        return outcome is not None and outcome.status == "died"


def _forecast(model: CostModel, params: Mapping[str, Any], fidelity: int) -> float:
    forecast = model.forecast(params, fidelity)
    return forecast.cost if forecast else 0.0
