"""End a trial by what limits it: an interrupt, a constraint, the budget."""

import time
from dataclasses import dataclass

import optuna
from optuna.trial import FrozenTrial

from greensweep.energy import sum_joules
from greensweep.errors import MissingFigure, TrialEnded
from greensweep.record.reporting import Progress
from greensweep.search.budget import drawing_joules, over_budget, spent
from greensweep.search.constraints import (
    OPTION,
    broken_already,
    growing_figures,
    of_energy,
    parse_constraints,
    refuse_unmetered,
)
from greensweep.search.cost_model import epoch_cost
from greensweep.search.interrupt import interrupted
from greensweep.search.records import CurvePoint
from greensweep.search.spec import SearchSpec


@dataclass(frozen=True)
class _Totals:
    """Of training, over the repeats so far."""

    joules: float | None = None
    seconds: float | None = None
    epochs: int = 0

    def with_repeat(self, progress: Progress) -> "_Totals":
        """Return them with those of one more repeat, ended or not."""
        return _Totals(
            sum_joules([self.joules, progress.joules]),
            None if progress.seconds is None else (self.seconds or 0.0) + progress.seconds,
            self.epochs + progress.epoch,
        )


class TrialLimits:
    """Ends one trial by an interrupt, a constraint or a budget, as soon as it must break it.

    Args:
        search_joules: what drawing the trial cost.
    """

    def __init__(
        self, spec: SearchSpec, study: optuna.Study, trial: FrozenTrial, search_joules: float
    ) -> None:
        self._spec, self._study, self._trial = spec, study, trial
        self._search_joules = search_joules
        self._energy_options = of_energy(spec)
        self._began = time.monotonic()
        self._earlier = _Totals()
        self._first: CurvePoint | None = None  # of the present repeat
        self._epoch_joules = self._epoch_seconds = 0.0

    def begin_repeat(self, ended: Progress) -> None:
        """Go on with the next repeat, after one that came to this."""
        self._earlier, self._first = self._earlier.with_repeat(ended), None

    def learn_costs(self, progress: Progress) -> None:
        """Estimate what an epoch costs from the reports of this repeat, the more the surer."""
        seconds = time.monotonic() - self._began
        last = CurvePoint(
            progress.epoch, None, progress.joules, progress.spent_joules, seconds=seconds
        )
        first, self._first = self._first, self._first or last
        is_known = progress.repeat == 0 if first is None else progress.epoch > first.epoch
        if is_known and progress.epoch:
            self._epoch_joules = epoch_cost(first, last, "spent_joules")
            self._epoch_seconds = epoch_cost(first, last, "seconds")

    def end_if_over(self, progress: Progress) -> None:
        """Look at all bounds: interrupt, energy figures, constraints, budget.

        Raises:
            TrialEnded: the trial breaks one.
            ConstraintError: one cannot be kept to.
        """
        when = f"after epoch {progress.epoch}" if progress.epoch else "before its first epoch"
        if interrupted():
            raise TrialEnded("stopped", f"interrupted {when}", interrupted=True)
        refuse_unmetered(self._energy_options, progress.spent_joules, progress.lost, when)
        broken = broken_already(
            self._spec.constraints, self._so_far(progress), self._known(progress)
        )
        if broken is not None:
            raise TrialEnded("pruned", f"pruned {when}: {broken}")
        self._end_over_budget(progress, when)

    def _so_far(self, progress: Progress) -> dict[str, float]:
        """Return the figures that only grow; over repeats as the means that a result states."""
        totals, repeats = self._earlier.with_repeat(progress), progress.repeats
        elapsed = time.monotonic() - self._began
        return growing_figures(
            joules=None if totals.joules is None else totals.joules / repeats,
            spent_joules=progress.spent_joules,
            seconds=elapsed if totals.seconds is None else totals.seconds / repeats,
            epochs=totals.epochs / repeats,
            kg_per_joule=self._spec.kg_per_joule,
        )

    def _known(self, progress: Progress) -> dict[str, float]:
        """Return the figures that are known for good, where all that are bounded will be known."""
        for bound in parse_constraints(self._spec.constraints):
            if progress.known.get(bound.figure, 0.0) is None:
                raise MissingFigure(
                    f"{OPTION}: {bound.name} bounds {bound.figure}, which cannot be computed for "
                    "this network: leave it out"
                )
        return {name: value for name, value in progress.known.items() if value is not None}

    def _end_over_budget(self, progress: Progress, when: str) -> None:
        if not self._spec.has_budget:
            return
        own = progress.spent_joules or 0.0
        trials = self._study.get_trials(deepcopy=False)
        used = spent(self._study, trials, without=self._trial.number)
        used = type(used)(used.joules + own + self._search_joules, used.hours)
        # After the trial the search goes on for a while, if only to find that nothing is left.
        to_search = max(drawing_joules(trials), self._search_joules)
        reason = over_budget(self._spec, used, self._epoch_joules + to_search, self._epoch_seconds)
        if reason is not None:
            raise TrialEnded("stopped", f"stopped {when}: {reason}")
