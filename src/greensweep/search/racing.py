"""End the repeats of a trial that is surely worse than the best."""

from collections.abc import Sequence

import optuna
from optuna.study import StudyDirection
from optuna.trial import TrialState
from scipy.stats import ttest_ind

from greensweep.search.records import outcome_of

_SIGNIFICANT = 0.05
_FEWEST = 2


def falls_short(study: optuna.Study, values: Sequence[float]) -> tuple[int, float] | None:
    """Compare a trial's repeats with those of the best finished trial.

    A one-sided test of Welch's, at 0.05, of whether their mean is worse.

    Args:
        study: of one objective.
        values: the objective of each repeat so far.

    Returns:
        The better trial's number and the p-value; None where the trial may be as good, or where
        either has fewer than two repeats.
    """
    if len(values) < _FEWEST:
        return None
    is_max = study.direction == StudyDirection.MAXIMIZE
    finished = [
        (trial.value, trial.number, outcome.repeats)
        for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        if (outcome := outcome_of(trial)) is not None and len(outcome.repeats) >= _FEWEST
    ]
    if not finished:
        return None
    _, number, best = max(finished, key=lambda each: (each[0] or 0.0) * (1 if is_max else -1))
    worse = "less" if is_max else "greater"
    chance = float(ttest_ind(values, best, equal_var=False, alternative=worse).pvalue)
    return (number, chance) if chance < _SIGNIFICANT else None
