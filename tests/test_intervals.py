"""Intervals: known values, and that none leaves what its figure can be."""

import math

import pytest
from scipy.stats import binomtest, t

from greensweep.intervals import difference_interval, mean_interval, share_interval

SHARE, POSITIVE = (0.0, 1.0), (0.0, math.inf)


@pytest.mark.parametrize("samples", [1, 2, 500])
@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_a_share_has_wilsons_interval(share: float, samples: int) -> None:
    count = round(share * samples)
    known = binomtest(count, samples).proportion_ci(method="wilson")
    assert share_interval(count / samples, samples) == pytest.approx((known.low, known.high))


def test_two_repeats_have_no_interval() -> None:
    assert mean_interval(0.28, 0.09, 2, SHARE) is None
    assert mean_interval(0.28, 0.09, 1, SHARE) is None


def test_without_ends_it_is_students() -> None:
    half = t.ppf(0.975, 2) * 0.6 / math.sqrt(3)
    assert mean_interval(3.0, 0.6, 3) == pytest.approx((3.0 - half, 3.0 + half))


@pytest.mark.parametrize("ends", [SHARE, POSITIVE, (-math.inf, 1.0)])
@pytest.mark.parametrize(
    ("mean", "deviation"), [(0.98, 0.02), (0.2847, 0.3), (0.01, 5.0), (1.0, 0.0)]
)
def test_it_never_leaves_what_the_figure_can_be(
    mean: float, deviation: float, ends: tuple[float, float]
) -> None:
    low, high = mean_interval(mean, deviation, 3, ends)
    assert ends[0] <= low <= mean <= high <= ends[1]
    assert (low < mean < high) == (deviation > 0)


def test_a_small_spread_far_from_the_ends_is_that_of_students() -> None:
    plain = mean_interval(0.5, 1e-4, 5)
    for ends in (SHARE, POSITIVE):
        assert mean_interval(0.5, 1e-4, 5, ends) == pytest.approx(plain, abs=1e-6)


def test_a_difference_of_shares_has_newcombes_interval() -> None:
    """Newcombe 1998, table II, (a): 56/70 less 48/80."""
    one, other = share_interval(56 / 70, 70), share_interval(48 / 80, 80)
    found = difference_interval(56 / 70, one, 48 / 80, other)
    assert found == pytest.approx((0.0524, 0.3339), abs=5e-5)
