"""What the trials of a search so far teach a model."""

from collections.abc import Iterable, Sequence

import numpy as np
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from greensweep.gaussian_process import FloatArray
from greensweep.search.cost_model import whole_joules
from greensweep.search.encoder import SpaceEncoder
from greensweep.search.records import MOST_DEATHS, runs_again, status_of

Data = tuple[FloatArray, FloatArray]  # points, and the values at them


class Observations:
    """The trials so far as points of the unit cube, with their scores (higher is better).

    - Finished trials teach what they came to and cost.
    - A pruned trial teaches its last report, though never more than the median finished one: it
      was given up for being behind. Its energy teaches the cost of a whole trial, projected from
      the epochs that it ran to those that were planned.
    - A failed trial scores as the worst one: whatever made it fail, its neighbours are not
      sought. Its energy teaches nothing, nor does anything of a trial that runs again.

    Args:
        encoder: trials outside of its space are left out.

    Attributes:
        points, scores, feasible: of trials with a score.
        ended: points and scores of those that ran to their end.
        metered: points and natural logarithms of joules, of trials with an energy.
        constrained_points, violations: of trials with constraints, one array for each constraint.
        pending: points of running trials.
        tried: points of all trials that are, or were, run.
    """

    def __init__(
        self, trials: Sequence[FrozenTrial], encoder: SpaceEncoder, direction: StudyDirection
    ) -> None:
        self.encoder = encoder
        sign = 1.0 if direction == StudyDirection.MAXIMIZE else -1.0
        known = [trial for trial in trials if encoder.holds(trial.params)]
        params = {trial.number: trial.params for trial in known}

        def points(numbers: Iterable[int]) -> FloatArray:
            return encoder.encode_all(params[number] for number in numbers)

        finished = [
            t for t in known if t.state == TrialState.COMPLETE and np.isfinite(t.values).all()
        ]
        scores = {t.number: sign * (t.values or [0.0])[0] for t in finished}
        if finished:
            typical = float(np.median(list(scores.values())))
            worst = min(scores.values())
            for trial in known:
                is_again = runs_again(trial) or status_of(trial) in MOST_DEATHS
                if trial.state == TrialState.PRUNED:
                    last = _last_report(trial)
                    scores[trial.number] = typical if last is None else min(sign * last, typical)
                elif trial.state == TrialState.FAIL and not is_again:
                    scores[trial.number] = worst
        self.points = points(scores)
        self.scores: FloatArray = np.array(list(scores.values()))
        ends = {trial.number: trial for trial in finished}
        self.feasible = np.array(
            [n in ends and all(x <= 0 for x in ends[n].constraints.values()) for n in scores],
            dtype=bool,
        )
        ran_to_end = np.array([n in ends for n in scores], dtype=bool)
        self.ended: Data = self.points[ran_to_end], self.scores[ran_to_end]
        joules = {t.number: cost for t in known if (cost := whole_joules(t)) is not None}
        self.metered: Data = points(joules), np.log(list(joules.values()))
        constrained = [t for t in finished if t.constraints]
        names = sorted({name for t in constrained for name in t.constraints})
        constrained = [t for t in constrained if all(name in t.constraints for name in names)]
        self.constrained_points = points(t.number for t in constrained)
        self.violations: list[FloatArray] = [
            np.array([t.constraints[name] for t in constrained])
            for name in names
            if len(constrained) > 1
        ]
        self.tried = points(t.number for t in known if t.state != TrialState.WAITING)
        self.pending = points(t.number for t in known if t.state == TrialState.RUNNING)


def _last_report(trial: FrozenTrial) -> float | None:
    reports = trial.intermediate_values
    last = reports[max(reports)] if reports else None
    return last if last is not None and np.isfinite(last) else None
