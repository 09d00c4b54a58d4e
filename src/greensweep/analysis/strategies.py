"""Which search strategy reaches an accuracy, or other metric, for the least energy."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from greensweep.analysis.bands import curve_band, energies_over_orders, target_interval
from greensweep.analysis.comparable import comparable_settings
from greensweep.analysis.comparison import (
    critical_difference,
    friedman,
    mean_ranks,
    pairwise,
    searches_p,
)
from greensweep.analysis.ratios import ratio_table, summarise_ratios
from greensweep.analysis.result import Result
from greensweep.analysis.searches import (
    Search,
    best_at,
    best_so_far,
    energy_to_target,
    mean_best_score,
)
from greensweep.analysis.strategies_text import answers_of, notes_of, warnings_of
from greensweep.analysis.survival import energy_survival
from greensweep.config.metrics import Metric
from greensweep.config.schema_analysis import StrategiesConfig
from greensweep.errors import AnalysisError, plural, unknown
from greensweep.sources import run_columns as col
from greensweep.sources.table import RunTable

_SHARES = (0.25, 0.5, 1.0)  # of the horizon, where regret is computed


@dataclass(frozen=True)
class _Setting:
    """The searches of one setting, by strategy, and what they are compared over."""

    name: str
    searches: Mapping[str, Sequence[Search]]
    metric: Metric
    config: StrategiesConfig

    @cached_property
    def target(self) -> float:
        """The score to reach: what is at most so bad, of a minimised metric."""
        if self.config.target is not None:
            return float(self.metric.score(self.config.target))
        times = self.config.fraction_of_best
        if times is not None:
            return self.best * times if self.metric.direction == "maximize" else self.best / times
        own = _bests(self.searches.get(self.config.baseline, ()))
        # Of the two in the middle the lower: the baseline's own median search then reaches it.
        return float(np.quantile(own, 0.5, method="lower")) if own else float("nan")

    @cached_property
    def best(self) -> float:
        """The best score of all; NaN where no trial finished."""
        return max(_bests([each for own in self.searches.values() for each in own]), default=np.nan)

    @cached_property
    def worst(self) -> float:
        """What counts before the first trial is done: the bad end of the metric's range.

        Where the range has no such end, it is the worst of the finished trials.
        """
        if np.isfinite(self.metric.worst_score):
            return self.metric.worst_score
        found = np.concatenate([each.scores for own in self.searches.values() for each in own])
        return float(np.nanmin(found)) if not np.isnan(found).all() else np.nan

    @cached_property
    def horizon(self) -> float:
        """The energy over which the searches are compared.

        It is what every strategy spent in its median search: one that was cut short shortens it for
        no other.
        """
        spent = [[each.total_joules for each in own] for own in self.searches.values()]
        return min(float(np.median(each)) for each in spent)


def compare_strategies(runs: RunTable, config: StrategiesConfig) -> Result:
    """Compare search strategies by the energy that they need to reach a target.

    The energy of all trials counts, the metric of those that finished. A strategy that never
    reaches the target is censored: its energy to target is infinite, and its survival curve goes on
    to what it spent.

    Raises:
        AnalysisError: there is only one strategy, none is called as the baseline, or no run can
            reach the target.
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
    metric = runs.metric
    _refuse_target(metric, config)
    settings = [_Setting(name, group, metric, config) for name, group in by_setting.items()]
    targets = {each.name: each.target for each in settings}
    table, needed = _tables(settings, config)
    costs = needed.pivot(index="setting", columns="strategy", values="joules_to_target")
    ratios = ratio_table(costs, config)
    summaries = summarise_ratios(ratios, config)
    figures, comparison_tables = _comparison(costs[costs.index.map(targets).notna()], table, config)
    survival, survival_figures = energy_survival(table, config.baseline)
    bands = _bands(settings, config)
    return Result(
        name="strategies",
        answers=answers_of(ratios, summaries, needed, comparison_tables.get("pairs"), config),
        tables={
            "searches": table,
            "energy_to_target": needed,
            "ratios": ratios,
            "curves": _curves(searches, metric),
            **bands,
            **comparison_tables,
            "survival": survival,
        },
        figures={
            "baseline": config.baseline,
            "targets": {setting: metric.score(each) for setting, each in targets.items()},
            "ratios": {name: asdict(each) for name, each in summaries.items()},
            **figures,
            **survival_figures,
        },
        notes=notes_of(metric, config, needed, bands.get("bands")),
        warnings=[*runs.warnings, *warnings_of(costs, table, runs)],
        runs=runs,
    )


