"""The queue of trials: each is drawn and reserved once, within the total and the budget."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from greensweep.config.grammar import kept_as_override
from greensweep.energy.units import duration_text, joules_text
from greensweep.errors import StudyError, plural
from greensweep.search.budget import drawing_joules, over_budget, spent
from greensweep.search.cost_model import CostModel, whole_joules, whole_seconds
from greensweep.search.encoder import holds
from greensweep.search.optuna_internals import trial_of
from greensweep.search.records import (
    ENQUEUED,
    FLOPS,
    OWNER,
    PROGRESS,
    Outcome,
    counted,
    fidelity_of,
    flops_of,
    keep,
    kept,
    left_to_repeat,
    outcome_of,
    status_of,
    this_process,
)
from greensweep.search.recovery import Recovery
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


@dataclass
class TrialQueue(Recovery):
    """Hands out the trials of a study: draws the next, and reserves it for who asked.

    Attributes:
        flops_of: returns how much a trial will compute; asked where there is a budget.
    """

    flops_of: Callable[[ReservedTrial], float | None] | None = None

    def prepare(self) -> None:
        """Make a study ready to go on: recover what died, queue what was interrupted.

        Raises:
            StudyError: a point to start from is outside of the space.
        """
        with self.lock:
            self.recover_dead()
            for trial in left_to_repeat(self.study.get_trials(deepcopy=False)):
                self.run_again(trial)
            self._enqueue()

    def reserve(self) -> ReservedTrial | None:
        """Draw the next trial and take it; None where no more are to run.

        Raises:
            StudyError: the sampler cannot be made.
        """
        with self.lock:
            self.recover_dead()
            trials = self._with_interrupted(self.study.get_trials(deepcopy=False))
            done = counted(trials)
            if len(done) >= self.spec.total or self._limit_reached(trials, done):
                return None
            if any(status_of(each) == "withdrawn" for each in left_to_repeat(trials)):
                return None  # it would be drawn again, and withdrawn again
            self.study.sampler = self._sampler(trials, done)
            drawn = self.study.ask()
            space = self.spec.space
            params = space.filled(lambda name: suggest(drawn, name, space.distributions[name]))
            keep(self.study, drawn, OWNER, asdict(this_process()))
            reserved = ReservedTrial(drawn.number, params, self._fidelity(drawn.number))
            reason = self._surplus(reserved.number) or self._unaffordable(trials, reserved)
            if reason is None:
                return reserved
            frozen = trial_of(self.study, reserved.number)
            withdrawn = Outcome("withdrawn", reason)
            finish_trial(self.study, frozen, withdrawn, None, self.folder(frozen))
            return None

    def _with_interrupted(self, trials: list[FrozenTrial]) -> list[FrozenTrial]:
        """Queue what another command left interrupted; return all trials as they are then."""
        left = [each for each in left_to_repeat(trials) if status_of(each) != "withdrawn"]
        for trial in left:
            self.run_again(trial)
        return self.study.get_trials(deepcopy=False) if left else trials

    def _fidelity(self, number: int) -> int:
        # The storage is read only where there is something to read.
        return fidelity_of(trial_of(self.study, number)) if self.spec.fidelities else 0

    def _sampler(self, trials: Sequence[FrozenTrial], done: Sequence[FrozenTrial]) -> BaseSampler:
        """Return the strategy for the next trial; a grid's next point is put in the queue.

        Optuna's own grid goes by the trials' numbers, which a trial that runs again shifts, and
        at its end stops a loop that is not there.
        """
        spec, space = self.spec, self.spec.space
        others = any(trial.state == TrialState.RUNNING for trial in trials)
        sampler = spec.build_sampler(len(done), side_by_side=others or spec.parallel)
        if not space.may_repeat:
            return sampler
        taken = {(fidelity_of(trial), space.key(trial.params)) for trial in done}
        if spec.is_grid and not any(trial.state == TrialState.WAITING for trial in trials):
            for place in numpy.random.default_rng(spec.seed).permutation(int(space.size)):
                point = space.point(place)
                if (0, space.key(point)) not in taken:
                    self.study.enqueue_trial(point)
                    break
        return DeduplicatingSampler(sampler, space, taken, [spec.seed, len(done)])

    def left(self) -> int:
        """Return how many trials are yet to be reserved; 0 where a limit is reached."""
        trials = self.study.get_trials(deepcopy=False)
        done = counted(trials)
        withdrawn = any(status_of(each) == "withdrawn" for each in left_to_repeat(trials))
        if withdrawn or self._limit_reached(trials, done):
            return 0
        return max(self.spec.total - len(done), 0)

    def fits(self, seconds: float) -> bool:
        """Tell whether the next trial will end in so much time, as surely as earlier ones tell."""
        if seconds == math.inf:
            return True
        trials = self.study.get_trials(deepcopy=False)
        forecast = CostModel(self.spec.space, trials, whole_seconds).of_trials(1)
        return seconds > 0 if forecast is None else forecast.high <= seconds

    def ended(self) -> str | None:
        """Return why no more trials are run, though the total is not reached."""
        trials = self.study.get_trials(deepcopy=False)
        done = counted(trials)
        if len(done) >= self.spec.total:
            return None
        left = left_to_repeat(trials)
        outcome = outcome_of(left[-1]) if left else None
        return self._limit_reached(trials, done) or (outcome.error if outcome else None)

    def _limit_reached(
        self, trials: Sequence[FrozenTrial], done: Sequence[FrozenTrial]
    ) -> str | None:
        """Say what ends the search before its total: failures, a budget, or too little to gain."""
        spec = self.spec
        failed = sum(trial.state == TrialState.FAIL for trial in done)
        if failed and failed > spec.max_failure_rate * len(done):
            return (
                f"{failed} of {plural(len(done), 'trial')} failed, more than "
                f"hydra.sweeper.max_failure_rate={spec.max_failure_rate:g} allows"
            )
        reason = None
        if spec.has_budget:
            reason = over_budget(spec, spent(self.study, trials), drawing_joules(trials))
            reason = reason and reason + _too_small(spec, trials)
        return reason or not_worth_it(spec, self.study, trials)

    def _surplus(self, number: int) -> str | None:
        """Say that a trial is one too many: another machine, which has no lock here, was faster."""
        if self.spec.storage.startswith("sqlite"):
            return None
        earlier = [each for each in self.study.get_trials(deepcopy=False) if each.number < number]
        total = self.spec.total
        return f"no trial of {total} is left" if len(counted(earlier)) >= total else None

    def _unaffordable(self, trials: Sequence[FrozenTrial], reserved: ReservedTrial) -> str | None:
        """Say why a drawn trial would break the budget, with what the running ones still need."""
        spec = self.spec
        if not spec.has_budget:
            return None
        flops = self.flops_of(reserved) if self.flops_of else None
        if flops is not None:
            own = trial_of(self.study, reserved.number)
            keep(self.study, own, FLOPS, flops)
        joules = seconds = 0.0
        if spec.budget_joules is not None:
            model = CostModel(spec.space, trials)
            own_joules = model.of_trial(reserved.params, reserved.fidelity, flops) or 0.0
            joules = drawing_joules(trials) + own_joules
            for trial in trials:
                if trial.state == TrialState.RUNNING:
                    known = (kept(trial, PROGRESS) or {}).get("spent_joules") or 0.0
                    whole = model.of_trial(trial.params, fidelity_of(trial), flops_of(trial)) or 0.0
                    joules += max(whole - known, 0.0)
        if spec.budget.hours is not None:
            model = CostModel(spec.space, trials, whole_seconds)
            seconds = model.of_trial(reserved.params, reserved.fidelity, flops) or 0.0
        return over_budget(spec, spent(self.study, trials), joules, seconds)

    def _enqueue(self) -> None:
        """Put the points to start from in the queue, once; none where one is outside the space."""
        space = self.spec.space
        for point in self.spec.enqueue:
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
        for point in self.spec.enqueue:
            self.study.enqueue_trial(dict(point), ENQUEUED, skip_if_exists=True)


def _too_small(spec: SearchSpec, trials: Sequence[FrozenTrial]) -> str:
    """Say what a whole trial takes where a budget let none finish; nothing elsewhere."""
    joules = spec.budget_joules is not None
    wholes = map(whole_joules if joules else whole_seconds, trials)
    least = min(filter(None, wholes), default=None)
    if least is None or any(trial.state == TrialState.COMPLETE for trial in trials):
        return ""
    told = joules_text(least, digits=2) if joules else duration_text(least, digits=2)
    return f", before a trial finished: one takes about {told}"
