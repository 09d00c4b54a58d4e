"""What a comparison of strategies says beside its answers: notes and warnings."""

import pandas as pd

from greensweep.analysis.bands import OVER_ORDERS
from greensweep.analysis.comparison import range_text
from greensweep.config.metrics import Metric
from greensweep.config.schema_analysis import StrategiesConfig
from greensweep.errors import plural
from greensweep.sources import run_columns as col
from greensweep.sources.table import RunTable


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
        warnings.append(f"not compared: {plural(undrawn, 'run')} that no search drew")
    return warnings
