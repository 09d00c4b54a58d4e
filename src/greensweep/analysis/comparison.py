"""Strategies held against each other over several settings."""

from collections.abc import Collection, Sequence
from itertools import combinations

import numpy as np
import pandas as pd
from scipy.stats import friedmanchisquare, quantile_test, rankdata, studentized_range, wilcoxon

from greensweep.analysis.searches import Figures

_MOST_ENUMERATED = 13  # differences, of which all signs are tried
_FEWEST_SETTINGS = 3  # for Friedman's test to say anything
_FEWEST_RESAMPLES = 20
_PERMUTATIONS = 10_000


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
    # statsmodels' multipletests collects garbage each time: a second, once PyTorch is loaded.
    adjusted: Figures = np.full(len(p_values), np.nan)
    tests = np.count_nonzero(~np.isnan(p_values))
    order = np.argsort(p_values)[:tests]  # the smallest first, what is missing last
    steps = p_values[order] * np.arange(tests, 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
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


def suffice(settings: int, confidence: float) -> bool:
    """Tell whether so many settings can show a difference by the sign test: six for 95 %."""
    return bool(2.0 ** (1 - settings) <= 1.0 - confidence)


def searches_p(
    searches: pd.DataFrame, pairs: pd.DataFrame, confidence: float, seed: int
) -> dict[str, Figures]:
    """Compare pairs of strategies over their searches, where they share too few settings.

    Args:
        searches: rows of setting, strategy and joules_to_target.
        pairs: as of `pairwise`.

    Returns:
        p-values, and the same after Holm, for each pair; missing where the settings suffice, and
        where none of them has several searches by one of both.
    """
    costs = {
        key: own["joules_to_target"].to_numpy(float)
        for key, own in searches.groupby(["strategy", "setting"])
    }
    settings = searches["setting"].unique()
    found = []
    for one, other, count in pairs[["strategy", "other", "settings"]].itertuples(index=False):
        keys = [((one, each), (other, each)) for each in settings]
        shared = [(costs[a], costs[b]) for a, b in keys if a in costs and b in costs]
        is_asked = not suffice(count, confidence) and any(len(a) + len(b) > 2 for a, b in shared)
        found.append(permutation_test(shared, seed) if is_asked else np.nan)
    p_values = np.array(found, dtype=float)
    return {"searches_p": p_values, "searches_p_holm": holm(p_values)}


def permutation_test(strata: Sequence[tuple[Figures, Figures]], seed: int) -> float:
    """Return the two-sided p-value of van Elteren's test: is either lower than the other?

    The sum over strata of Wilcoxon's rank sums, each over the stratum's size and one (van Elteren
    1960), against that of 10,000 permutations within the strata. Infinities take the highest ranks.
    """
    generator = np.random.default_rng(seed)
    found, drawn = 0.0, np.zeros(_PERMUTATIONS)
    for one, other in strata:
        ranks = rankdata(np.concatenate([one, other]))
        weighted = (ranks - ranks.mean()) / (len(ranks) + 1)
        found += weighted[: len(one)].sum()
        rows = generator.permuted(np.tile(weighted, (_PERMUTATIONS, 1)), axis=1)
        drawn += rows[:, : len(one)].sum(axis=1)
    as_far = int((np.abs(drawn) >= abs(found) - 1e-9).sum())
    return (1 + as_far) / (1 + _PERMUTATIONS)


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
