"""How much accuracy, or of another metric, the energy buys, and where more of it stops paying."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from greensweep.analysis.comparison import range_text
from greensweep.analysis.configurations import Group
from greensweep.analysis.front import (
    best_below,
    hypervolume,
    points_lost_in_draws,
)
from greensweep.analysis.importance import FEWEST, importance, unused, varying
from greensweep.analysis.result import Result
from greensweep.config.metrics import Metric, capitalised
from greensweep.config.schema_analysis import TradeoffConfig
from greensweep.decision.sentences import answer, change_from_start
from greensweep.energy.units import JOULES_PER_KWH
from greensweep.errors import AnalysisError
from greensweep.intervals import FEWEST_REPEATS
from greensweep.sources import run_columns as col
from greensweep.sources.table import ENERGY, RunTable, joined

_SHARES = (0.5, 0.25, 0.1)  # of the best one's energy
_NOTHING_AS_CHEAP = "nothing costs that little"
_JOULES_PER_KILOJOULE = 1000.0
# Columns of a run that lead to it, beside those that name it.
_ORIGIN = ("run_id", "experiment_id", "folder", "trial", "commit", "data")


def analyse_tradeoff(runs: RunTable, config: TradeoffConfig) -> Result:
    """Weigh the accuracy, or other metric, of finished runs against their training energy.

    Raises:
        AnalysisError: no run finished, all are as good, or a column is missing.
    """
    runs.require(config.configuration, "analysis.configuration")
    defaults = TradeoffConfig().within
    runs.require([each for each in config.within if each not in defaults], "analysis.within")
    runs.require(config.hyperparameters, "analysis.hyperparameters")
    within = [name for name in config.within if name in runs.frame]
    options = config.configuration or runs.configuration
    parts = runs.finished.groupby(joined(runs.finished, within), sort=True)
    groups = [
        Group(str(name), part.reset_index(drop=True), runs.metric, config, options, len(parts) == 1)
        for name, part in parts
    ]
    tables = {
        "front": pd.concat(map(_front, groups), ignore_index=True),
        "halving": pd.concat(map(_halving, groups), ignore_index=True),
    }
    lost = "the points lost" if runs.metric.name == "accuracy" else "what is lost"
    notes = [
        f"{capitalised(runs.metric.label)} is compared within "
        + (", ".join(within) or "all runs")
        + ".",
        "The knee is the point of the front at the maximum distance above the chord between its "
        "ends, with both axes scaled to the front's own range, as in the first step of Kneedle "
        "(Satopää et al. 2011).",
        f"Intervals of {lost} are over {range_text(tables['halving']['interval_draws'])} draws "
        "of the configurations that were tried: they say what another search of that size may "
        "find, and their upper end is infinite where in such a draw nothing costs that little.",
    ]
    repeated = [_probabilities(group) for group in groups if group.on_front is not None]
    if repeated:
        tables["on_front"] = pd.concat(repeated, ignore_index=True)
        notes.append(_probabilities_note(tables["on_front"]))
    notes += unused(runs.finished, config.hyperparameters)
    options = config.hyperparameters or runs.configuration
    important = _importance(groups, options, config.seed)
    if important is not None:
        tables["importance"] = important
    else:
        why = dict.fromkeys(_why_unimportant(group, options) for group in groups)
        notes.append(f"No importance of hyperparameters: {'; '.join(why)}.")
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
        answers=[_answer(group) for group in groups],
        tables=tables,
        figures={"groups": {group.name: _figures(group) for group in groups}},
        notes=notes,
        warnings=[*runs.warnings, *warnings],
        runs=runs,
    )


def _probabilities(group: Group) -> pd.DataFrame:
    """All configurations, the likeliest on the front first."""
    table = pd.DataFrame(
        {
            "group": group.name,
            group.metric.name: group.values,
            "energy_joules": group.joules,
            "runs": group.sizes,
            "on_front_probability": group.on_front,
            "draws": group.draws(len(group.runs)),
        }
    )
    table = table.join(group.means[list(group.config.configuration)], rsuffix=" (column)")
    by = ["on_front_probability", "energy_joules"]
    return table.sort_values(by, ascending=[False, True], kind="stable")


def _probabilities_note(table: pd.DataFrame) -> str:
    note = (
        "The probability of being on the front is over "
        f"{range_text(table['draws'])} draws of the repeats of each configuration; equals are "
        "on it together."
    )
    if single := int((table["runs"] == 1).sum()):
        note += (
            f" Configurations of a single run, which counts as certain: {single} of {len(table)}."
        )
    return note


def _front(group: Group) -> pd.DataFrame:
    """The front, cheapest first, with what each step up buys, and what leads to each run."""
    assert group.decision is not None
    kept, name = group.front, group.metric.name
    candidates = [group.candidates[place] for place in kept]
    rows = group.means.iloc[kept].reset_index(drop=True)
    values, joules, unsure = group.values[kept], group.joules[kept], group.uncertainties[kept]
    extra = np.diff(joules, prepend=np.nan) / _JOULES_PER_KILOJOULE
    table = pd.DataFrame(
        {
            "group": group.name,
            name: values,
            "energy_joules": joules,
            **({"energy_uncertainty_joules": unsure} if unsure.any() else {}),
            "runs": group.sizes[kept],
            f"{name}_per_extra_kilojoule": np.diff(values, prepend=np.nan) / extra,
            "is_knee": [place == group.knee for place in range(len(kept))],
            "is_chosen": [each is group.decision.chosen for each in candidates],
            "configuration": [each.name for each in candidates],
            **({"is_start": rows[col.START]} if group.runs[col.START].any() else {}),
        }
    )
    intervals = [each.interval for each in candidates]
    if any(intervals):
        known = [each or (np.nan, np.nan) for each in intervals]
        table[[f"{name}_low", f"{name}_high"]] = known
    if group.on_front is not None:
        table["on_front_probability"] = group.on_front[kept]
    columns = dict.fromkeys([*group.config.configuration, "model", *group.searched, *_ORIGIN])
    there = [each for each in columns if each in rows]
    return table.join(rows[there], rsuffix=" (column)")


def _halving(group: Group) -> pd.DataFrame:
    """The best configuration, and the best of those that cost a share of it at most."""
    scores, joules, best, name = group.scores, group.joules, group.best, group.metric.name
    most, draws = joules[best], group.draws(len(scores))
    lost = points_lost_in_draws(scores, joules, _SHARES, draws, group.config.seed)
    tail = (1.0 - group.config.confidence) / 2.0
    lows, highs = np.quantile(lost, [tail, 1.0 - tail], axis=1, method="inverted_cdf")
    places = [best, *(best_below(scores, joules, share * most) for share in _SHARES)]
    # Two configurations have no interval, nor has what none of them is cheap enough for.
    known = [place is not None and len(scores) >= FEWEST_REPEATS for place in places[1:]]
    lows, highs = np.where(known, lows, np.nan), np.where(known, highs, np.nan)
    kept = group.means.reindex([-1 if place is None else place for place in places])
    rows = kept.reset_index(drop=True)  # missing where nothing is that cheap
    worse_by = f"{name}_lost" if group.metric.direction == "maximize" else f"{name}_added"
    table = pd.DataFrame(
        {
            "group": group.name,
            "energy_share": [1.0, *_SHARES],
            name: group.metric.score(rows[col.SCORE]),
            "energy_joules": rows[ENERGY],
            "share_spent": rows[ENERGY] / most if most > 0 else np.nan,
            worse_by: (scores[best] - rows[col.SCORE]).fillna(np.inf),
            f"{worse_by}_low": [0.0, *lows],
            f"{worse_by}_high": [0.0, *highs],
            "remark": np.where(rows[col.SCORE].isna(), _NOTHING_AS_CHEAP, ""),
        }
    )
    return table.join(rows[rows.columns.intersection(["run_id"])]).assign(interval_draws=draws)


def _figures(group: Group) -> dict[str, object]:
    metric, scores, place = group.metric, group.scores, group.knee
    worst, best = metric.worst_score, metric.best_score
    ends = (
        worst if np.isfinite(worst) else float(scores.min()),
        best if np.isfinite(best) else float(scores.max()),
    )
    return {
        "runs": len(group.runs),
        "configurations": len(group.means),
        "on_front": len(group.front),
        "hypervolume": hypervolume(scores, group.joules, float(group.joules.max()), ends),
        f"knee_{metric.name}": None if place is None else float(group.values[group.front][place]),
        "knee_joules": None if place is None else float(group.joules[group.front][place]),
        "decision": None if group.decision is None else group.decision.figures(),
        "against_start": None if group.decision is None else change_from_start(group.decision),
    }


def _importance(
    groups: Sequence[Group], hyperparameters: Sequence[str], seed: int
) -> pd.DataFrame | None:
    parts = []
    for group in groups:
        searched = varying(group.runs, hyperparameters)
        targets = [ENERGY, group.metric.name]
        if searched and (found := importance(group.runs, searched, targets, seed)) is not None:
            found.insert(0, "group", group.name)
            parts.append(found)
    return pd.concat(parts, ignore_index=True) if parts else None


def _why_unimportant(group: Group, hyperparameters: Sequence[str]) -> str:
    if not varying(group.runs, hyperparameters):
        return "no option in analysis.hyperparameters varies"
    if len(group.runs) < FEWEST:
        return f"it takes {FEWEST} finished runs, and there are {len(group.runs)}"
    return "options predict neither energy nor metric of runs that a forest has not seen"


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


def _answer(group: Group) -> str:
    """Say which configuration to take, in the words that a sweep ends with."""
    assert group.decision is not None
    text = answer(group.decision)
    return text if group.is_only else f"{group.name}: {text}"
