"""Which search strategy reaches an accuracy for the least energy."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict

import numpy as np
import pandas as pd

from greensweep.analysis.bands import curve_band, energies_over_orders, target_interval
from greensweep.analysis.comparison import critical_difference, friedman, mean_ranks, pairwise
from greensweep.analysis.ratios import ratio_table, summarise_ratios
from greensweep.analysis.result import Result
from greensweep.analysis.searches import (
    Figures,
    Search,
    best_so_far,
    best_within,
    energy_to_target,
    mean_best_accuracy,
)
from greensweep.analysis.strategies_text import answers_of, notes_of, warnings_of
from greensweep.analysis.survival import energy_survival
from greensweep.config.schema_analysis import StrategiesConfig
from greensweep.errors import AnalysisError, unknown
from greensweep.sources.table import (
    ACCURACY,
    NO_STRATEGY,
    ORDER,
    SEED,
    SETTING,
    SPENT,
    STRATEGY,
    RunTable,
)

_SHARES = (0.25, 0.5, 1.0)  # of the horizon, where regret is computed

_BySetting = Mapping[str, Mapping[str, Sequence[Search]]]  # and by strategy


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
    by_setting: dict[str, dict[str, list[Search]]] = {}
    for each in searches:
        by_setting.setdefault(each.setting, {}).setdefault(each.strategy, []).append(each)
    targets = {setting: _target(group, config) for setting, group in by_setting.items()}
    table, needed = _tables(by_setting, targets, config)
    costs = needed.pivot(index="setting", columns="strategy", values="joules_to_target")
    ratios = ratio_table(costs, config)
    summaries = summarise_ratios(ratios, config)
    figures, comparison_tables = _comparison(costs[costs.index.map(targets).notna()], config)
    survival, survival_figures = energy_survival(table, config.baseline)
    bands = _bands(by_setting, config)
    others = [name for name in strategies if name != config.baseline]
    return Result(
        name="strategies",
        answers=answers_of(ratios, summaries, others, config),
        tables={
            "searches": table,
            "energy_to_target": needed,
            "ratios": ratios,
            "curves": _curves(searches),
            **bands,
            **comparison_tables,
            "survival": survival,
        },
        figures={
            "baseline": config.baseline,
            "targets": targets,
            "ratios": {name: asdict(each) for name, each in summaries.items()},
            **figures,
            **survival_figures,
        },
        notes=notes_of(config, needed, bands.get("bands")),
        warnings=[*runs.warnings, *warnings_of(costs, table, runs)],
        source=runs.source,
        rows=runs.rows,
        left_out=runs.left_out,
    )


def searches_of(runs: RunTable) -> list[Search]:
    """Return the searches that a table of runs consists of; runs that no search drew are none.

    Raises:
        AnalysisError: no run names its strategy, a trial is there twice, or accuracy never varies.
    """
    frame = runs.frame[[SETTING, STRATEGY, SEED, ORDER, SPENT, ACCURACY]]
    drawn = frame[frame[STRATEGY] != NO_STRATEGY]
    if drawn.empty:
        raise AnalysisError(f"no run of {runs.source} names the strategy that drew it")
    unnumbered = int(drawn[ORDER].isna().sum())
    if unnumbered:
        raise AnalysisError(
            f"{unnumbered} trials of {runs.source} have no number in columns.order, which gives "
            "their order: name another column, or set columns.order=null for the order of the rows"
        )
    twice = drawn[drawn.duplicated([SETTING, STRATEGY, SEED, ORDER])]
    if len(twice):
        first = twice.iloc[0]
        raise AnalysisError(
            f"{runs.source} has trial {first[ORDER]:g} of {first[STRATEGY]} in {first[SETTING]} "
            f"twice, and {len(twice)} such rows in all: name the column that numbers the searches "
            "in columns.seed"
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


def _target(group: Mapping[str, Sequence[Search]], config: StrategiesConfig) -> float:
    if config.target is not None:
        return config.target
    if config.fraction_of_best is not None:
        every = [each for searches in group.values() for each in searches]
        return config.fraction_of_best * max(_bests(every), default=np.nan)
    own = _bests(group.get(config.baseline, ()))
    # Of the two in the middle the lower: the baseline's own median search then reaches it.
    return float(np.quantile(own, 0.5, method="lower")) if own else float("nan")


def _bests(searches: Sequence[Search]) -> list[float]:
    return [each.best for each in searches if not np.isnan(each.best)]


def _tables(
    by_setting: _BySetting, targets: Mapping[str, float], config: StrategiesConfig
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return a row for each search, and one for each strategy in a setting: its median search."""
    rows, medians = [], []
    for setting, group in by_setting.items():
        horizon, target = _horizon(group), targets[setting]
        known = max(_bests([each for own in group.values() for each in own]), default=np.nan)
        for strategy, own in group.items():
            reached = np.array(
                [float(energy_to_target(each.joules, each.accuracies, target)) for each in own]
            )
            redrawn = (
                energies_over_orders(own, target, config.resamples, config.seed)
                if _is_order_free(strategy, config)
                else None
            )
            for number, each in enumerate(own):
                one = slice(number, number + 1)
                interval = _interval(
                    reached[one], None if redrawn is None else redrawn[one], config
                )
                rows.append(
                    {
                        "setting": setting,
                        "strategy": strategy,
                        "seed": each.seed,
                        "trials": len(each.joules),
                        "finished": int((~np.isnan(each.accuracies)).sum()),
                        "best_accuracy": each.best,
                        "total_joules": each.total_joules,
                        "target_accuracy": target,
                        "joules_to_target": reached[number],
                        **interval,
                        **_accuracies(each, horizon, known),
                    }
                )
            medians.append(
                {
                    "setting": setting,
                    "strategy": strategy,
                    "searches": len(own),
                    "target_accuracy": target,
                    "joules_to_target": float(np.median(reached)),
                    **_interval(reached, redrawn, config),
                }
            )
    return pd.DataFrame(rows), pd.DataFrame(medians)


