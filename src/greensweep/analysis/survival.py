"""Energy to target as time to event: a search that never arrives is censored."""

from contextlib import suppress
from typing import Any

import numpy as np
import pandas as pd

from greensweep.analysis.searches import Figures


def energy_survival(
    searches: pd.DataFrame, baseline: str
) -> tuple[pd.DataFrame, dict[str, object]]:
    """Return each strategy's Kaplan-Meier curve, and the log-rank test between strategies.

    Settings differ in what a trial costs, so energies are multiples of what the baseline
    needed in the same setting, or of what it spent where it never arrived.

    Args:
        searches: rows with setting, strategy, joules_to_target and total_joules.

    Returns:
        Rows (strategy, energy_ratio, not_yet): the share of searches that have not arrived after
        so much energy, from 0 to the most that a search of the strategy was watched for: until it
        arrived, or else all that it spent. And the median ratio of each strategy, infinite where
        half never arrive, with the log-rank p-value, missing where it cannot be computed.
    """
    # Imported when used: statsmodels takes a second.
    from statsmodels.duration.survfunc import SurvfuncRight, survdiff

    own = searches[searches["strategy"] == baseline]
    needed = own.groupby("setting")[["joules_to_target", "total_joules"]].median()
    arrives = np.isfinite(needed["joules_to_target"])
    units = needed["joules_to_target"].where(arrives, needed["total_joules"])
    unit = searches["setting"].map(units)
    known = searches[np.isfinite(unit) & (unit > 0)]
    if known.empty:
        return pd.DataFrame(columns=["strategy", "energy_ratio", "not_yet"]), {}
    arrived = np.isfinite(known["joules_to_target"])
    ends = known["joules_to_target"].where(arrived, known["total_joules"]) / unit[known.index]
    curves, medians = [], {}
    for strategy in sorted(known["strategy"].unique()):
        rows = known["strategy"] == strategy
        fitted = SurvfuncRight(ends[rows].to_numpy(), arrived[rows].astype(int).to_numpy())
        medians[strategy] = _median(fitted.surv_times, fitted.surv_prob)
        curves.append(_curve(strategy, fitted, watched=float(ends[rows].max())))
    p_value = np.nan
    if arrived.any() and known["strategy"].nunique() > 1:
        events = arrived.astype(int).to_numpy()
        with np.errstate(all="ignore"), suppress(np.linalg.LinAlgError):
            p_value = float(survdiff(ends.to_numpy(), events, known["strategy"])[1])
    return pd.concat(curves, ignore_index=True), {
        "survival_median_ratio": medians,
        "log_rank_p": p_value,
    }


def _curve(strategy: str, fitted: Any, watched: float) -> pd.DataFrame:
    """Return a fitted curve from its start on; its steps alone end where the last one arrived."""
    ratios = np.concatenate([[0.0], fitted.surv_times])
    shares = np.concatenate([[1.0], fitted.surv_prob])
    if watched > ratios[-1]:
        ratios, shares = np.append(ratios, watched), np.append(shares, shares[-1])
    return pd.DataFrame({"strategy": strategy, "energy_ratio": ratios, "not_yet": shares})


def _median(ratios: Figures, shares: Figures) -> float:
    # A product of shares such as 3/4 * 2/3 may come out above a half in its last digit.
    half = np.flatnonzero(shares <= 0.5 + 1e-9)
    return float(ratios[half[0]]) if len(half) else float("inf")
