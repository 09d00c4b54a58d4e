"""How much accuracy the energy buys, and where more of it stops paying."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from greensweep.analysis.front import (
    best_below,
    front,
    hypervolume,
    knee,
    on_front_probability,
    points_lost,
)
from greensweep.analysis.importance import importance, varying
from greensweep.analysis.result import Result
from greensweep.analysis.searches import Figures
from greensweep.analysis.table import ACCURACY, ENERGY, OPTION_GROUPS, RunTable, column, joined
from greensweep.analysis.units import joules as in_joules
from greensweep.config.schema_analysis import TradeoffConfig
from greensweep.errors import AnalysisError

_SHARES = (0.5, 0.25, 0.1)  # of the most accurate one's energy
_JOULES_PER_KWH = 3.6e6
_UNIT, _RUNS = "_configuration", "_runs"  # a table may have columns called as one would say it
_JOULES_PER_KILOJOULE = 1000.0


@dataclass(frozen=True)
class _Group:
    """Configurations that may stand in for each other, one row each: means over their repeats."""

    name: str
    means: pd.DataFrame
    runs: pd.DataFrame

    @property
    def accuracies(self) -> Figures:
        return self.means[ACCURACY].to_numpy(float)

    @property
    def joules(self) -> Figures:
        return self.means[ENERGY].to_numpy(float)


def weigh_tradeoff(runs: RunTable, config: TradeoffConfig) -> Result:
    """Weigh the accuracy of finished runs against their training energy.

    Raises:
        AnalysisError: no run finished, all are as accurate, or a column is missing.
    """
    for name in config.configuration:
        column(runs.frame, name, "analysis.configuration", runs.source)
    finished = runs.finished
    groups = _groups(finished, config)
    tables: dict[str, pd.DataFrame] = {
        "front": pd.concat([_front(group, config) for group in groups], ignore_index=True),
        "halving": pd.concat([_halving(group, config) for group in groups], ignore_index=True),
    }
    figures: dict[str, object] = {
        "groups": {group.name: _figures(group) for group in groups},
    }
    notes = [
        "Accuracy is compared within " + (", ".join(config.within) or "all runs") + ".",
        "The knee is the point of the front farthest above the line between its ends.",
        f"Intervals of the points lost are over {config.resamples} draws of the configurations "
        "that were tried: they say what another search of that size may find.",
    ]
    told = _importance(groups, _hyperparameters(runs, config), config.seed)
    if told is not None:
        tables["importance"] = told
    else:
        notes.append(
            "No importance of hyperparameters: fewer than 10 finished runs, no option in "
            "analysis.hyperparameters that varies, or none that explains anything."
        )
    if config.trainings:
        tables["at_scale"] = _at_scale(tables["halving"], config)
    constant = [group.name for group in groups if _is_constant(group)]
    if len(constant) == len(groups):
        raise AnalysisError(
            f"all runs of {', '.join(constant)} have the same accuracy: there is nothing to weigh"
        )
    warnings = [f"all runs of {name} have the same accuracy" for name in constant]
    return Result(
        name="tradeoff",
        answers=[_recommendation(group) for group in groups],
        tables=tables,
        figures=figures,
        notes=notes,
        warnings=[*runs.warnings, *warnings],
        source=runs.source,
        rows=runs.rows,
        left_out=runs.left_out,
    )


def _groups(finished: pd.DataFrame, config: TradeoffConfig) -> list[_Group]:
    within = [name for name in config.within if name in finished]
    groups = []
    for name, part in finished.groupby(joined(finished, within), sort=True):
        rows = part.reset_index(drop=True)
        if not config.configuration:
            rows = rows.assign(**{_UNIT: range(len(rows))})
            groups.append(_Group(str(name), rows.assign(**{_RUNS: 1}), rows))
            continue
        unit = rows.groupby(list(config.configuration), dropna=False, sort=False).ngroup()
        rows = rows.assign(**{_UNIT: unit})
        first = rows.groupby(_UNIT).first()
        means = rows.groupby(_UNIT)[[ACCURACY, ENERGY]].mean()
        means = (
            first.drop(columns=[ACCURACY, ENERGY])
            .join(means)
            .assign(**{_RUNS: rows.groupby(_UNIT).size()})
        )
        groups.append(_Group(str(name), means.reset_index(drop=True), rows))
    return groups


def _is_constant(group: _Group) -> bool:
    return len(group.means) > 1 and bool(np.ptp(group.accuracies) == 0)


def _front(group: _Group, config: TradeoffConfig) -> pd.DataFrame:
    """The front, cheapest first, with what each step up buys."""
    kept = front(group.accuracies, group.joules)
    rows = group.means.iloc[kept].reset_index(drop=True)
    accuracy, joules = group.accuracies[kept], group.joules[kept]
    extra = np.diff(joules, prepend=np.nan) / _JOULES_PER_KILOJOULE
    place = knee(accuracy, joules)
    table = pd.DataFrame(
        {
            "group": group.name,
            "accuracy": accuracy,
            "energy_joules": joules,
            "runs": rows[_RUNS],
            "accuracy_per_extra_kilojoule": np.diff(accuracy, prepend=np.nan) / extra,
            "is_knee": np.arange(len(kept)) == (-1 if place is None else place),
        }
    )
    if group.means[_RUNS].max() > 1:
        odds = on_front_probability(
            group.runs[ACCURACY].to_numpy(float),
            group.runs[ENERGY].to_numpy(float),
            group.runs[_UNIT].to_numpy(),
            min(config.resamples, 500),
            config.seed,
        )
        table["on_front_probability"] = odds[kept]
    named = [name for name in ("run_id", "model", *config.configuration) if name in rows]
    return table.join(rows[named], rsuffix=" (column)")


def _halving(group: _Group, config: TradeoffConfig) -> pd.DataFrame:
    accuracy, joules = group.accuracies, group.joules
    best = int(np.lexsort((joules, -accuracy))[0])
    generator = np.random.default_rng(config.seed)
    resamples = max(min(config.resamples, 20_000_000 // len(accuracy)), 20)
    draws = generator.integers(0, len(accuracy), (resamples, len(accuracy)))
    tail = (1.0 - config.confidence) / 2.0
    rows = [_row(group, 1.0, best, 0.0, (0.0, 0.0), best)]
    for share in _SHARES:
        other = best_below(accuracy, joules, share * joules[best])
        lost = [points_lost(accuracy[draw], joules[draw], share) for draw in draws]
        low, high = np.quantile(lost, [tail, 1.0 - tail], method="inverted_cdf")
        told = points_lost(accuracy, joules, share)
        rows.append(_row(group, share, other, told, (float(low), float(high)), best))
    return pd.DataFrame(rows)


def _row(
    group: _Group,
    share: float,
    place: int | None,
    lost: float,
    interval: tuple[float, float],
    best: int,
) -> dict[str, object]:
    row: dict[str, object] = {
        "group": group.name,
        "energy_share": share,
        "accuracy": np.nan,
        "energy_joules": np.nan,
        "share_spent": np.nan,
        "accuracy_lost": lost,
        "accuracy_lost_low": interval[0],
        "accuracy_lost_high": interval[1],
    }
    if place is not None:
        row["accuracy"], row["energy_joules"] = group.accuracies[place], group.joules[place]
        if group.joules[best] > 0:
            row["share_spent"] = group.joules[place] / group.joules[best]
        if "run_id" in group.means:
            row["run_id"] = group.means["run_id"].iloc[place]
    return row


def _figures(group: _Group) -> dict[str, object]:
    kept = front(group.accuracies, group.joules)
    place = knee(group.accuracies[kept], group.joules[kept])
    return {
        "runs": len(group.runs),
        "configurations": len(group.means),
        "on_front": len(kept),
        "hypervolume": hypervolume(group.accuracies, group.joules, float(group.joules.max())),
        "knee_accuracy": None if place is None else float(group.accuracies[kept][place]),
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
        found = importance(group.runs, searched, [ENERGY, ACCURACY], seed) if searched else None
        if found is not None:
            found.insert(0, "group", group.name)
            parts.append(found)
    return pd.concat(parts, ignore_index=True) if parts else None


def _at_scale(halving: pd.DataFrame, config: TradeoffConfig) -> pd.DataFrame:
    kwh = halving["energy_joules"] * config.trainings / _JOULES_PER_KWH
    table = halving[["group", "energy_share", "accuracy"]].assign(
        trainings=config.trainings, kwh=kwh
    )
    if config.kg_co2e_per_kwh is not None:
        table["kg_co2e"] = kwh * config.kg_co2e_per_kwh
    if config.price_per_kwh is not None:
        table["price"] = kwh * config.price_per_kwh
    return table


def _recommendation(group: _Group) -> str:
    accuracy, joules = group.accuracies, group.joules
    best = int(np.lexsort((joules, -accuracy))[0])
    other = best_below(accuracy, joules, 0.5 * joules[best])
    most = (
        f"{group.name}: the most accurate takes {in_joules(joules[best])} for {accuracy[best]:.4f}"
    )
    if other is None:
        return f"{most}, and nothing that was tried costs half as much or less."
    lost = 100.0 * (accuracy[best] - accuracy[other])
    return (
        f"{most}; if {lost:.2g} points of accuracy are not worth more than half of that, take "
        f"{accuracy[other]:.4f} for {in_joules(joules[other])}."
    )
