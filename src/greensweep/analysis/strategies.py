"""Which search strategy reaches an accuracy for the least energy."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from greensweep.analysis.bands import curve_band, resamples_of
from greensweep.analysis.comparison import (
    critical_difference,
    friedman,
    mean_ranks,
    median_interval,
    pairwise,
    ratios_to,
)
from greensweep.analysis.result import Result
from greensweep.analysis.searches import (
    Figures,
    Search,
    best_so_far,
    best_within,
    energy_to_target,
    mean_best_accuracy,
    orders,
)
from greensweep.analysis.survival import energy_survival
from greensweep.analysis.table import (
    ACCURACY,
    NO_STRATEGY,
    ORDER,
    SEED,
    SETTING,
    SPENT,
    STRATEGY,
    RunTable,
)
from greensweep.config.schema_analysis import StrategiesConfig
from greensweep.errors import AnalysisError, unknown

_FEWEST_FOR_INTERVAL = 3  # settings
_SHARES = (0.25, 0.5, 1.0)  # of the horizon, where regret is told

_BySetting = Mapping[str, Sequence[Search]]


def compare_strategies(runs: RunTable, config: StrategiesConfig) -> Result:
    """Compare search strategies by the energy that they need to reach an accuracy.

    The energy of all trials counts, the accuracy of those that finished. A strategy that never
    reaches the target is censored: its energy to target is infinite, and its survival curve goes on
    to what it spent.

    Raises:
        AnalysisError: there is only one strategy, or none is called as the baseline.
    """
    searches = searches_of(runs)
    strategies = sorted({each.strategy for each in searches})
    if len(strategies) < 2:
        raise AnalysisError(
            f"analysis=strategies compares strategies, and {runs.source} has only "
            f"{strategies[0]!r}: add another sweep, or use analysis=tradeoff"
        )
    if config.baseline not in strategies:
        raise AnalysisError(
            "analysis.baseline: " + unknown("strategy", config.baseline, strategies)
        )
    by_setting: dict[str, list[Search]] = {}
    for each in searches:
        by_setting.setdefault(each.setting, []).append(each)
    targets = {setting: _target(group, config) for setting, group in by_setting.items()}
    table = _table(by_setting, targets, config)
    costs = _costs(table, strategies)
    ratios = _ratios(costs, config)
    figures, comparison_tables = _comparison(costs[pd.Series(targets).notna()], config)
    survival, survival_figures = energy_survival(table, config.baseline)
    others = [name for name in strategies if name != config.baseline]
    return Result(
        name="strategies",
        answers=[_answer(ratios, name, config) for name in others],
        tables={
            "searches": table,
            "ratios": ratios,
            "curves": _curves(searches),
            **_bands(by_setting, config),
            **comparison_tables,
            "survival": survival,
        },
        figures={
            "baseline": config.baseline,
            "targets": targets,
            **_ratio_figures(ratios, config),
            **figures,
            **survival_figures,
        },
        notes=_notes(config, searches),
        warnings=[*runs.warnings, *_missing(costs), *_undrawn(runs)],
        source=runs.source,
        rows=runs.rows,
        left_out=runs.left_out,
    )


def searches_of(runs: RunTable) -> list[Search]:
    """Return the searches that a table of runs consists of; runs that no search drew are none.

    Raises:
        AnalysisError: no run names its strategy, a trial is there twice, or accuracy never varies.
    """
    drawn = runs.frame[runs.frame[STRATEGY] != NO_STRATEGY]
    if drawn.empty:
        raise AnalysisError(f"no run of {runs.source} names the strategy that drew it")
    unnumbered = int(drawn[ORDER].isna().sum())
    if unnumbered:
        raise AnalysisError(
            f"{unnumbered} trials of {runs.source} have no number in columns.order, which tells "
            "their order: name another column, or set columns.order=null for the order of the rows"
        )
    twice = drawn[drawn.duplicated([SETTING, STRATEGY, SEED, ORDER])]
    if len(twice):
        first = twice.iloc[0]
        raise AnalysisError(
            f"{runs.source} has trial {first[ORDER]:g} of {first[STRATEGY]} in {first[SETTING]} "
            f"twice, and {len(twice)} such rows in all: name what tells several searches apart in "
            "columns.seed"
        )
    finished = drawn.loc[drawn.index.isin(runs.finished.index), ACCURACY]
    if len(finished) > 1 and finished.nunique() == 1:
        raise AnalysisError(
            f"all trials of {runs.source} have the accuracy {finished.iloc[0]:g}: there is nothing "
            "to search for"
        )
    groups = drawn.groupby([SETTING, STRATEGY, SEED], sort=True)
    return [
        Search(
            setting=str(setting),
            strategy=str(strategy),
            seed=str(seed),
            joules=group[SPENT].to_numpy(float),
            accuracies=group[ACCURACY].to_numpy(float),
        )
        for (setting, strategy, seed), group in groups
    ]


def _target(group: Sequence[Search], config: StrategiesConfig) -> float:
    if config.target is not None:
        return config.target
    bests = [each.best for each in group if not np.isnan(each.best)]
    if config.fraction_of_best is not None:
        return config.fraction_of_best * max(bests, default=np.nan)
    own = [
        each.best for each in group if each.strategy == config.baseline and not np.isnan(each.best)
    ]
    # Of the two in the middle the lower: the baseline's own median search then reaches it.
    return float(np.quantile(own, 0.5, method="lower")) if own else float("nan")


def _table(
    by_setting: _BySetting, targets: Mapping[str, float], config: StrategiesConfig
) -> pd.DataFrame:
    rows = []
    for setting, group in by_setting.items():
        horizon = min(each.total_joules for each in group)
        known = max((each.best for each in group if not np.isnan(each.best)), default=np.nan)
        for each in group:
            reached = float(energy_to_target(each.joules, each.accuracies, targets[setting]))
            low, high = _order_interval(each, targets[setting], config)
            rows.append(
                {
                    "setting": setting,
                    "strategy": each.strategy,
                    "seed": each.seed,
                    "trials": len(each.joules),
                    "finished": int((~np.isnan(each.accuracies)).sum()),
                    "best_accuracy": each.best,
                    "total_joules": each.total_joules,
                    "target_accuracy": targets[setting],
                    "joules_to_target": reached,
                    "joules_to_target_low": low,
                    "joules_to_target_high": high,
                    "mean_best_accuracy": mean_best_accuracy(each, horizon)
                    if horizon > 0
                    else np.nan,
                    "horizon_joules": horizon,
                    **{
                        f"regret_at_{share:.0%}": known - best_within(each, share * horizon)
                        for share in _SHARES
                    },
                }
            )
    return pd.DataFrame(rows)


def _order_interval(search: Search, target: float, config: StrategiesConfig) -> tuple[float, float]:
    """Return the interval over random orders of the trials, where the strategy has no order."""
    if search.strategy not in config.order_free:
        return float("nan"), float("nan")
    resamples = resamples_of(search, config.resamples)
    drawn = orders(search, resamples, config.seed)
    energies = energy_to_target(search.joules[drawn], search.accuracies[drawn], target)
    tail = (1.0 - config.confidence) / 2.0
    low, high = np.quantile(energies, [tail, 1.0 - tail], method="inverted_cdf")
    return float(low), float(high)


def _costs(table: pd.DataFrame, strategies: Sequence[str]) -> pd.DataFrame:
    """Return the median energy to target over seeds: settings by strategies, without gaps."""
    found = table.groupby(["setting", "strategy"])["joules_to_target"].median().unstack()
    return found.reindex(columns=list(strategies))


def _ratios(costs: pd.DataFrame, config: StrategiesConfig) -> pd.DataFrame:
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


def _ratio_figures(ratios: pd.DataFrame, config: StrategiesConfig) -> dict[str, object]:
    found: dict[str, object] = {}
    for strategy, part in ratios.groupby("strategy"):
        ratio = part["ratio"].dropna().to_numpy(float)
        if not len(ratio):
            continue
        median, low, high = median_interval(ratio, config.resamples, config.confidence, config.seed)
        found[str(strategy)] = {
            "settings": len(ratio),
            "cheaper": int((ratio < 1).sum()),
            "dearer": int(((ratio >= 1) & np.isfinite(ratio)).sum()),
            "never": int(np.isinf(ratio).sum()),
            "median_ratio": median,
            "median_ratio_low": low,
            "median_ratio_high": high,
        }
    return {"ratios": found}


def _comparison(
    costs: pd.DataFrame, config: StrategiesConfig
) -> tuple[dict[str, object], dict[str, pd.DataFrame]]:
    """Compare costs: pairs where both ran, ranks where all did."""
    pairs, complete = pairwise(costs), costs.dropna()
    tables = {"pairs": pairs} if len(pairs) else {}
    if complete.empty:
        return {}, tables
    figures: dict[str, object] = {"settings_compared": len(complete)}
    tested = friedman(complete)
    if tested is not None:
        figures["friedman_statistic"], figures["friedman_p"] = tested
        figures["critical_difference"] = critical_difference(
            len(complete.columns), len(complete), 1.0 - config.confidence
        )
    return figures, {**tables, "ranks": mean_ranks(complete)}


def _curves(searches: Sequence[Search]) -> pd.DataFrame:
    """Return best-so-far accuracy against cumulative joules, where it changes, and at the end."""
    parts = []
    for each in searches:
        best, spent = best_so_far(each.accuracies), np.cumsum(each.joules)
        rises = np.flatnonzero(np.diff(np.nan_to_num(best, nan=-1.0), prepend=-1.0) > 0)
        kept = np.unique(np.append(rises, len(best) - 1))
        parts.append(
            pd.DataFrame(
                {
                    "setting": each.setting,
                    "strategy": each.strategy,
                    "seed": each.seed,
                    "trial": kept,
                    "spent_joules": spent[kept],
                    "best_accuracy": best[kept],
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def _bands(by_setting: _BySetting, config: StrategiesConfig) -> dict[str, pd.DataFrame]:
    parts = []
    for setting, group in by_setting.items():
        for strategy in sorted({each.strategy for each in group}):
            found = curve_band(
                [each for each in group if each.strategy == strategy],
                order_free=strategy in config.order_free,
                resamples=config.resamples,
                confidence=config.confidence,
                seed=config.seed,
            )
            if found is not None:
                found.insert(0, "setting", setting)
                found.insert(1, "strategy", strategy)
                parts.append(found)
    return {"bands": pd.concat(parts, ignore_index=True)} if parts else {}


def _answer(ratios: pd.DataFrame, strategy: str, config: StrategiesConfig) -> str:
    rows = ratios[ratios["strategy"] == strategy]
    ratio = rows["ratio"].dropna().to_numpy(float)
    if not len(ratio):
        return f"{_why_no_ratio(rows, config.baseline, strategy)}."
    median, low, high = median_interval(ratio, config.resamples, config.confidence, config.seed)
    never = int(np.isinf(ratio).sum())
    interval = ""
    if len(ratio) >= _FEWEST_FOR_INTERVAL:
        span = f"{_ratio(low)} to {_ratio(high)}"
        interval = f" ({config.confidence:.0%} interval over settings: {span})"
    return (
        f"{strategy} reaches the target with less energy than {config.baseline} in "
        f"{int((ratio < 1).sum())} of {len(ratio)} settings{_alone(ratio)}, with as much or more "
        f"in {len(ratio) - int((ratio < 1).sum()) - never}, and never in {never}; the median ratio "
        f"of the energies is {_ratio(median)}{interval}."
    )


def _alone(ratio: Figures) -> str:
    alone = int((ratio == 0).sum())
    return f" (in {alone} of them it alone arrives)" if alone else ""


def _why_no_ratio(rows: pd.DataFrame, baseline: str, strategy: str) -> str:
    if rows.empty:
        return f"{strategy} and {baseline} share no setting, so they cannot be compared"
    if (rows["baseline_joules"] == 0).any():
        return f"{baseline} reaches the target for 0 J, so {strategy} has no ratio to it"
    return f"neither {strategy} nor {baseline} reaches the target in any setting"


def _ratio(ratio: float) -> str:
    return "infinite" if np.isinf(ratio) else f"{ratio:.3g}"


def _notes(config: StrategiesConfig, searches: Sequence[Search]) -> list[str]:
    if config.target is not None:
        target = f"an accuracy of {config.target:g}"
    elif config.fraction_of_best is not None:
        target = f"{config.fraction_of_best:g} of the best accuracy known in the setting"
    else:
        target = f"the final best accuracy of {config.baseline} in the setting"
    seeds = len({each.seed for each in searches})
    notes = [
        f"The target is {target}.",
        "A strategy that never reaches it counts as infinite in medians and ranks, and is "
        "censored in the survival curves.",
    ]
    if seeds > 1:
        notes.append(f"The energy of a setting is the median of up to {seeds} searches.")
    notes.append(
        f"Intervals of one search's energy to target are over {config.resamples} random orders of "
        f"its trials ({', '.join(config.order_free)}): for strategies whose next trial hangs on "
        "the earlier ones there is no such interval."
    )
    return notes


def _undrawn(runs: RunTable) -> list[str]:
    undrawn = int((runs.frame[STRATEGY] == NO_STRATEGY).sum())
    return [f"{undrawn} runs that no search drew are not compared"] if undrawn else []


def _missing(costs: pd.DataFrame) -> list[str]:
    gaps = int(costs.isna().any(axis=1).sum())
    if not gaps:
        return []
    return [
        f"{gaps} of {len(costs)} settings lack a strategy: pairs count there where both ran, mean "
        "ranks leave these settings out"
    ]
