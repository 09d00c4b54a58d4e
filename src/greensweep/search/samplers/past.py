"""What the trials of a search so far teach a model."""

from collections.abc import Mapping, Sequence

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

from greensweep.search.records import outcome_of, runs_again, whole_joules
from greensweep.search.samplers.draws import finite
from greensweep.search.samplers.process import Figures
from greensweep.search.samplers.scales import Box, holds


class Past:
    """Places and figures of the trials so far. Scores are better when higher.

    - Finished trials teach what they came to and cost.
    - A pruned trial teaches its last report, though never more than the median finished one: it
      was given up for being behind. Its energy teaches the cost of a whole trial, projected from
      the epochs that it ran to those that were planned.
    - A failed trial scores as the worst one: whatever made it fail, its neighbours are not
      sought. Its energy teaches nothing, nor does anything of a trial that runs again.

    Attributes:
        places, scores, feasible: of trials with a score.
        metered_places, log_joules: of trials with an energy; natural logarithm of joules.
        judged_places, broken_by: of trials with constraints, one array for each constraint.
        finished: which of the scores are those of trials that ran to their end.
        running: places of running trials.
        tried: places of all trials that are, or were, run.
    """

    def __init__(
        self,
        trials: Sequence[FrozenTrial],
        box: Box,
        space: Mapping[str, BaseDistribution],
        maximize: bool,
    ) -> None:
        sign = 1.0 if maximize else -1.0
        known = [
            trial
            for trial in trials
            if space.keys() - box.conditions.keys() <= trial.params.keys()
            and all(holds(space[n], trial.params[n]) for n in space.keys() & trial.params.keys())
        ]
        at = {trial.number: box.place(trial.params) for trial in known}
        finished = [t for t in known if t.state == TrialState.COMPLETE and finite(t.values)]
        scores = {t.number: sign * (t.values or [0.0])[0] for t in finished}
        if finished:
            typical = float(np.median(list(scores.values())))
            worst = min(scores.values())
            for trial in known:
                if trial.state == TrialState.PRUNED:
                    last = _last_report(trial)
                    scores[trial.number] = typical if last is None else min(sign * last, typical)
                elif trial.state == TrialState.FAIL and not _again(trial):
                    scores[trial.number] = worst
        self.places = _stack([at[number] for number in scores], box)
        self.scores: Figures = np.array(list(scores.values()))
        ends = {trial.number: trial for trial in finished}
        self.feasible = np.array(
            [n in ends and all(x <= 0 for x in ends[n].constraints.values()) for n in scores],
            dtype=bool,
        )
        self.finished = np.array([n in ends for n in scores], dtype=bool)
        joules = {t.number: cost for t in known if (cost := whole_joules(t)) is not None}
        self.metered_places = _stack([at[number] for number in joules], box)
        self.log_joules: Figures = np.log(list(joules.values()))
        judged = [t for t in finished if t.constraints]
        names = sorted({name for t in judged for name in t.constraints})
        judged = [t for t in judged if all(name in t.constraints for name in names)]
        self.judged_places = _stack([at[t.number] for t in judged], box)
        self.broken_by: list[Figures] = [
            np.array([t.constraints[name] for t in judged]) for name in names if len(judged) > 1
        ]
        self.tried = _stack([at[t.number] for t in known if t.state != TrialState.WAITING], box)
        self.running = _stack([at[t.number] for t in known if t.state == TrialState.RUNNING], box)


def _last_report(trial: FrozenTrial) -> float | None:
    reports = trial.intermediate_values
    last = reports[max(reports)] if reports else None
    return last if last is not None and np.isfinite(last) else None


def _again(trial: FrozenTrial) -> bool:
    outcome = outcome_of(trial)
    return runs_again(trial) or (outcome is not None and outcome.status == "died")


def _stack(rows: Sequence[Figures], box: Box) -> Figures:
    return np.stack(rows) if rows else np.empty((0, box.sides))
