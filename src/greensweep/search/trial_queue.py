"""The queue of trials: each is drawn and reserved once, within the total and the budget."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy
import optuna
from filelock import FileLock
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from greensweep.config.grammar import kept_as_override
from greensweep.errors import StudyError
from greensweep.search.budget import drawing_joules, over_budget, spent
from greensweep.search.cost_model import CostModel, whole_joules, whole_seconds
from greensweep.search.encoder import holds
from greensweep.search.fidelity import fidelity_of
from greensweep.search.optuna_internals import set_user_attribute, trial_of
from greensweep.search.records import (
    FLOPS,
    OWNER,
    PROGRESS,
    Outcome,
    counted,
    flops_of,
    left_to_repeat,
    outcome_of,
    this_process,
)
from greensweep.search.recovery import Folder, Recovery, ValuesOf
from greensweep.search.samplers.deduplicating import DeduplicatingSampler
from greensweep.search.space import range_text, suggest
from greensweep.search.spec import SearchSpec
from greensweep.search.stopping import not_worth_it
from greensweep.search.trial import finish_trial


@dataclass(frozen=True)
class ReservedTrial:
    """A trial that this process is to run, in a cheaper fidelity, counted from 1, or whole (0)."""

    number: int
    params: Mapping[str, Any]
    fidelity: int = 0


FlopsOf = Callable[[ReservedTrial], float | None]


@dataclass(frozen=True)
class Exhausted:
    """There is no further trial to run, and why; `early` says that the total is not reached."""

    reason: str
    early: bool


class TrialQueue:
    """Hands out the trials of a study: draws the next, and reserves it for who asked.

    Args:
        values_of: returns the objectives of a finished run that left a result.
        flops_of: returns how much a trial will compute; asked where there is a budget.
    """

    def __init__(
        self,
        spec: SearchSpec,
        study: optuna.Study,
        folder: Folder,
        values_of: ValuesOf | None = None,
        flops_of: FlopsOf | None = None,
    ) -> None:
        self._spec, self._study = spec, study
        self.folder, self._flops_of = folder, flops_of
        self._recovery = Recovery(spec, study, folder, values_of)
        self._lock = FileLock(spec.lock_file("claim"))

    def prepare(self) -> None:
        """Make a study ready to go on: recover what died, queue what was interrupted.

        Raises:
            StudyError: a point to start from is outside of the space.
        """
        with self._lock:
            self._recovery.recover_dead()
            trials = self._study.get_trials(deepcopy=False)
            for trial in left_to_repeat(trials):
                self._recovery.run_again(trial)
            self._enqueue()

    def reserve(self) -> ReservedTrial | Exhausted:
        """Draw the next trial and take it.

        Raises:
            StudyError: the sampler cannot be made.
        """
        with self._lock:
            self._recovery.recover_dead()
            trials = self._with_interrupted(self._study.get_trials(deepcopy=False))
            done = counted(trials)
            exhausted = self._exhausted(trials, done)
            if exhausted is not None:
                return exhausted
            withdrawn_already = self._withdrawn(trials)
            if withdrawn_already is not None:
                return Exhausted(withdrawn_already, early=True)
            self._study.sampler = self._sampler(trials, done)
            drawn = self._study.ask()
            space = self._spec.space
            params: dict[str, Any] = {}
            for name in space.names:
                if space.has(name, params):
                    params[name] = suggest(drawn, name, space.distributions[name])
            drawn.set_user_attr(OWNER, asdict(this_process()))
            reserved = ReservedTrial(drawn.number, params, self._fidelity(drawn.number))
            reason = self._surplus(reserved.number) or self._unaffordable(trials, reserved)
            if reason is None:
                return reserved
            withdrawn = Outcome("withdrawn", reason)
            frozen = trial_of(self._study, reserved.number)
            finish_trial(self._study, frozen, withdrawn, None, self.folder(frozen))
            return Exhausted(reason, early=True)

    def _with_interrupted(self, trials: list[FrozenTrial]) -> list[FrozenTrial]:
        """Queue what another command left interrupted; return all trials as they are then."""
        left = [trial for trial in left_to_repeat(trials) if not _is_withdrawn(trial)]
        for trial in left:
            self._recovery.run_again(trial)
        return self._study.get_trials(deepcopy=False) if left else trials

    def _fidelity(self, number: int) -> int:
        # The storage is read only where there is something to read.
        return fidelity_of(trial_of(self._study, number)) if self._spec.fidelities else 0

    def _withdrawn(self, trials: Sequence[FrozenTrial]) -> str | None:
        """Say why a trial was withdrawn that would be drawn again now; None without one."""
        outcomes = [outcome_of(trial) for trial in left_to_repeat(trials) if _is_withdrawn(trial)]
        return outcomes[0].error if outcomes and outcomes[0] else None

    def _sampler(self, trials: Sequence[FrozenTrial], done: Sequence[FrozenTrial]) -> BaseSampler:
        """Return the strategy for the next trial; a grid's next point is put in the queue.

        Optuna's own grid goes by the trials' numbers, which a trial that runs again shifts, and
        at its end stops a loop that is not there.
        """
        spec, space = self._spec, self._spec.space
        others = any(trial.state == TrialState.RUNNING for trial in trials)
        sampler = spec.build_sampler(len(done), side_by_side=others or spec.parallel)
        if not space.may_repeat:
            return sampler
        taken = {(fidelity_of(trial), space.key(trial.params)) for trial in done}
        if spec.is_grid and not any(trial.state == TrialState.WAITING for trial in trials):
            for place in numpy.random.default_rng(spec.seed).permutation(int(space.size)):
                point = space.point(place)
                if (0, space.key(point)) not in taken:
                    self._study.enqueue_trial(point)
                    break
        return DeduplicatingSampler(sampler, space, taken, [spec.seed, len(done)])

    def recover_dead(self) -> int:
        """Recover the trials whose process has died; return how many."""
        with self._lock:
            return self._recovery.recover_dead()

    def recover(self, trial: FrozenTrial) -> bool:
        """Finish a running trial by what its folder holds; False where it says nothing."""
        with self._lock:
            return self._recovery.recover(trial)

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
        reason = None
        if spec.has_budget:
            reason = over_budget(spec, spent(self._study, trials), drawing_joules(trials))
            reason = reason and reason + _too_small(spec, trials)
        reason = reason or not_worth_it(spec, self._study, trials)
        return Exhausted(reason, early=True) if reason else None

    def _surplus(self, number: int) -> str | None:
        """Say that a trial is one too many: another machine, which has no lock here, was faster."""
        if self._spec.storage.startswith("sqlite"):
            return None
        earlier = [each for each in self._study.get_trials(deepcopy=False) if each.number < number]
        total = self._spec.total
        return f"all {total} trials are taken" if len(counted(earlier)) >= total else None

    def _unaffordable(self, trials: Sequence[FrozenTrial], reserved: ReservedTrial) -> str | None:
        """Say why a drawn trial would break the budget, with what the running ones still need."""
        spec = self._spec
        if not spec.has_budget:
            return None
        flops = self._flops_of(reserved) if self._flops_of else None
        if flops is not None:
            own = trial_of(self._study, reserved.number)
            set_user_attribute(self._study, own, FLOPS, flops)
        joules = seconds = 0.0
        if spec.budget_joules is not None:
            model = CostModel(spec.space, trials)
            own_joules = _forecast(model, reserved.params, reserved.fidelity, flops)
            joules = drawing_joules(trials) + own_joules
            for trial in trials:
                if trial.state == TrialState.RUNNING:
                    known = (trial.user_attrs.get(PROGRESS) or {}).get("spent_joules") or 0.0
                    whole = _forecast(model, trial.params, fidelity_of(trial), flops_of(trial))
                    joules += max(whole - known, 0.0)
        if spec.budget.hours is not None:
            model = CostModel(spec.space, trials, whole_seconds)
            seconds = _forecast(model, reserved.params, reserved.fidelity, flops)
        return over_budget(spec, spent(self._study, trials), joules, seconds)

    def _enqueue(self) -> None:
        """Put the points to start from in the queue, once; none where one is outside the space."""
        space = self._spec.space
        for point in self._spec.enqueue:
            for name, value in point.items():
                distribution = space.distributions.get(name)
                if distribution is None:
                    raise StudyError(
                        f"hydra.sweeper.enqueue: {name} is not searched: leave it out, or search it"
                    )
                if not holds(distribution, value):
                    raise StudyError(
                        f"hydra.sweeper.enqueue: {name}={kept_as_override(value)} is outside of "
                        f"its space, {range_text(distribution)}: widen it, or leave the value out"
                    )
                needed = space.conditions.get(name, {})
                if needed.keys() <= point.keys() and not space.has(name, point):
                    raise StudyError(
                        f"hydra.sweeper.enqueue: {name} is searched only with certain values of "
                        f"{', '.join(needed)}: leave it out of this point"
                    )
        for point in self._spec.enqueue:
            self._study.enqueue_trial(dict(point), skip_if_exists=True)


def _too_small(spec: SearchSpec, trials: Sequence[FrozenTrial]) -> str:
    """Say what a whole trial takes where a budget let none finish; nothing elsewhere."""
    joules = spec.budget_joules is not None
    wholes = map(whole_joules if joules else whole_seconds, trials)
    least = min(filter(None, wholes), default=None)
    if least is None or any(trial.state == TrialState.COMPLETE for trial in trials):
        return ""
    return f", before a trial finished: one takes about {least:.3g} {'J' if joules else 's'}"


def _is_withdrawn(trial: FrozenTrial) -> bool:
    outcome = outcome_of(trial)
    return outcome is not None and outcome.status == "withdrawn"


def _forecast(
    model: CostModel, params: Mapping[str, Any], fidelity: int, flops: float | None
) -> float:
    forecast = model.of_trial(params, fidelity, flops)
    return forecast.cost if forecast else 0.0
