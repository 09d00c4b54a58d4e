"""The queue of trials: each is drawn and reserved once, within the total and the budget."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from greensweep.config.grammar import kept_as_override
from greensweep.energy.units import duration_text, joules_text
from greensweep.errors import StudyError, plural
from greensweep.search.budget import over_budget
from greensweep.search.cost_model import CostModel, whole_joules, whole_seconds
from greensweep.search.encoder import holds
from greensweep.search.optuna_internals import one_transaction, trial_of
from greensweep.search.records import (
    ENQUEUED,
    FLOPS,
    OWNER,
    PROGRESS,
    Outcome,
    drawn_here,
    fidelity_of,
    flops_of,
    keep,
    kept,
    outcome_of,
    status_of,
    this_process,
)
from greensweep.search.recovery import Recovery
from greensweep.search.samplers.bounded import bounded
from greensweep.search.samplers.deduplicating import DeduplicatingSampler, TakenPoints
from greensweep.search.space import Params, range_text, suggest
from greensweep.search.spec import SearchSpec
from greensweep.search.stopping import not_worth_it
from greensweep.search.trial import finish_trial
from greensweep.search.trials_so_far import TrialsSoFar, trials_so_far

# Trials that the forecast of a trial's cost is learnt from: its model has a handful of figures.
_MOST_FOR_COSTS = 200


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

    def __post_init__(self) -> None:
        """No point is known to be taken yet."""
        super().__post_init__()
        self._taken = TakenPoints(self.spec.space)

    @cached_property
    def _grid_points(self) -> Iterator[Params]:
        """The points of the space, in the order of a grid search."""
        space = self.spec.space
        order = numpy.random.default_rng(self.spec.seed).permutation(int(space.size))
        return map(space.point, order)

    def prepare(self) -> None:
        """Make a study ready to go on: recover what died, queue what was interrupted.

        Raises:
            StudyError: a point to start from is outside of the space.
        """
        with self.claim():
            self.recover_dead()
            for trial in self._so_far().left_to_repeat():
                self.run_again(trial)
            self._enqueue()

    def reserve(self) -> ReservedTrial | None:
        """Draw the next trial and take it; None where no more are to run.

        Raises:
            StudyError: the sampler cannot be made.
        """
        with self.claim():
            self.recover_dead()
            so_far = self._with_interrupted()
            if so_far.counted >= self.spec.total or self._limit_reached(so_far):
                return None
            if any(status_of(each) == "withdrawn" for each in so_far.left_to_repeat()):
                return None  # it would be drawn again, and withdrawn again
            self.study.sampler = self._sampler(so_far)
            space = self.spec.space
            with one_transaction(self.study, drawn_here()):
                drawn = self.study.ask()
                params = space.filled(lambda name: suggest(drawn, name, space.distributions[name]))
                keep(self.study, drawn, OWNER, asdict(this_process()))
            reserved = ReservedTrial(drawn.number, params, self._fidelity(drawn.number))
            reason = self._surplus(reserved.number) or self._unaffordable(so_far, reserved)
            if reason is None:
                return reserved
            frozen = trial_of(self.study, reserved.number)
            withdrawn = Outcome("withdrawn", reason)
            finish_trial(self.study, frozen, withdrawn, None, self.folder(frozen))
            return None

    def _with_interrupted(self) -> TrialsSoFar:
        """Queue what another command left interrupted; return the trials as they are then."""
        so_far = self._so_far()
        left = [each for each in so_far.left_to_repeat() if status_of(each) != "withdrawn"]
        for trial in left:
            self.run_again(trial)
        return self._so_far() if left else so_far

    def _so_far(self) -> TrialsSoFar:
        # What running trials have reported is asked for where a budget pays for it.
        return trials_so_far(self.study, reports=self.spec.has_budget)

    def _fidelity(self, number: int) -> int:
        # The storage is read only where there is something to read.
        return fidelity_of(trial_of(self.study, number)) if self.spec.fidelities else 0

    def _sampler(self, so_far: TrialsSoFar) -> BaseSampler:
        """Return the strategy for the next trial; a grid's next point is put in the queue.

        Optuna's own grid goes by the trials' numbers, which a trial that runs again shifts, and
        at its end stops a loop that is not there.
        """
        spec, space = self.spec, self.spec.space
        side_by_side = bool(so_far.running) or spec.parallel
        sampler = bounded(spec.build_sampler(so_far.counted, side_by_side=side_by_side), so_far)
        if not space.may_repeat:
            return sampler
        taken = self._taken.read(so_far)
        if spec.is_grid and not so_far.are_waiting:
            # What is taken once stays so: a trial that runs again is waiting before another draw.
            for point in self._grid_points:
                if space.key(point) not in taken.in_fidelity(0):
                    self.study.enqueue_trial(dict(point))
                    break
        return DeduplicatingSampler(sampler, space, taken, [spec.seed, so_far.counted])

    def left(self) -> int:
        """Return how many trials are yet to be reserved; 0 where a limit is reached."""
        so_far = self._so_far()
        withdrawn = any(status_of(each) == "withdrawn" for each in so_far.left_to_repeat())
        if withdrawn or self._limit_reached(so_far):
            return 0
        return max(self.spec.total - so_far.counted, 0)

    def fits(self, seconds: float) -> bool:
        """Tell whether the next trial will end in so much time, as surely as earlier ones tell."""
        if seconds == math.inf:
            return True
        known = self._so_far().window(_MOST_FOR_COSTS, best=0).trials
        forecast = CostModel(self.spec.space, known, whole_seconds).of_trials(1)
        return seconds > 0 if forecast is None else forecast.high <= seconds

    def ended(self) -> str | None:
        """Return why no more trials are run, though the total is not reached."""
        so_far = self._so_far()
        if so_far.counted >= self.spec.total:
            return None
        left = so_far.left_to_repeat()
        outcome = outcome_of(left[-1]) if left else None
        return self._limit_reached(so_far) or (outcome.error if outcome else None)

    def _limit_reached(self, so_far: TrialsSoFar) -> str | None:
        """Say what ends the search before its total: failures, a budget, or too little to gain."""
        spec, failed = self.spec, so_far.states[TrialState.FAIL]
        if failed and failed > spec.max_failure_rate * so_far.counted:
            return (
                f"{failed} of {plural(so_far.counted, 'trial')} failed, more than "
                f"hydra.sweeper.max_failure_rate={spec.max_failure_rate:g} allows"
            )
        reason = None
        if spec.has_budget:
            reason = over_budget(spec, so_far.spent(), so_far.drawing_joules)
            reason = reason and reason + _too_small(spec, so_far.trials)
        return reason or not_worth_it(spec, self.study, so_far)

    def _surplus(self, number: int) -> str | None:
        """Say that a trial is one too many: another machine, which has no lock here, was faster."""
        total = self.spec.total
        if self.spec.storage.startswith("sqlite") or number < total:
            return None
        earlier = self._so_far().counted_before(number)
        return f"no trial of {total} is left" if earlier >= total else None

    def _unaffordable(self, so_far: TrialsSoFar, reserved: ReservedTrial) -> str | None:
        """Say why a drawn trial would break the budget, with what the running ones still need."""
        spec = self.spec
        if not spec.has_budget:
            return None
        flops = self.flops_of(reserved) if self.flops_of else None
        if flops is not None:
            own = trial_of(self.study, reserved.number)
            keep(self.study, own, FLOPS, flops)
        joules = seconds = 0.0
        known = so_far.window(_MOST_FOR_COSTS, best=0).trials
        if spec.budget_joules is not None:
            model = CostModel(spec.space, known)
            own_joules = model.of_trial(reserved.params, reserved.fidelity, flops) or 0.0
            joules = so_far.drawing_joules + own_joules
            for trial in so_far.running:
                spent = (kept(trial, PROGRESS) or {}).get("spent_joules") or 0.0
                whole = model.of_trial(trial.params, fidelity_of(trial), flops_of(trial)) or 0.0
                joules += max(whole - spent, 0.0)
        if spec.budget.hours is not None:
            model = CostModel(spec.space, known, whole_seconds)
            seconds = model.of_trial(reserved.params, reserved.fidelity, flops) or 0.0
        return over_budget(spec, so_far.spent(), joules, seconds)

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
