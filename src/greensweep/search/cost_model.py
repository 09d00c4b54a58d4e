"""What trials cost, joules or seconds: one model, learnt from trials that ran, for all who ask.

Budgets, previews, `confirm_hours`, the forecast of a search's cost and the time left ask it. A
sampler's model of the joules, in `samplers/acquisition.py`, is another: a Gaussian process that
distinguishes neighbours among thousands of candidates, where this one must be right after one
trial, and beyond those that ran. Both learn from `whole_joules`, through the same encoder.
"""

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy
from optuna.trial import FrozenTrial, TrialState
from scipy.special import stdtrit  # scipy.stats takes half a second to load

from greensweep.intervals import FEWEST_REPEATS
from greensweep.search.encoder import SpaceEncoder, log_scaled
from greensweep.search.records import CurvePoint, Outcome, fidelity_of, flops_of, outcome_of
from greensweep.search.space import Space

_CONFIDENCE = 0.9
_FEWEST = 3  # trials below which a forecast is their mean
_EARLY_SHARE = 0.1

Figure = Literal["spent_joules", "seconds"]


@dataclass(frozen=True)
class Forecast:
    """A cost, joules or seconds, and the ends of its 90 % interval."""

    cost: float
    low: float
    high: float


def whole_cost(outcome: Outcome, figure: Figure) -> float | None:
    """Return what a run cost, or would have, had it gone on at its pace to its last epoch.

    Its set-up is no part of what further epochs cost: they cost what its reports show, from the
    first to the last. None where it was not metered, or ended before its first epoch.
    """
    spent: float | None = getattr(outcome, figure)
    if spent is None or outcome.status == "finished":
        return spent
    if not outcome.epochs:
        return None
    left = max((outcome.epochs_planned or 0) - outcome.epochs, 0)
    curve = outcome.curve
    if not curve or getattr(curve[-1], figure) is None:
        return spent + left * spent / outcome.epochs
    first = curve[0] if curve[-1].epoch > curve[0].epoch else None
    return spent + left * epoch_cost(first, curve[-1], figure)


def epoch_cost(first: CurvePoint | None, last: CurvePoint, figure: Figure) -> float:
    """Return what an epoch costs, by the first and the last report of a training.

    The set-up, before the first one, does not count; of a single report training alone does.
    """
    if first is not None:
        spent = (getattr(last, figure) or 0.0) - (getattr(first, figure) or 0.0)
        return float(spent) / (last.epoch - first.epoch)
    alone = last.joules if figure == "spent_joules" else None
    return float((getattr(last, figure) if alone is None else alone) or 0.0) / last.epoch


def whole_joules(trial: FrozenTrial) -> float | None:
    """Return the energy of a trial in joules, of one that ended early as if it had run to its end.

    None where it has none, and of trials that failed or run again.
    """
    return _whole(trial, "spent_joules")


def whole_seconds(trial: FrozenTrial) -> float | None:
    """Return the wall-clock seconds of a trial, likewise."""
    return _whole(trial, "seconds")


def _whole(trial: FrozenTrial, figure: Figure) -> float | None:
    outcome = outcome_of(trial)
    if outcome is None or trial.state not in (TrialState.COMPLETE, TrialState.PRUNED):
        return None
    return whole_cost(outcome, figure) or None


