"""A strategy's energy to target over the baseline's, setting by setting and over all of them."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from greensweep.analysis.comparison import median_interval, ratios_to
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
    """
    parts = []
    for strategy in costs.columns.drop(config.baseline):
        both = costs[[config.baseline, strategy]].dropna()
        own, other = both[config.baseline].to_numpy(float), both[strategy].to_numpy(float)
        parts.append(
            pd.DataFrame(
                {
                    "setting": both.index,
                    "strategy": strategy,
                    "baseline_joules": own,
                    "joules": other,
                    "ratio": ratios_to(own, other),
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


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
