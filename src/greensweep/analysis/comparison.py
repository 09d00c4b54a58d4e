"""Strategies held against each other over several settings."""

from collections.abc import Collection
from itertools import combinations

import numpy as np
import pandas as pd
from scipy.stats import friedmanchisquare, quantile_test, rankdata, studentized_range, wilcoxon

from greensweep.analysis.searches import Figures

_MOST_ENUMERATED = 13  # differences, of which all signs are tried
_FEWEST_SETTINGS = 3  # for Friedman's test to say anything
_FEWEST_RESAMPLES = 20


def resamples_that_fit(asked: int, values: int, most: int = 10_000_000) -> int:
    """Return how many resamples of so many values are drawn.

    As many as asked, or fewer where they would hold more values than `most` in all; at least 20.
    """
    return max(min(asked, most // values), min(asked, _FEWEST_RESAMPLES))


def range_text(counts: Collection[int]) -> str:
    """Return counts in words: `500`, or `20 to 500`."""
    low, high = min(counts), max(counts)
    return f"{low}" if low == high else f"{low} to {high}"


def median_interval(values: Figures, confidence: float) -> tuple[float, float, float]:
    """Return the median and its exact interval, between two of the values: the sign test's.

    Where the values are too few for one, below six for 95 %, its ends are missing: even from the
    smallest to the largest it would miss the median with probability 2 / 2**n (Conover, Practical
    Nonparametric Statistics, 1999, section 3.2).

    Args:
        values: may be infinite.
    """
    low, high = quantile_test(values, p=0.5).confidence_interval(confidence)
    return _median(values), float(low), float(high)


def signed_rank(differences: Figures) -> float:
    """Return the two-sided p-value of Wilcoxon's signed-rank test; 1 where nothing differs.

    Infinite differences take the highest ranks.
    """
    moved = differences[~np.isnan(differences) & (differences != 0)]
    if not len(moved):
        return 1.0
    # Only the ranks count, and infinities have none of their own in scipy's exact test.
    ranks = rankdata(np.abs(moved))
    if len(moved) > _MOST_ENUMERATED:
        return float(wilcoxon(np.sign(moved) * ranks).pvalue)
    # As scipy has it, which takes a tenth of a second for each pair where ranks are tied.
    signs = np.arange(2 ** len(moved))[:, None] >> np.arange(len(moved)) & 1
    sums, found = signs @ ranks, ranks[moved > 0].sum()
    return min(1.0, 2.0 * float(min((sums <= found).mean(), (sums >= found).mean())))


def cliffs_delta(one: Figures, other: Figures) -> float:
    """Return how much more often a value of `one` is above one of `other` than below, -1 to 1."""
    above, below = one[:, None] > other[None], one[:, None] < other[None]
    return float(above.mean() - below.mean())


def holm(p_values: Figures) -> Figures:
    """Return p-values adjusted by Holm's method (1979); what is missing stays so."""
    from statsmodels.stats.multitest import multipletests

    adjusted: Figures = np.full(len(p_values), np.nan)
    known = ~np.isnan(p_values)
    if known.any():
        adjusted[known] = multipletests(p_values[known], method="holm")[1]
    return adjusted


def pairwise(costs: pd.DataFrame) -> pd.DataFrame:
    """Compare all pairs of columns over the rows: where lower is better, and infinite is never.

    Args:
        costs: a row for each setting, a column for each strategy; missing where it did not run.

    Returns:
        For each pair that shares a setting, over all that it shares: settings won, lost and drawn,
        median ratio of costs (missing where both never arrive), Wilcoxon's p-value on the
        logarithm of the ratio, the same after Holm, and Cliff's delta (negative: the first is
        cheaper).
    """
    rows = []
    for one, other in combinations(costs.columns, 2):
        a, b = costs[[one, other]].dropna().to_numpy(float).T
        if not len(a):
            continue
        neither = np.isinf(a) & np.isinf(b)
        with np.errstate(invalid="ignore", divide="ignore"):
            ratio = a / b
            logs = np.where(neither, 0.0, np.log(ratio))
        shared = ratio[~neither]
        rows.append(
            {
                "strategy": one,
                "other": other,
                "settings": len(a),
                "cheaper": int((a < b).sum()),
                "dearer": int((a > b).sum()),
                "equal": int((a == b).sum()),
                "median_ratio": _median(shared) if shared.size else np.nan,
                "wilcoxon_p": signed_rank(logs),
                "cliffs_delta": cliffs_delta(a, b),
            }
        )
    p_values = np.array([row["wilcoxon_p"] for row in rows], dtype=float)
    return pd.DataFrame(rows).assign(wilcoxon_p_holm=holm(p_values))


def mean_ranks(costs: pd.DataFrame) -> pd.DataFrame:
    """Return each column's mean rank over the rows, 1 the cheapest; those that never arrive tie."""
    ranks = costs.rank(axis=1).mean().sort_values()
    return ranks.rename_axis("strategy").reset_index(name="mean_rank")


def friedman(costs: pd.DataFrame) -> tuple[float, float] | None:
    """Return Friedman's statistic and p-value; None below 3 columns or 3 rows."""
    if len(costs.columns) < 3 or len(costs) < _FEWEST_SETTINGS:
        return None
    ranks = costs.rank(axis=1).to_numpy()
    if np.ptp(ranks) == 0:
        return 0.0, 1.0
    found = friedmanchisquare(*ranks.T)
    return float(found.statistic), float(found.pvalue)


def critical_difference(columns: int, rows: int, significance: float = 0.05) -> float:
    """Return by how much mean ranks must differ: Nemenyi's test (Demšar 2006, section 3.2.2)."""
    quantile = studentized_range.ppf(1.0 - significance, columns, np.inf) / np.sqrt(2.0)
    return float(quantile * np.sqrt(columns * (columns + 1) / (6.0 * rows)))


def _median(values: Figures) -> float:
    """Return the median; the mean of a number and infinity is infinite, and NaN comes last."""
    ordered = np.sort(values)
    return float((ordered[(len(values) - 1) // 2] + ordered[len(values) // 2]) / 2.0)