class CostModel:
    """Cost of a trial from its parameters, and of trials yet to be drawn.

    A Bayesian ridge regression of the logarithm of the cost on the encoded parameters, positive
    ranges by their logarithm: energy is nearly a product of powers (epochs, images, width), which
    this form holds exactly. Where the FLOPs of all trials are known, it is the logarithm of the
    cost per FLOP that is learnt, so that one trial is enough for others that compute more or less.

    Args:
        space: of the search; trials outside of it count for the mean alone.
        trials: of any state.
        cost_of: joules or seconds of a whole trial; None of one that does not count.
    """

    def __init__(
        self,
        space: Space,
        trials: Sequence[FrozenTrial],
        cost_of: Callable[[FrozenTrial], float | None] = whole_joules,
    ) -> None:
        ranges = {
            name: log_scaled(each, 0.0, drop_steps=True)
            for name, each in space.distributions.items()
        }
        self._encoder = SpaceEncoder(ranges, space.conditions)
        known = [(trial, cost) for trial in trials if (cost := cost_of(trial))]
        self._trials, self.costs = [trial for trial, _ in known], [cost for _, cost in known]
        self._logs = numpy.log(self.costs)
        flops = [flops_of(trial) or 0.0 for trial in self._trials]
        self._per_flop = bool(flops) and min(flops) > 0
        if self._per_flop:
            self._logs -= numpy.log(flops)
        self._typical_flops = float(numpy.median(flops)) if flops else 0.0

    def of_trial(
        self, params: Mapping[str, object], fidelity: int = 0, flops: float | None = None
    ) -> float | None:
        """Return what a trial is expected to cost; None before any has run.

        Args:
            fidelity: which of the cheaper ones it runs in; 0 is the whole run.
            flops: of the whole trial, where they are known.
        """
        if not self.costs:
            return None
        flops = flops or self._typical_flops
        if self._regression is None or not self._encoder.holds(params):
            log = float(self._logs.mean())
        else:
            log = float(self._regression.predict([self._features(params, fidelity, flops)])[0])
        return math.exp(log) * (flops if self._per_flop else 1.0)

    def of_trials(self, count: int) -> Forecast | None:
        """Return what so many trials yet to be drawn will cost; None before any has run."""
        return total_forecast(self.costs, count) if self.costs else None

    @cached_property
    def _regression(self) -> Any:
        """The fitted regression; None of too few trials."""
        from sklearn.linear_model import BayesianRidge

        rows, logs = [], []
        for trial, log in zip(self._trials, self._logs, strict=True):
            if self._encoder.holds(trial.params):
                flops = flops_of(trial) or 0.0
                rows.append(self._features(trial.params, fidelity_of(trial), flops))
                logs.append(log)
        return BayesianRidge().fit(rows, logs) if len(rows) >= _FEWEST else None

    @cached_property
    def _fidelities(self) -> int:
        return max(map(fidelity_of, self._trials), default=0)

    def _features(self, params: Mapping[str, object], fidelity: int, flops: float) -> list[float]:
        computed = [math.log(flops)] if self._per_flop else []
        one_hot = [float(fidelity == each) for each in range(1, self._fidelities + 1)]
        return [*one_hot, *computed, *self._encoder.encode(params)]


def total_forecast(costs: Sequence[float], trials: int) -> Forecast:
    """Return what so many trials will cost, drawn like those whose costs are given.

    The interval is Student's, for the sum of trials yet unseen: it holds both the doubt about the
    mean and the chance of the draw; both ends are the total for one cost or two, which do not say
    how far they spread. It does not know that a search moves to other trials than it began with.

    Args:
        costs: of some trials, in whatever unit; at least one.
    """
    total = statistics.fmean(costs) * trials
    if len(costs) < FEWEST_REPEATS:
        return Forecast(total, total, total)
    known = len(costs)
    quantile = float(stdtrit(known - 1, 0.5 + _CONFIDENCE / 2))
    margin = quantile * statistics.stdev(costs) * math.sqrt(trials**2 / known + trials)
    return Forecast(total, max(total - margin, min(total, min(costs) * trials)), total + margin)


def early_forecast(trials: Sequence[FrozenTrial], total: int) -> tuple[int, Forecast] | None:
    """Return what the first tenth of a search's trials let expect, joules, and how many they were.

    Trials count as they are, pruned or not, since those to come are pruned as well. None where
    fewer than three have energy figures: two do not show how much they differ.

    Args:
        trials: that count, in their order.
        total: trials in all.
    """
    first = trials[: max(math.ceil(_EARLY_SHARE * total), FEWEST_REPEATS)]
    outcomes = [outcome for trial in first if (outcome := outcome_of(trial)) is not None]
    costs = [each.spent_joules for each in outcomes if each.spent_joules is not None]
    is_told = len(costs) >= FEWEST_REPEATS
    return (len(costs), total_forecast(costs, total)) if is_told else None


def seconds_left(ended: int, left: int, seconds: float, since_last: float) -> float:
    """Return the time until a command's further trials have ended, at the pace of those that did.

    The pace is that of trials side by side, with all that lies between them.

    Args:
        ended: trials that ended in so many `seconds`.
        left: trials that will follow, those that run among them.
        since_last: seconds since the last one ended.
    """
    return max((seconds - since_last) / ended * left - since_last, 0.0)
