"""End a trial by what limits it: an interrupt, a constraint, the budget."""

import time

import optuna

from greensweep.energy import sum_joules
from greensweep.energy.units import JOULES_PER_KWH
from greensweep.errors import TrialEnded
from greensweep.record.reporting import Progress
from greensweep.search.budget import over_budget
from greensweep.search.constraints import broken_already, of_energy, refuse_unmetered
from greensweep.search.cost_model import epoch_cost
from greensweep.search.interrupt import interrupted
from greensweep.search.records import CurvePoint
from greensweep.search.spec import SearchSpec
from greensweep.search.trials_so_far import trials_so_far


class TrialLimits:
    """Ends one trial by an interrupt, a constraint or a budget, as soon as it must break it.

    Args:
        search_joules: what drawing the trial cost.
    """

    def __init__(self, spec: SearchSpec, study: optuna.Study, search_joules: float) -> None:
        self._spec, self._study, self._search_joules = spec, study, search_joules
        self._energy_options = of_energy(spec)
        self._began = time.monotonic()
        self._earlier: list[Progress] = []  # repeats, at their ends
        self._first: CurvePoint | None = None  # of the present repeat
        self._epoch_joules = self._epoch_seconds = 0.0

    def begin_repeat(self, ended: Progress) -> None:
        """Go on with the next repeat, after one that came to this."""
        self._earlier.append(ended)
        self._first = None

    def learn_costs(self, last: CurvePoint, repeat: int) -> None:
        """Estimate what an epoch costs from the reports of this repeat, the more the surer."""
        first, self._first = self._first, self._first or last
        is_known = repeat == 0 if first is None else last.epoch > first.epoch
        if is_known and last.epoch:
            self._epoch_joules = epoch_cost(first, last, "spent_joules")
            self._epoch_seconds = epoch_cost(first, last, "seconds")

    def end_if_over(self, progress: Progress) -> None:
        """Look at all bounds: interrupt, energy figures, constraints, budget.

        Raises:
            TrialEnded: the trial breaks one.
            ConstraintError: one cannot be kept to.
        """
        self.end_by_itself(progress)
        self._end_over_budget(progress, _when(progress))

    def end_by_itself(self, progress: Progress) -> None:
        """Look at the bounds that the trial alone may break: all but the budget.

        Raises:
            TrialEnded: the trial breaks one.
            ConstraintError: one cannot be kept to.
        """
        when = _when(progress)
        if interrupted():
            raise TrialEnded("stopped", f"interrupted {when}", interrupted=True)
        refuse_unmetered(self._energy_options, progress.spent_joules, progress.lost, when)
        broken = broken_already(self._spec.constraints, self._so_far(progress), progress.known)
        if broken is not None:
            raise TrialEnded("pruned", f"pruned {when}: {broken}")

    def _so_far(self, progress: Progress) -> dict[str, float | None]:
        """Return the figures that only grow; over repeats as the means that a result states."""
        runs, repeats = [*self._earlier, progress], progress.repeats
        seconds = time.monotonic() - self._began
        if progress.seconds is not None:
            seconds = sum(each.seconds or 0.0 for each in runs) / repeats
        figures = {
            "spent_joules": progress.spent_joules,
            "energy_spent_joules": progress.spent_joules,
            "seconds": seconds,
            "epochs": round(sum(each.epoch for each in runs) / repeats),  # as a result rounds it
        }
        if (total := sum_joules(each.joules for each in runs)) is not None:
            joules = total / repeats
            figures |= {"joules": joules, "energy_joules": joules}
            figures["energy_kwh"] = joules / JOULES_PER_KWH
            if (kilograms := self._spec.emissions_kg(joules)) is not None:
                figures["emissions_kg"] = kilograms
        return figures

    def _end_over_budget(self, progress: Progress, when: str) -> None:
        if not self._spec.has_budget:
            return
        so_far = trials_so_far(self._study)
        # After the trial the search goes on for a while, if only to find that nothing is left.
        next_joules = self._epoch_joules + max(so_far.drawing_joules, self._search_joules)
        used = so_far.spent()  # with this trial's, by its latest report
        reason = over_budget(self._spec, used, next_joules, self._epoch_seconds)
        if reason is not None:
            raise TrialEnded("stopped", f"stopped {when}: {reason}")


def _when(progress: Progress) -> str:
    return f"after epoch {progress.epoch}" if progress.epoch else "before its first epoch"