def searches_of(runs: RunTable) -> list[Search]:
    """Return the searches that a table of runs consists of; runs that no search drew are none.

    What may not be held against each other is of another setting.

    Raises:
        AnalysisError: no run names its strategy, a trial is there twice, or all trials are
            as good.
    """
    drawn = runs.frame[runs.frame[col.STRATEGY] != col.NO_STRATEGY]
    if drawn.empty:
        raise AnalysisError(f"no run of {runs.source} names the strategy that drew it")
    unnumbered = int(drawn[col.ORDER].isna().sum())
    if unnumbered:
        raise AnalysisError(
            f"columns.order, which gives the order of trials, has no number for {unnumbered} "
            f"of {runs.source}: name another column, or set columns.order=null for the order of "
            "the rows"
        )
    twice = drawn[drawn.duplicated([*col.SEARCH, col.ORDER])]
    if len(twice):
        first = twice.iloc[0]
        raise AnalysisError(
            f"{runs.source} has trial {first[col.ORDER]:g} of {first[col.STRATEGY]} in "
            f"{first[col.SETTING]} twice, and {plural(len(twice), 'such row')} in all: name the "
            "column that numbers the searches in columns.seed"
        )
    finished = drawn.loc[drawn.index.isin(runs.finished.index), col.SCORE]
    if len(finished) > 1 and finished.nunique() == 1:
        raise AnalysisError(
            f"all trials of {runs.source} have the {runs.metric.label} "
            f"{runs.metric.score(finished.iloc[0]):g}: there is nothing to search for"
        )
    drawn = drawn.assign(**{col.SETTING: comparable_settings(runs, drawn)})
    groups = drawn[[*col.SEARCH, col.SPENT, col.SCORE]].groupby(col.SEARCH, sort=True)
    found = []
    for (setting, strategy, seed), group in groups:
        joules, scores = (group[name].to_numpy(float) for name in (col.SPENT, col.SCORE))
        found.append(Search(str(setting), str(strategy), str(seed), joules, scores))
    return found


def _refuse_target(metric: Metric, config: StrategiesConfig) -> None:
    target = config.target
    if target is not None and not metric.low <= target <= metric.high:
        ends = f"from {metric.low:g} to {metric.high:g}"
        raise AnalysisError(
            f"analysis.target must be {metric.label}, {ends}, got {target:g}: set another"
        )
    if config.fraction_of_best is not None and metric.low < 0:
        raise AnalysisError(
            f"analysis.fraction_of_best has no meaning for {metric.label}, which may be negative: "
            "set analysis.target"
        )


def _bests(searches: Sequence[Search]) -> list[float]:
    return [each.best for each in searches if not np.isnan(each.best)]


