"""What a whole search will cost, told from some of its trials."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from optuna.trial import FrozenTrial
from scipy.stats import t as student_t

from greensweep.search.curve import CurvePoint
from greensweep.search.records import Outcome, outcome_of

_CONFIDENCE = 0.9
_EARLY_SHARE = 0.1


@dataclass(frozen=True)
class Forecast:
    """A total, and the ends of its 90 % interval; both ends are the total for a single trial."""

    total: float
    low: float
    high: float


def total_forecast(costs: Sequence[float], trials: int) -> Forecast:
    """Return what so many trials will cost, drawn like those whose costs are given.

    The interval is Student's, for the sum of trials yet unseen: it holds both the doubt about the
    mean and the chance of the draw. It does not know that a search moves to other trials than it
    began with.

    Args:
        costs: of some trials, in whatever unit; at least one.
    """
    mean = statistics.fmean(costs)
    total = mean * trials
    if len(costs) < 2:
        return Forecast(total, total, total)
    known = len(costs)
    quantile = float(student_t.ppf(0.5 + _CONFIDENCE / 2, df=known - 1))
    margin = quantile * statistics.stdev(costs) * math.sqrt(trials**2 / known + trials)
    return Forecast(total, max(total - margin, min(total, min(costs) * trials)), total + margin)


def early_forecast(trials: Sequence[FrozenTrial], total: int) -> tuple[int, Forecast] | None:
    """Return what the first tenth of a search's trials let expect, joules, and how many they were.

    None where fewer than two have energy figures: one tells nothing of how much they differ.

    Args:
        trials: that count, in their order.
        total: trials in all.
    """
    first = trials[: max(math.ceil(_EARLY_SHARE * total), 2)]
    costs = [
        outcome.spent_joules
        for trial in first
        if (outcome := outcome_of(trial)) is not None and outcome.spent_joules is not None
    ]
    return (len(costs), total_forecast(costs, total)) if len(costs) >= 2 else None


def whole_run(outcome: Outcome) -> tuple[float | None, float] | None:
    """Return the joules and seconds that a run cut short would have cost at its own pace.

    None where it reported nothing. What it does once, its set-up, is told apart from what it does
    in each epoch by its last two reports.
    """
    curve = outcome.curve
    if not curve:
        return None
    left = max((outcome.epochs_planned or outcome.epochs) - outcome.epochs, 0)
    last, before = curve[-1], curve[-2] if len(curve) > 1 else CurvePoint(0)
    epochs = max(last.epoch - before.epoch, 1)
    seconds = outcome.seconds + left * (last.seconds - before.seconds) / epochs
    if outcome.spent_joules is None or last.spent_joules is None:
        return None, seconds
    epoch_joules = (last.spent_joules - (before.spent_joules or 0.0)) / epochs
    return outcome.spent_joules + left * epoch_joules, seconds
