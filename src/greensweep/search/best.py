"""The best trials of a search: the best one, or of several objectives the Pareto front."""

from collections.abc import Sequence

import numpy
import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from greensweep.pareto import is_pareto_optimal
from greensweep.search.records import outcome_of


def best_trials(trials: Sequence[FrozenTrial], study: optuna.Study) -> list[FrozenTrial]:
    """Return the best finished trial that keeps all constraints, or the Pareto-optimal ones."""
    feasible = [
        trial for trial in trials if trial.state == TrialState.COMPLETE and keeps_constraints(trial)
    ]
    if not feasible:
        return []
    signs = [-1 if each == StudyDirection.MAXIMIZE else 1 for each in study.directions]

    def first_loss_then_joules(trial: FrozenTrial) -> tuple[float, float]:
        outcome = outcome_of(trial)
        return signs[0] * trial.values[0], (outcome.joules if outcome else None) or 0.0

    if len(signs) == 1:
        return [min(feasible, key=first_loss_then_joules)]
    optimal = is_pareto_optimal([numpy.multiply(signs, trial.values) for trial in feasible])
    front = [trial for trial, is_optimal in zip(feasible, optimal, strict=True) if is_optimal]
    return sorted(front, key=lambda trial: signs[0] * trial.values[0])


def keeps_constraints(trial: FrozenTrial) -> bool:
    """Tell whether a trial keeps all constraints, that of having been run whole among them."""
    return all(excess <= 0 for excess in trial.constraints.values())