def _tables(
    settings: Sequence[_Setting], config: StrategiesConfig
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return a row for each search, and one for each strategy in a setting: its median search."""
    rows, medians = [], []
    for setting in settings:
        metric, target = setting.metric, setting.target
        target_value = {f"target_{metric.name}": metric.score(target)}
        for strategy, own in setting.searches.items():
            names = {"setting": setting.name, "strategy": strategy}
            reached = np.array(
                [float(energy_to_target(each.joules, each.scores, target)) for each in own]
            )
            redrawn = None
            if _is_order_free(strategy, config):
                redrawn = energies_over_orders(own, target, config.resamples, config.seed)
            for number, each in enumerate(own):
                one = slice(number, number + 1)
                own_orders = None if redrawn is None else redrawn[one]
                rows.append(
                    {
                        **names,
                        "seed": each.seed,
                        "trials": len(each.joules),
                        "finished": int((~np.isnan(each.scores)).sum()),
                        f"best_{metric.name}": metric.score(each.best),
                        "total_joules": each.total_joules,
                        **target_value,
                        "joules_to_target": reached[number],
                        **target_interval(reached[one], own_orders, config.confidence),
                        **_reached(each, setting),
                    }
                )
            medians.append(
                {
                    **names,
                    "searches": len(own),
                    **target_value,
                    "joules_to_target": float(np.median(reached)),
                    **target_interval(reached, redrawn, config.confidence),
                }
            )
    return pd.DataFrame(rows), pd.DataFrame(medians)


def _is_order_free(strategy: str, config: StrategiesConfig) -> bool:
    """Tell it of `random@SPACE` as of `random`: the table of a study names strategies so."""
    return strategy.partition("@")[0] in config.order_free


def _reached(search: Search, setting: _Setting) -> dict[str, float]:
    """Return the area under a search's curve and its regret against the best known figure."""
    horizon, metric = setting.horizon, setting.metric
    mean = mean_best_score(search, horizon, setting.worst) if horizon > 0 else np.nan
    best = best_at(search.joules, search.scores, np.multiply(_SHARES, horizon), worst=np.nan)
    regrets = zip(_SHARES, setting.best - best, strict=True)
    return {
        f"mean_best_{metric.name}": metric.score(mean),
        "horizon_joules": horizon,
        **{f"regret_at_{share:.0%}": regret for share, regret in regrets},
    }


def _comparison(
    costs: pd.DataFrame, searches: pd.DataFrame, config: StrategiesConfig
) -> tuple[dict[str, object], dict[str, pd.DataFrame]]:
    """Compare costs: pairs where both ran, ranks where all did.

    Args:
        costs: of the median searches, a row for each setting that has a target.
        searches: a row for each search.
    """
    pairs, complete = pairwise(costs), costs.dropna()
    if len(pairs):
        own = searches[searches["setting"].isin(costs.index)]
        pairs = pairs.assign(**searches_p(own, pairs, config.confidence, config.seed))
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


def _curves(searches: Sequence[Search], metric: Metric) -> pd.DataFrame:
    """Return the best so far against cumulative joules, where it changes, and at the end."""
    rows: list[tuple[str, str, str, int, float, float]] = []
    for each in searches:
        best, spent = best_so_far(each.scores), np.cumsum(each.joules)
        known = np.where(np.isnan(best), -np.inf, best)
        rises = np.flatnonzero(known > np.concatenate([[-np.inf], known[:-1]]))
        kept = np.unique(np.append(rises, len(best) - 1)) if len(rises) else rises
        steps = zip(
            kept.tolist(), spent[kept].tolist(), metric.score(best[kept]).tolist(), strict=True
        )
        rows += [(each.setting, each.strategy, each.seed, *step) for step in steps]
    names = ["setting", "strategy", "seed", "trial", "spent_joules", f"best_{metric.name}"]
    return pd.DataFrame(rows, columns=names)


def _bands(settings: Sequence[_Setting], config: StrategiesConfig) -> dict[str, pd.DataFrame]:
    parts = {}
    for setting in settings:
        for strategy, own in setting.searches.items():
            band = curve_band(own, setting.worst, _is_order_free(strategy, config), config)
            if band is not None:
                parts[setting.name, strategy] = _in_units(band, setting.metric)
    if not parts:
        return {}
    names = ["setting", "strategy"]
    return {"bands": pd.concat(parts, names=names).reset_index(names).reset_index(drop=True)}


def _in_units(band: pd.DataFrame, metric: Metric) -> pd.DataFrame:
    """Return a band of scores as one of the metric, under its name."""
    low, high = ("low", "high") if metric.direction == "maximize" else ("high", "low")
    ends = {"low": metric.score(band[low]), "high": metric.score(band[high])}
    values = band.assign(score=metric.score(band["score"]), **ends)
    return values.rename(columns={"score": metric.name})
