"""What a comparison of strategies says: its answers, notes and warnings."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from greensweep.analysis.bands import OVER_ORDERS
from greensweep.analysis.comparison import range_text
from greensweep.analysis.ratios import Ratios
from greensweep.config.metrics import Metric
from greensweep.config.schema_analysis import StrategiesConfig
from greensweep.sources import run_columns as col
from greensweep.sources.table import RunTable


def answers_of(
    ratios: pd.DataFrame,
    summaries: Mapping[str, Ratios],
    others: Sequence[str],
    config: StrategiesConfig,
) -> list[str]:
    """Say which strategy needs the least energy, and how each of the others does.

    Args:
        ratios: what `ratio_table` returns.
        summaries: what `summarise_ratios` makes of it.
        others: the strategies but the baseline.
    """
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


def notes_of(
    metric: Metric, config: StrategiesConfig, needed: pd.DataFrame, bands: pd.DataFrame | None
) -> list[str]:
    """Say what the target is, and what medians, intervals and bands are over.

    Args:
        needed: a row for each strategy in a setting, with its energy to target.
        bands: of the curves; None where there are none.
    """
    if config.target is not None:
        label = "an accuracy of" if metric.name == "accuracy" else metric.label
        target = f"{label} {config.target:g}"
    elif config.fraction_of_best is not None:
        of_best = f"{config.fraction_of_best:g} of the best {metric.label} known in the setting"
        least = f"the best {metric.label} known in the setting, over {config.fraction_of_best:g}"
        target = of_best if metric.direction == "maximize" else least
    else:
        target = f"the final best {metric.label} of {config.baseline} in the setting"
    notes = [
        f"The target is {target}.",
        "A strategy that never reaches it counts as infinite in medians and ranks, and is "
        "censored in the survival curves.",
    ]
    if (needed["searches"] > 1).any():
        notes.append(
            "The energy of a strategy in a setting is the median of up to "
            f"{needed['searches'].max()} searches; its interval is the sign test's over them where "
            f"they suffice for {config.confidence:.0%}."
        )
    over_orders = needed[needed["interval_over"] == OVER_ORDERS]
    if len(over_orders):
        notes.append(
            "Intervals over orders of trials are over "
            f"{range_text(over_orders['interval_draws'])} random orders "
            f"({', '.join(config.order_free)}): for strategies whose next trial hangs on the "
            "earlier ones there is no such interval."
        )
    if bands is not None and len(bands):
        notes.append(f"Bands of the curves are over {range_text(bands['band_draws'])} draws each.")
    return notes


def warnings_of(costs: pd.DataFrame, table: pd.DataFrame, runs: RunTable) -> list[str]:
    """Say what is not compared, or for less than others.

    Args:
        costs: energy to target, a row for each setting and a column for each strategy.
        table: a row for each search.
    """
    warnings = []
    if gaps := int(costs.isna().any(axis=1).sum()):
        warnings.append(
            f"{gaps} of {len(costs)} settings lack a strategy: pairs count there where both ran, "
            "mean ranks leave these settings out"
        )
    # A sum of the same trials in another order differs in its last digits.
    if short := int((table["total_joules"] < table["horizon_joules"] * (1.0 - 1e-9)).sum()):
        warnings.append(
            f"{short} of {len(table)} searches spent less energy than {runs.metric.label} and "
            "regret are compared over (horizon_joules): they count there with what they had at "
            "their end"
        )
    if undrawn := int((runs.frame[col.STRATEGY] == col.NO_STRATEGY).sum()):
        warnings.append(f"{undrawn} runs that no search drew are not compared")
    return warnings
