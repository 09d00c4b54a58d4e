"""A strategy's energy to target over the baseline's, by setting, over all, and in words."""

from collections.abc import Mapping, Sequence
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


def answers_of(
    ratios: pd.DataFrame,
    summaries: Mapping[str, Ratios],
    others: Sequence[str],
    config: StrategiesConfig,
) -> list[str]:
    """Say which strategy needs the least energy, and how each but the baseline does."""
    return [
        *_overall(summaries, others, config),
        *(_answer(ratios, summaries, name, config) for name in others),
    ]


def _overall(
    found: Mapping[str, Ratios], others: Sequence[str], config: StrategiesConfig
) -> list[str]:
    """Say which of three strategies or more needs the least energy."""
    if len(others) < 2 or not found:
        return []
    name, least = min(found.items(), key=lambda each: each[1].median_ratio)
    settings = "1 setting" if least.settings == 1 else f"{least.settings} settings"
    ratio = f"{_ratio_text(least, config)}, in {settings}."
    if least.median_ratio < 1:
        return [
            f"Overall {name} needs the least energy to reach the target: the median ratio of its "
            f"energy to that of {config.baseline} is {ratio}"
        ]
    return [
        f"Overall {config.baseline} needs the least energy to reach the target: the smallest "
        f"median ratio of another's energy to its own is that of {name}, {ratio}"
    ]


def _answer(
    ratios: pd.DataFrame, found: Mapping[str, Ratios], strategy: str, config: StrategiesConfig
) -> str:
    if strategy not in found:
        rows = ratios[ratios["strategy"] == strategy]
        return f"{_why_no_ratio(rows, config.baseline, strategy)}."
    own = found[strategy]
    alone = f" (in {own.alone} of them it alone arrives)" if own.alone else ""
    return (
        f"{strategy} reaches the target with less energy than {config.baseline} in {own.cheaper} "
        f"of {own.settings} settings{alone}, with as much or more in {own.dearer}, and never in "
        f"{own.never}; the median ratio of the energies is {_ratio_text(own, config)}."
    )


def _ratio_text(own: Ratios, config: StrategiesConfig) -> str:
    if own.median_ratio_low is None or own.median_ratio_high is None:
        return _ratio(own.median_ratio)
    span = f"{_ratio(own.median_ratio_low)} to {_ratio(own.median_ratio_high)}"
    interval = f"{config.confidence:.0%} interval over settings: {span}"
    return f"{_ratio(own.median_ratio)} ({interval})"


def _why_no_ratio(rows: pd.DataFrame, baseline: str, strategy: str) -> str:
    if rows.empty:
        return f"{strategy} and {baseline} share no setting, so they cannot be compared"
    if (rows["baseline_joules"] == 0).any():
        return f"{baseline} reaches the target for 0 J, so {strategy} has no ratio to it"
    return f"neither {strategy} nor {baseline} reaches the target in any setting"


def _ratio(ratio: float) -> str:
    return "infinite" if np.isinf(ratio) else f"{ratio:.3g}"
