"""Figures of a metric against energy, and of what matters for either."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from greensweep.analysis import Result, RunTable
from greensweep.analysis.units import joules, number
from greensweep.config.metrics import Metric
from greensweep.rendering.figures.drawing import Drawing, joules_along, points, short
from greensweep.rendering.style import COLOURS, FAINT, INK, panel
from greensweep.sources.table import ENERGY, joined

_MOST_POINTS = 2000  # drawn in one figure, those of the front always
_MOST_PANELS = 6
_MOST_BARS = 12
_LOG_FROM = 20  # times that energies span, for a scale of logarithms


def draw_front(
    result: Result, runs: RunTable, within: Sequence[str], label: str | None = None
) -> list[Drawing]:
    """Draw the metric against training energy, with the front, one figure for each group.

    Args:
        label: what the axis calls the metric; None: as it is called.
    """
    finished, metric = runs.finished, runs.metric
    names = joined(finished, [name for name in within if name in finished])
    drawings = []
    fronts = result.tables["front"]
    for place, (name, front) in enumerate(list(fronts.groupby("group", sort=False))[:_MOST_PANELS]):
        rows = finished[names == name]
        if len(rows) > _MOST_POINTS:
            rows = rows.sample(_MOST_POINTS, random_state=0)
        with panel(3.4) as (figure, axes):
            points(axes, rows[ENERGY], rows[metric.name], f"runs-{place}", INK, "o", 14, alpha=0.35)
            spent, reached = front["energy_joules"], front[metric.name]
            axes.step(spent, reached, where="post", color=COLOURS[0], lw=1.6)
            points(axes, spent, reached, f"front-{place}", COLOURS[0], "D", 30)
            knee = front[front["is_knee"]]
            for _, point in knee.iterrows():
                axes.annotate(
                    "knee", (point["energy_joules"], point[metric.name]), (6, -12),
                    textcoords="offset points",
                )  # fmt: skip
            low, high = rows[ENERGY].min(), rows[ENERGY].max()
            if low > 0 and high / low > _LOG_FROM:
                axes.set_xscale("log")
            joules_along(axes, "training energy")
            axes.set_ylabel(label or metric.label)
        best, cheapest = front.iloc[-1], front.iloc[0]
        drawings.append(
            Drawing(
                name=f"front_{place}" if place else "front",
                figure=figure,
                caption=f"{name}: {metric.label} against training energy; diamonds are the Pareto "
                "front.",
                alt=f"{len(front)} runs are on the front, from "
                f"{metric.text(cheapest[metric.name])} for "
                f"{joules(cheapest['energy_joules'])} to "
                f"{metric.text(best[metric.name])} for "
                f"{joules(best['energy_joules'])}.",
                tips={
                    f"runs-{place}": _run_tips(rows, metric),
                    f"front-{place}": _run_tips(front, metric),
                },
            )
        )
    return drawings


def draw_importance(result: Result) -> Drawing:
    """Draw the importance of hyperparameters for energy and the metric, in the first group."""
    table, metric = result.tables["importance"], result.runs.metric
    labels = {ENERGY: "energy", metric.name: metric.label}
    own = table[table["group"] == table["group"].iloc[0]]
    wide = own.pivot(index="hyperparameter", columns="target", values="importance").fillna(0.0)
    wide = wide.loc[wide.max(axis=1).sort_values(ascending=False).index][:_MOST_BARS]
    with panel(0.9 + 0.42 * len(wide)) as (figure, axes):
        height = 0.8 / len(wide.columns)
        for index, target in enumerate(wide.columns):
            axes.barh(
                np.arange(len(wide)) + (index - (len(wide.columns) - 1) / 2) * height,
                wide[target], height * 0.9, label=labels[target],
                color=COLOURS[index], hatch=("", "///")[index % 2], edgecolor=FAINT,
            )  # fmt: skip
        axes.set_yticks(range(len(wide)), [short(str(name)) for name in wide.index])
        axes.invert_yaxis()
        axes.set_xlabel("share of the variance that shuffling the option costs")
        axes.legend()
    first = wide.idxmax()
    return Drawing(
        "importance", figure,
        f"{own['group'].iloc[0]}: importance of each option under a random forest.",
        "; ".join(f"{first[target]} matters most for {target}" for target in wide.columns) + ".",
    )  # fmt: skip


def _run_tips(rows: pd.DataFrame, metric: Metric) -> list[str]:
    named = [name for name in ("run_id", "model") if name in rows]
    further = [name for name in map(str, rows.columns) if name.startswith("optimizer.")][:6]
    return [
        f"{metric.text(row[metric.name])} for {joules(row[ENERGY])}"
        + "".join(f"\n{name}: {_tip(row[name])}" for name in (*named, *further))
        for row in rows[[metric.name, ENERGY, *named, *further]].to_dict("records")
    ]


def _tip(value: Any) -> str:
    return number(value) if isinstance(value, float) else str(value)