def _is_order_free(strategy: str, config: StrategiesConfig) -> bool:
    """Tell it of `random@SPACE` as of `random`: the table of a study names strategies so."""
    return strategy.partition("@")[0] in config.order_free


def _horizon(group: Mapping[str, Sequence[Search]]) -> float:
    """Return the energy over which a setting's searches are compared.

    It is what every strategy spent in its median search: one that was cut short shortens it for
    no other.
    """
    return min(float(np.median([each.total_joules for each in own])) for own in group.values())


def _interval(
    reached: Figures, redrawn: Figures | None, config: StrategiesConfig
) -> dict[str, object]:
    found = target_interval(reached, redrawn, config.confidence)
    return {
        "joules_to_target_low": found.low,
        "joules_to_target_high": found.high,
        "interval_over": found.over,
        "interval_draws": found.draws,
    }


def _accuracies(search: Search, horizon: float, known: float) -> dict[str, float]:
    """Return the area under a search's curve and its regret against the best known accuracy."""
    return {
        "mean_best_accuracy": mean_best_accuracy(search, horizon) if horizon > 0 else np.nan,
        "horizon_joules": horizon,
        **{
            f"regret_at_{share:.0%}": known - best_within(search, share * horizon)
            for share in _SHARES
        },
    }


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
    rows: list[tuple[str, str, str, int, float, float]] = []
    for each in searches:
        best, spent = best_so_far(each.accuracies), np.cumsum(each.joules)
        rises = np.flatnonzero(np.diff(np.nan_to_num(best, nan=-1.0), prepend=-1.0) > 0)
        kept = np.unique(np.append(rises, len(best) - 1))
        steps = zip(kept.tolist(), spent[kept].tolist(), best[kept].tolist(), strict=True)
        rows += [(each.setting, each.strategy, each.seed, *step) for step in steps]
    names = ["setting", "strategy", "seed", "trial", "spent_joules", "best_accuracy"]
    return pd.DataFrame(rows, columns=names)


def _bands(by_setting: _BySetting, config: StrategiesConfig) -> dict[str, pd.DataFrame]:
    parts = []
    for setting, group in by_setting.items():
        for strategy, own in group.items():
            found = curve_band(
                own,
                order_free=_is_order_free(strategy, config),
                resamples=config.resamples,
                confidence=config.confidence,
                seed=config.seed,
            )
            if found is not None:
                found.insert(0, "setting", setting)
                found.insert(1, "strategy", strategy)
                parts.append(found)
    return {"bands": pd.concat(parts, ignore_index=True)} if parts else {}
