"""How much accuracy, or of another metric, the energy buys, and where more of it stops paying."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from greensweep.analysis.comparison import range_text, resamples_that_fit
from greensweep.analysis.front import (
    best_below,
    hypervolume,
    knee,
    on_front_probability,
    points_lost,
    points_lost_in_draws,
)
from greensweep.analysis.importance import importance, unused, varying
from greensweep.analysis.result import Result
from greensweep.analysis.searches import Figures
from greensweep.analysis.units import joules as in_joules
from greensweep.config.metrics import Metric, capitalised
from greensweep.config.schema_analysis import TradeoffConfig
from greensweep.energy.units import JOULES_PER_KWH
from greensweep.errors import AnalysisError
from greensweep.pareto import distinguishable, pareto_front
from greensweep.sources.table import (
    ENERGY,
    OPTION_GROUPS,
    SCORE,
    UNCERTAINTY,
    RunTable,
    column,
    joined,
)

_SHARES = (0.5, 0.25, 0.1)  # of the best one's energy
_MOST_DRAWN = 20_000_000  # values in all draws of one bootstrap: about two seconds
_NOTHING_AS_CHEAP = "nothing costs that little"
_UNIT, _RUNS = "_configuration", "_runs"  # a table may have columns called as one would say it
_JOULES_PER_KILOJOULE = 1000.0


@dataclass(frozen=True)
class _Group:
    """Configurations that may stand in for each other, one row each: means over their repeats."""

    name: str
    means: pd.DataFrame
    runs: pd.DataFrame
    metric: Metric

    @property
    def scores(self) -> Figures:
        return self.means[SCORE].to_numpy(float)

    @property
    def values(self) -> Figures:
        """The metric itself."""
        return np.asarray(self.metric.score(self.scores), dtype=np.float64)

    @property
    def best(self) -> int:
        """Place of the best configuration; of equals, the cheapest."""
        return int(np.lexsort((self.joules, -self.scores))[0])

    @property
    def joules(self) -> Figures:
        return self.means[ENERGY].to_numpy(float)

    @property
    def uncertainties(self) -> Figures:
        return self.means[UNCERTAINTY].to_numpy(float)

    @property
    def front(self) -> NDArray[np.intp]:
        """Places of the Pareto front, cheapest first, whose energies are distinguishable."""
        return pareto_front(self.joules, self.scores, self.uncertainties)


def analyse_tradeoff(runs: RunTable, config: TradeoffConfig) -> Result:
    """Weigh the accuracy, or other metric, of finished runs against their training energy.

    Raises:
        AnalysisError: no run finished, all are as good, or a column is missing.
    """
    for name in config.configuration:
        column(runs.frame, name, "analysis.configuration", runs.source)
    within = _within(runs, config)
    groups = _groups(runs, within, config)
    odds = [_on_front_probability(group, config) for group in groups]
    repeated = [
        _probabilities(*each, config) for each in zip(groups, odds, strict=True) if len(each[1])
    ]
    halving = pd.concat([_halving(group, config) for group in groups], ignore_index=True)
    tables: dict[str, pd.DataFrame] = {
        "front": pd.concat(
            [_front(*each, config) for each in zip(groups, odds, strict=True)], ignore_index=True
        ),
        "halving": halving,
    }
    if repeated:
        tables["on_front"] = pd.concat(repeated, ignore_index=True)
    figures: dict[str, object] = {"groups": {group.name: _figures(group) for group in groups}}
    lost = "the points lost" if runs.metric.name == "accuracy" else "what is lost"
    notes = [
        f"{capitalised(runs.metric.label)} is compared within "
        + (", ".join(within) or "all runs")
        + ".",
        "The knee is the point of the front at the maximum distance above the chord between its "
        "ends, with both axes scaled to the front's own range, as in the first step of Kneedle "
        "(Satopää et al. 2011).",
        f"Intervals of {lost} are over {range_text(set(halving['interval_draws']))} draws "
        "of the configurations that were tried: they say what another search of that size may "
        "find, and are infinite where in such a draw nothing costs that little.",
    ]
    if repeated:
        notes.append(_probabilities_note(tables["on_front"]))
    hyperparameters = _hyperparameters(runs, config)
    notes += unused(runs.finished, config.hyperparameters)
    important = _importance(groups, hyperparameters, config.seed)
    if important is not None:
        tables["importance"] = important
    else:
        notes.append(
            "No importance of hyperparameters: fewer than 10 finished runs, no option in "
            "analysis.hyperparameters that varies, or none that explains anything."
        )
    if config.trainings:
        tables["at_scale"] = _at_scale(tables["halving"], runs.metric, config)
    constant = [each.name for each in groups if len(each.means) > 1 and not np.ptp(each.scores)]
    if len(constant) == len(groups):
        raise AnalysisError(
            f"all runs of {', '.join(constant)} have the same {runs.metric.label}: there is "
            "nothing to weigh"
        )
    warnings = [f"all runs of {name} have the same {runs.metric.label}" for name in constant]
    return Result(
        name="tradeoff",
        answers=[_recommendation(group) for group in groups],
        tables=tables,
        figures=figures,
        notes=notes,
        warnings=[*runs.warnings, *warnings],
        runs=runs,
    )


def _within(runs: RunTable, config: TradeoffConfig) -> list[str]:
    """Return the columns within which the metric compares; of the defaults those that are there."""
    defaults = TradeoffConfig().within
    for name in config.within:
        if name not in defaults:
            column(runs.frame, name, "analysis.within", runs.source)
    return [name for name in config.within if name in runs.frame]


def _groups(runs: RunTable, within: Sequence[str], config: TradeoffConfig) -> list[_Group]:
    finished, metric, groups = runs.finished, runs.metric, []
    for name, part in finished.groupby(joined(finished, within), sort=True):
        rows = part.reset_index(drop=True)
        if not config.configuration:
            rows = rows.assign(**{_UNIT: range(len(rows))})
            groups.append(_Group(str(name), rows.assign(**{_RUNS: 1}), rows, metric))
            continue
        unit = rows.groupby(list(config.configuration), dropna=False, sort=False).ngroup()
        rows = rows.assign(**{_UNIT: unit})
        first = rows.groupby(_UNIT).first()
        means = rows.groupby(_UNIT)[[SCORE, ENERGY]].mean()
        squares = rows[UNCERTAINTY].pow(2).groupby(rows[_UNIT])
        means[UNCERTAINTY] = squares.sum().pow(0.5) / squares.size()
        means = (
            first.drop(columns=[SCORE, ENERGY, UNCERTAINTY])
            .join(means)
            .assign(**{_RUNS: rows.groupby(_UNIT).size()})
        )
        groups.append(_Group(str(name), means.reset_index(drop=True), rows, metric))
    return groups


def _on_front_probability(group: _Group, config: TradeoffConfig) -> Figures:
    """Return the probability of each configuration; of none where nothing was repeated."""
    if group.means[_RUNS].max() == 1:
        return np.empty(0)
    return on_front_probability(
        group.runs[SCORE].to_numpy(float),
        group.runs[ENERGY].to_numpy(float),
        group.runs[_UNIT].to_numpy(),
        _draws(len(group.runs), config),
        config.seed,
    )


def _draws(values: int, config: TradeoffConfig) -> int:
    return resamples_that_fit(config.resamples, values, _MOST_DRAWN)


def _probabilities(group: _Group, odds: Figures, config: TradeoffConfig) -> pd.DataFrame:
    """All configurations, the likeliest on the front first."""
    table = pd.DataFrame(
        {
            "group": group.name,
            group.metric.name: group.values,
            "energy_joules": group.joules,
            "runs": group.means[_RUNS],
            "on_front_probability": odds,
            "draws": _draws(len(group.runs), config),
        }
    )
    table = table.join(group.means[list(config.configuration)], rsuffix=" (column)")
    by = ["on_front_probability", "energy_joules"]
    return table.sort_values(by, ascending=[False, True], kind="stable")


def _probabilities_note(table: pd.DataFrame) -> str:
    note = (
        "The probability of being on the front is over "
        f"{range_text(set(table['draws']))} draws of the repeats of each configuration; equals are "
        "on it together"
    )
    single = int((table["runs"] == 1).sum())
    if not single:
        return f"{note}."
    return (
        f"{note}. {single} of {len(table)} configurations have a single run, which counts as "
        "certain."
    )


def _front(group: _Group, odds: Figures, config: TradeoffConfig) -> pd.DataFrame:
    """The front, cheapest first, with what each step up buys."""
    kept = group.front
    rows = group.means.iloc[kept].reset_index(drop=True)
    values, joules, unsure = group.values[kept], group.joules[kept], group.uncertainties[kept]
    extra = np.diff(joules, prepend=np.nan) / _JOULES_PER_KILOJOULE
    place = knee(group.scores[kept], joules)
    table = pd.DataFrame(
        {
            "group": group.name,
            group.metric.name: values,
            "energy_joules": joules,
            **({"energy_uncertainty_joules": unsure} if unsure.any() else {}),
            "runs": rows[_RUNS],
            f"{group.metric.name}_per_extra_kilojoule": np.diff(values, prepend=np.nan) / extra,
            "is_knee": np.arange(len(kept)) == (-1 if place is None else place),
        }
    )
    if len(odds):
        table["on_front_probability"] = odds[kept]
    named = [name for name in ("run_id", "model", *config.configuration) if name in rows]
    return table.join(rows[named], rsuffix=" (column)")


def _halving(group: _Group, config: TradeoffConfig) -> pd.DataFrame:
    """The best configuration, and the best of those that cost a share of it at most."""
    scores, joules, name = group.scores, group.joules, group.metric.name
    most, draws = joules[group.best], _draws(len(scores), config)
    lost = points_lost_in_draws(scores, joules, _SHARES, draws, config.seed)
    tail = (1.0 - config.confidence) / 2.0
    lows, highs = np.quantile(lost, [tail, 1.0 - tail], axis=1, method="inverted_cdf")
    places = [group.best, *(best_below(scores, joules, share * most) for share in _SHARES)]
    kept = group.means.reindex([-1 if place is None else place for place in places])
    rows = kept.reset_index(drop=True)  # missing where nothing is that cheap
    worse_by = f"{name}_lost" if group.metric.direction == "maximize" else f"{name}_added"
    table = pd.DataFrame(
        {
            "group": group.name,
            "energy_share": [1.0, *_SHARES],
            name: group.metric.score(rows[SCORE]),
            "energy_joules": rows[ENERGY],
            "share_spent": rows[ENERGY] / most if most > 0 else np.nan,
            worse_by: [0.0, *(float(points_lost(scores, joules, share)) for share in _SHARES)],
            f"{worse_by}_low": [0.0, *lows],
            f"{worse_by}_high": [0.0, *highs],
            "remark": np.where(rows[SCORE].isna(), _NOTHING_AS_CHEAP, ""),
        }
    )
    return table.join(rows[rows.columns.intersection(["run_id"])]).assign(interval_draws=draws)


def _figures(group: _Group) -> dict[str, object]:
    kept = group.front
    place = knee(group.scores[kept], group.joules[kept])
    ends = _ends(group.metric, group.scores)
    return {
        "runs": len(group.runs),
        "configurations": len(group.means),
        "on_front": len(kept),
        "hypervolume": hypervolume(group.scores, group.joules, float(group.joules.max()), ends),
        f"knee_{group.metric.name}": None if place is None else float(group.values[kept][place]),
        "knee_joules": None if place is None else float(group.joules[kept][place]),
    }


def _hyperparameters(runs: RunTable, config: TradeoffConfig) -> Sequence[str]:
    for name in config.hyperparameters:
        column(runs.frame, name, "analysis.hyperparameters", runs.source)
    if config.hyperparameters:
        return config.hyperparameters
    return [str(name) for name in runs.frame if str(name).startswith(OPTION_GROUPS)]


def _importance(
    groups: Sequence[_Group], hyperparameters: Sequence[str], seed: int
) -> pd.DataFrame | None:
    parts = []
    for group in groups:
        searched = varying(group.runs, hyperparameters)
        targets = [ENERGY, group.metric.name]
        if searched and (found := importance(group.runs, searched, targets, seed)) is not None:
            found.insert(0, "group", group.name)
            parts.append(found)
    return pd.concat(parts, ignore_index=True) if parts else None


def _at_scale(halving: pd.DataFrame, metric: Metric, config: TradeoffConfig) -> pd.DataFrame:
    kwh = halving["energy_joules"] * config.trainings / JOULES_PER_KWH
    table = halving[["group", "energy_share", metric.name, "remark"]].assign(
        trainings=config.trainings, kwh=kwh
    )
    if config.kg_co2e_per_kwh is not None:
        table["kg_co2e"] = kwh * config.kg_co2e_per_kwh
    if config.price_per_kwh is not None:
        table["price"] = kwh * config.price_per_kwh
    return table


def _recommendation(group: _Group) -> str:
    metric, values, joules, best = group.metric, group.values, group.joules, group.best
    other = best_below(group.scores, joules, 0.5 * joules[best])
    most = (
        f"{group.name}: {metric.best_words} takes {in_joules(joules[best])} for "
        f"{metric.text(values[best])}"
    )
    if joules[best] == 0:
        return f"{most}: nothing costs less."
    if other is None:
        return f"{most}, and nothing that was tried costs half as much or less."
    if not distinguishable(joules[best], joules[other], *group.uncertainties[[best, other]]):
        return (
            f"{most}, and the energy of what costs half as much does not differ from it by more "
            "than the uncertainty."
        )
    lost = abs(values[best] - values[other])
    worse = f"{lost:.2g} of {metric.label}"
    if metric.name == "accuracy":
        worse = f"{100.0 * lost:.2g} points of accuracy"
    return (
        f"{most}; if {worse} are not worth more than half of that, take "
        f"{metric.text(values[other])} for {in_joules(joules[other])}."
    )


def _ends(metric: Metric, scores: Figures) -> tuple[float, float]:
    """Return the worst and the best score: of the metric's range, or of the runs."""
    worst, best = metric.worst_score, metric.best_score
    return (
        worst if np.isfinite(worst) else float(scores.min()),
        best if np.isfinite(best) else float(scores.max()),
    )
