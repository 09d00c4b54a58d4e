"""What each value of an option costs in energy, and what it brings in the metric, on average."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from greensweep.analysis.comparison import holm
from greensweep.analysis.importance import unused, varying
from greensweep.analysis.result import Result
from greensweep.analysis.units import joules
from greensweep.config.metrics import Metric
from greensweep.config.schema_analysis import OptionsConfig
from greensweep.decision.sentences import percent_text, points_text
from greensweep.errors import AnalysisError, rounded
from greensweep.intervals import mean_interval
from greensweep.sources import run_columns as col
from greensweep.sources.table import ENERGY, RunTable


def compare_values(runs: RunTable, config: OptionsConfig) -> Result:
    """Compare finished runs by the values of each option, within each setting.

    Raises:
        AnalysisError: no run finished, no option has two values, or a column is missing.
    """
    runs.require(config.options, "analysis.options")
    finished, metric = runs.finished, runs.metric
    values, effects = [], []
    for setting, group in finished.groupby(col.SETTING):
        for name in varying(group, config.options or [*runs.searched, *runs.options]):
            levels = _levels(group[name], config.levels)
            means = _means(group, levels, metric, config.confidence)
            own = {"setting": setting, "option": name}
            values.append(pd.DataFrame(own, index=means.index).join(means))
            effects.append(own | _effect(means, group, levels, metric))
    if not values:
        raise AnalysisError(
            f"no option has two values within a setting of {runs.source}: name columns in "
            "analysis.options, and those that tell settings apart in columns.setting"
        )
    table = pd.DataFrame(effects)
    for name in ("energy_p", f"{metric.name}_p"):
        table[name] = table.groupby("setting")[name].transform(lambda each: holm(each.to_numpy()))
    table = table.sort_values(["setting", "energy_p", "energy_saved_share"], kind="stable")
    return Result(
        name="options",
        answers=list(_answers(table, metric, 1.0 - config.confidence)),
        tables={"options": table.reset_index(drop=True), "values": pd.concat(values)},
        notes=[
            "Means are over the runs as they were drawn: an adaptive search draws good values of "
            "several options together, so that what it finds of one may be another's; random "
            "search and grids do not.",
            f"Options of more than {config.levels} numbers are compared by quantiles. p-values are "
            "those of Kruskal and Wallis (1952) over runs, after Holm over the options of a "
            "setting; intervals of means are Student's, of joules on the logarithm's scale and of "
            "shares on the logit's, and none is given from two runs: repeats of a configuration "
            "count as runs of their own, and make both too sure.",
            *unused(finished, config.options),
        ],
        warnings=runs.warnings,
        runs=runs,
    )


def _levels(values: "pd.Series[Any]", most: int) -> "pd.Series[Any]":
    """Return which of its values, or of ranges with as many runs each, an option has in each run.

    Numbers come in their order, since they are pandas' categories.
    """
    numbers = pd.to_numeric(values, errors="coerce")
    if numbers.isna().any() or values.dtype == bool:
        return values.astype(str).astype("category")
    if numbers.nunique() > most:
        bins = pd.qcut(numbers, most, duplicates="drop")
        ranges = numbers.groupby(bins, observed=True).agg(["min", "max"])
        texts = [f"{low:g} to {high:g}" for low, high in ranges.itertuples(index=False)]
        return bins.cat.remove_unused_categories().cat.rename_categories(texts)
    known = numbers.astype("category")
    return known.cat.rename_categories([f"{each:g}" for each in known.cat.categories])


def _means(
    group: pd.DataFrame, levels: "pd.Series[Any]", metric: Metric, confidence: float
) -> pd.DataFrame:
    """Return a row for each value: runs, and means of energy and metric with their intervals."""
    parts = group.groupby(levels, observed=True)
    runs = parts.size()
    table = pd.DataFrame({"value": runs.index.astype(str), "runs": runs.to_numpy()})
    for name, ends in ((ENERGY, (0.0, np.inf)), (metric.name, (metric.low, metric.high))):
        means, deviations = parts[name].mean(), parts[name].std()
        spans = [
            mean_interval(mean, deviation, size, ends, confidence) or (np.nan, np.nan)
            for mean, deviation, size in zip(means, deviations, runs, strict=True)
        ]
        table[name] = means.to_numpy()
        table[[f"{name}_low", f"{name}_high"]] = spans
    return table


def _effect(
    means: pd.DataFrame, group: pd.DataFrame, levels: "pd.Series[Any]", metric: Metric
) -> dict[str, Any]:
    """Return how the value that takes the least energy on average differs from that of the most."""
    least, most = (means.iloc[place] for place in (means[ENERGY].argmin(), means[ENERGY].argmax()))
    return {
        "least": least["value"],
        "most": most["value"],
        "least_energy_joules": least[ENERGY],
        "most_energy_joules": most[ENERGY],
        "energy_saved_share": 1.0 - least[ENERGY] / most[ENERGY] if most[ENERGY] > 0 else 0.0,
        _change_of(metric): least[metric.name] - most[metric.name],
        "energy_p": _kruskal_wallis(group[ENERGY], levels),
        f"{metric.name}_p": _kruskal_wallis(group[metric.name], levels),
    }


def _change_of(metric: Metric) -> str:
    """Return the column of how the metric differs."""
    return f"{metric.name}_{'gained' if metric.direction == 'maximize' else 'added'}"


def _kruskal_wallis(figures: "pd.Series[float]", levels: "pd.Series[Any]") -> float:
    """Return the p-value of one distribution at all levels; missing where nothing varies."""
    from scipy.stats import kruskal

    if figures.nunique() < 2:
        return float("nan")
    parts = [part.to_numpy() for _, part in figures.groupby(levels, observed=True)]
    return float(kruskal(*parts).pvalue)


def _answers(table: pd.DataFrame, metric: Metric, significance: float) -> Iterator[str]:
    for setting, options in table.groupby("setting"):
        matter = options[options["energy_p"] < significance]
        if matter.empty:
            yield f"{setting}: no option has values whose energy differs by more than chance."
            continue
        first = matter.sort_values("energy_saved_share", kind="stable").iloc[-1]
        chance = "" if first[f"{metric.name}_p"] < significance else ", which may be chance"
        by = first[_change_of(metric)]
        yield (
            f"{setting}: {first['option']} matters most for energy: at {first['least']} runs take "
            f"{percent_text(first['energy_saved_share'])} less than at {first['most']} "
            f"({joules(first['least_energy_joules'])} against "
            f"{joules(first['most_energy_joules'])} on average), with "
            f"{_change_text(by, metric)}{chance if by else ''}."
        )


def _change_text(by: float, metric: Metric) -> str:
    """Return by how much a metric changes: 1.5 points less accuracy, 0.02 more RMSE."""
    if by == 0:
        return f"the same {metric.label}"
    much = rounded(abs(by), 2)
    if metric.range is not None:
        much = points_text(100 * abs(by) / metric.range, metric)
    return f"{much} {'less' if by < 0 else 'more'} {metric.label}"
