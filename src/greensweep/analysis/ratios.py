"""A strategy's energy to target over the baseline's, by setting and over all."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from greensweep.analysis.comparison import median_interval
from greensweep.config.schema_analysis import StrategiesConfig


@dataclass(frozen=True)
class Ratios:
    """One strategy's energy to target over the baseline's, over the settings that have a ratio.

    Attributes:
        cheaper: settings where it needed less.
        alone: of these, where the baseline never arrived.
        median_ratio_low, median_ratio_high: over settings; None where they are too few for an
            interval, below six for 95 %.
    """

    settings: int
    cheaper: int
    alone: int
    dearer: int
    never: int
    median_ratio: float
    median_ratio_low: float | None
    median_ratio_high: float | None


def ratio_table(costs: pd.DataFrame, config: StrategiesConfig) -> pd.DataFrame:
    """Return a row for each strategy but the baseline in each setting where both ran.

    Args:
        costs: energy to target in joules, infinite where it is never reached; a row for each
            setting, a column for each strategy.

    Returns:
        Joules of both, and their ratio: infinite where only the strategy never arrives, 0 where
        only the baseline never does, missing where neither does and where the baseline arrives for
        0 J: there is nothing to be a share of.
    """
    own = costs[[config.baseline]].set_axis(["baseline_joules"], axis=1)
    others = costs.drop(columns=config.baseline).melt(value_name="joules", ignore_index=False)
    table = others.join(own).dropna().reset_index()
    ratio = (table["joules"] / table["baseline_joules"]).where(table["baseline_joules"] > 0)
    return table[["setting", "strategy", "baseline_joules", "joules"]].assign(ratio=ratio)


def summarise_ratios(ratios: pd.DataFrame, config: StrategiesConfig) -> dict[str, Ratios]:
    """Return each strategy's ratios to the baseline in figures, where it has any."""
    found = {}
    for strategy, part in ratios.groupby("strategy"):
        ratio = part["ratio"].dropna().to_numpy(float)
        if not len(ratio):
            continue
        median, low, high = median_interval(ratio, config.confidence)
        enough = not np.isnan(low)
        found[str(strategy)] = Ratios(
            settings=len(ratio),
            cheaper=int((ratio < 1).sum()),
            alone=int((ratio == 0).sum()),
            dearer=int(((ratio >= 1) & np.isfinite(ratio)).sum()),
            never=int(np.isinf(ratio).sum()),
            median_ratio=median,
            median_ratio_low=low if enough else None,
            median_ratio_high=high if enough else None,
        )
    return found
