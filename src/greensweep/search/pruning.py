"""Prune a trial that would be dominated at its end, or whose repeats are surely worse."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy
import optuna
from optuna.study import StudyDirection
from optuna.trial import TrialState
from scipy.stats import ttest_ind

from greensweep.config.sweeper import PruningConfig
from greensweep.search.records import outcome_of

_SIGNIFICANT = 0.05
_FEWEST_REPEATS = 2


@dataclass(frozen=True)
class Finished:
    """A trial of two objectives that ran to its end.

    Attributes:
        score: its first objective, turned so that more is better.
        joules: its second.
        scores: its reports of the first, by epoch.
    """

    score: float
    joules: float
    scores: Mapping[int, float]


def dominated_by(
    finished: Sequence[Finished],
    pruning: PruningConfig,
    *,
    epoch: int,
    score: float,
    joules: float,
    epochs: int | None,
) -> Finished | None:
    """Return the finished trial that dominates even an optimistic end of this one, or None.

    With score a and joules E after epoch e, a trial's optimistic end is a plus a high quantile of
    what finished trials gained from epoch e to their own end, at the energy E projected to all
    epochs, which rises at least as E does. It is dominated when a finished trial is at least
    as good and cost no more.

    Args:
        epoch: epochs done.
        score: the best so far.
        joules: spent on them.
        epochs: planned; None projects nothing, and joules so far are what is compared.
    """
    if epoch <= pruning.grace_epochs:
        return None
    gains = [gain for trial in finished if (gain := gain_since(trial.scores, epoch)) is not None]
    if len(gains) < pruning.min_finished:
        return None
    end = score + max(float(numpy.quantile(gains, pruning.quantile)), 0.0)
    cost = joules if epochs is None else joules * max(epochs, epoch) / epoch
    dominating = [each for each in finished if each.score >= end and each.joules <= cost]
    return max(dominating, key=lambda each: each.score, default=None)


def gain_since(scores: Mapping[int, float], epoch: int) -> float | None:
    """Return what the best score rose by after an epoch; None where the trial was shorter.

    The best counts, since a run keeps the weights of its best epoch.
    """
    then = [score for number, score in scores.items() if number <= epoch]
    if not then or max(scores) < epoch:
        return None
    return max(scores.values()) - max(then)


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
    if len(values) < _FEWEST_REPEATS:
        return None
    is_max = study.direction == StudyDirection.MAXIMIZE
    finished = [
        (trial.value, trial.number, outcome.repeats)
        for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        if (outcome := outcome_of(trial)) and len(outcome.repeats) >= _FEWEST_REPEATS
    ]
    if not finished:
        return None
    _, number, best = max(finished, key=lambda each: (each[0] or 0.0) * (1 if is_max else -1))
    worse = "less" if is_max else "greater"
    chance = float(ttest_ind(values, best, equal_var=False, alternative=worse).pvalue)
    return (number, chance) if chance < _SIGNIFICANT else None
