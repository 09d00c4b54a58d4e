"""Confidence intervals, of 95 % unless said otherwise, that stay within what a figure can be."""

import math
from statistics import NormalDist

CONFIDENCE = 0.95
HALF_WIDTH = NormalDist().inv_cdf(0.5 + CONFIDENCE / 2)  # of a normal one, standard deviations
FEWEST_REPEATS = 3  # the spread of two says next to nothing: their interval is 13 deviations wide

Interval = tuple[float, float]


def share_interval(share: float, samples: int) -> Interval:
    """Return Wilson's score interval of a share, 0 to 1, that was seen in so many samples.

    Wilson, E. B. (1927), Probable inference, the law of succession, and statistical inference.
    """
    z = HALF_WIDTH
    shrunk = 1 + z * z / samples
    middle = (share + z * z / (2 * samples)) / shrunk
    half = z * math.sqrt(share * (1 - share) / samples + (z / (2 * samples)) ** 2) / shrunk
    return max(middle - half, 0.0), min(middle + half, 1.0)


def mean_interval(
    mean: float,
    deviation: float,
    repeats: int,
    ends: Interval = (-math.inf, math.inf),
    confidence: float = CONFIDENCE,
) -> Interval | None:
    """Return the interval of a mean over repeats, None of fewer than three.

    By Student's t; of what has two ends on the logit's scale and of what has one on the
    logarithm's, by the delta method, so that it never leaves them.

    Args:
        deviation: of the sample.
        ends: of what the figure can be.
    """
    if repeats < FEWEST_REPEATS:
        return None
    # Every run imports this module, and few have repeats.
    from scipy.special import expit, logit, stdtrit

    half = float(stdtrit(repeats - 1, 0.5 + confidence / 2)) * deviation / math.sqrt(repeats)
    low, high = ends
    above, below = mean - low, high - mean
    if 0 in (above, below, half):
        return mean, mean  # repeats at an end of the range are all at it
    if math.isfinite(above) and math.isfinite(below):
        whole = high - low
        slope = whole / (above * below)
        return (
            low + whole * float(expit(logit(above / whole) - half * slope)),
            low + whole * float(expit(logit(above / whole) + half * slope)),
        )
    if math.isfinite(above):
        return low + above * _exp(-half / above), low + above * _exp(half / above)
    if math.isfinite(below):
        return high - below * _exp(half / below), high - below * _exp(-half / below)
    return mean - half, mean + half


def difference_interval(
    one: float, one_interval: Interval, other: float, other_interval: Interval
) -> Interval:
    """Return the interval of the first figure less the second, of the interval of each.

    By the method of variance estimates recovery (Zou and Donner 2008), which of two Wilson
    intervals is Newcombe's (1998). It takes the errors of both for independent.
    """
    (low, high), (its_low, its_high) = one_interval, other_interval
    by = one - other
    return (
        by - math.hypot(one - low, its_high - other),
        by + math.hypot(high - one, other - its_low),
    )


def _exp(power: float) -> float:
    return math.exp(min(power, 700.0))
