"""Figures of a metric against energy, and of what matters for either."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.transforms import offset_copy

from greensweep.analysis import Result, RunTable
from greensweep.analysis.units import joules
from greensweep.config.metrics import Metric, capitalised
from greensweep.decision.sentences import option_names, value_text
from greensweep.rendering.figures.drawing import (
    Drawing,
    joules_along,
    points,
    short,
    told_apart,
)
from greensweep.rendering.style import COLOURS, FAINT, FONT_SIZE, INK, MARKERS, panel
from greensweep.sources import run_columns as col
from greensweep.sources.table import ENERGY, joined

_MOST_POINTS = 2000  # drawn in one figure, those of the front always
_MOST_PANELS = 6
_MOST_BARS = 12
_MOST_TIP_OPTIONS = 6
_MOST_TOLD = 300  # points of which each tells its options
_LOG_FROM = 20  # times that energies span, for a scale of logarithms
_RIGHT_OF = 0.25  # share of the width from which a label has room to its left
_UNCERTAINTY = "energy_uncertainty_joules"
_ROW = 1.35 * FONT_SIZE  # points between two rows of labels
_RING: Mapping[str, Any] = {
    "ls": "",
    "marker": "o",
    "ms": 11,
    "mfc": "none",
    "mec": INK,
    "zorder": 4,
}


def draw_front(
    result: Result,
    runs: RunTable,
    within: Sequence[str],
    label: str | None = None,
    first: int = 0,
) -> list[Drawing]:
    """Draw the metric against training energy, with the front, one figure for each group.

    The run to take and the best are named above the axes, where no point is; a ring is around the
    one that the search started from, which the legend says. Runs of several
    models, or else of several data sets, have a colour for each.

    Args:
        label: what the axis calls the metric; None: as it is called.
        first: number of the first figure, where a page has others.
    """
    finished, metric = runs.finished, runs.metric
    names = joined(finished, [name for name in within if name in finished])
    drawings = []
    fronts = result.tables["front"]
    for place, (name, front) in enumerate(
        list(fronts.groupby("group", sort=False))[:_MOST_PANELS], first
    ):
        rows = finished[names == name]
        if len(rows) > _MOST_POINTS:
            rows = rows.sample(_MOST_POINTS, random_state=0)
        tips: dict[str, list[str]] = {}
        kinds = _kinds(rows)
        spent, reached = front["energy_joules"], front[metric.name]
        start = rows[rows[col.START]]
        legend = _legend(kinds, 1)
        with panel(3.4 + 0.25 * bool(kinds or len(start))) as (figure, axes):
            for index, (kind, own) in enumerate((kinds or {"": rows}).items()):
                gid = f"runs-{place}-{index}" if kind else f"runs-{place}"
                look = (COLOURS[1 + index], MARKERS[index]) if kind else (INK, "o")
                points(axes, own[ENERGY], own[metric.name], gid, *look, 16, alpha=0.4)
                tips[gid] = _run_tips(own, metric, runs.configuration)
            axes.step(spent, reached, where="post", color=COLOURS[0], lw=1.6)
            _draw_uncertainty(axes, front, metric)
            points(axes, spent, reached, f"front-{place}", COLOURS[0], "D", 30)
            tips[f"front-{place}"] = _run_tips(front, metric, runs.configuration)
            low, high = rows[ENERGY].min(), rows[ENERGY].max()
            if low > 0 and high / low > _LOG_FROM:
                axes.set_xscale("log")
            joules_along(axes, "training energy")
            axes.set_ylabel(label or metric.label)
            _name_the_choice(axes, front, metric)
            if len(start):
                legend += axes.plot(start[ENERGY], start[metric.name], **_RING, label=_start(start))
            if legend:
                figure.legend(handles=legend, loc="outside lower center", ncols=3,
                              handletextpad=0.2, columnspacing=1.0)  # fmt: skip
        best, cheapest = front.iloc[-1], front.iloc[0]
        of = "" if fronts["group"].nunique() == 1 else f"{name}: "
        drawings.append(
            Drawing(
                name=f"front_{place}" if place else "front",
                figure=figure,
                caption=f"{of}{capitalised(label or metric.label)} against training energy"
                f"{'' if metric.direction == 'maximize' else ', the less the better'}. "
                f"Diamonds are the Pareto front: none is better for less{_as_known(front)}.",
                alt=f"{_count(len(front))} on the front, from "
                f"{metric.text(cheapest[metric.name])} for "
                f"{joules(cheapest['energy_joules'])} to "
                f"{metric.text(best[metric.name])} for "
                f"{joules(best['energy_joules'])}.",
                tips=tips,
            )
        )
    return drawings


def draw_fronts(results: Mapping[str, Result]) -> Drawing:
    """Draw the fronts of several sweeps, by name, with the run that each says to take."""
    metric = next(iter(results.values())).runs.metric
    tips: dict[str, list[str]] = {}
    taken = []
    with panel(3.6) as (figure, axes):
        energies = pd.concat([each.runs.finished[ENERGY] for each in results.values()])
        if energies.min() > 0 and energies.max() / energies.min() > _LOG_FROM:
            axes.set_xscale("log")
        called = dict(zip(results, told_apart([*results]), strict=True))
        for place, (name, result) in enumerate(results.items()):
            look = COLOURS[place % len(COLOURS)], MARKERS[place % len(MARKERS)]
            rows, front = result.runs.finished, result.tables["front"]
            if len(rows) > _MOST_POINTS // len(results):
                rows = rows.sample(_MOST_POINTS // len(results), random_state=0)
            points(axes, rows[ENERGY], rows[metric.name], f"runs-{place}", *look, 14, alpha=0.3)
            for _, own in front.groupby("group"):
                axes.step(own[ENERGY], own[metric.name], where="post", color=look[0], lw=1.6)
            points(axes, front[ENERGY], front[metric.name], f"front-{place}", *look, 34)
            for gid, of in ((f"runs-{place}", rows), (f"front-{place}", front)):
                found = _run_tips(of, metric, result.runs.configuration)
                tips[gid] = [f"{name}: {tip}" for tip in found]
            taken += [
                (
                    row[ENERGY],
                    row[metric.name],
                    f"{short(called[name], 14)}: take {row['configuration']}",
                )
                for _, row in front[front["is_chosen"]].iterrows()
            ]
        joules_along(axes, "training energy")
        axes.set_ylabel(metric.label)
        if len(taken) == len(results) == 2:
            taken.sort()
            _name_above(axes, [(*each, True) for each in taken])
        figure.legend(handles=_legend(called.values(), 0), loc="outside lower center", ncols=2)
    return Drawing(
        "fronts", figure,
        f"{capitalised(metric.label)} against training energy of each sweep's runs, with its "
        "Pareto front.",
        "; ".join(f"{name}: {answer}" for name, each in results.items() for answer in each.answers),
        tips,
    )  # fmt: skip


def draw_importance(result: Result, group: str) -> Drawing:
    """Draw the importance of hyperparameters for energy and the metric, in a group."""
    table, metric = result.tables["importance"], result.runs.metric
    labels = {ENERGY: "energy", metric.name: metric.label}
    own = table[table["group"] == group]
    wide = own.pivot(index="hyperparameter", columns="target", values="importance").fillna(0.0)
    wide = wide.loc[wide.max(axis=1).sort_values(ascending=False).index][:_MOST_BARS]
    called = option_names(map(str, wide.index))
    known = own.groupby("target")["r2_out_of_bag"].first()
    with panel(1.1 + 0.45 * len(wide)) as (figure, axes):
        height = 0.8 / len(wide.columns)
        for index, target in enumerate(wide.columns):
            axes.barh(
                np.arange(len(wide)) + (index - (len(wide.columns) - 1) / 2) * height,
                wide[target], height * 0.9, label=f"{labels[target]} (R² {known[target]:.2f})",
                color=COLOURS[index], hatch=("", "///")[index % 2], edgecolor=FAINT,
            )  # fmt: skip
        axes.set_yticks(range(len(wide)), [short(called[str(name)], 24) for name in wide.index])
        axes.invert_yaxis()
        axes.grid(axis="y", visible=False)
        axes.locator_params(axis="x", nbins=4)
        axes.set_xlabel("share of the variance")
        figure.legend(loc="outside upper right", ncols=2)
    first = wide.idxmax()
    of = "" if table["group"].nunique() == 1 else f"{group}: "
    return Drawing(
        "importance", figure,
        f"{of}What shuffling an option costs a random forest, in shares of the variance; R² is on "
        "runs that it has not seen.",
        "; ".join(
            f"{called[str(first[target])]} matters most for {labels[target]}"
            for target in wide.columns
        )
        + ".",
    )  # fmt: skip


def _as_known(front: pd.DataFrame) -> str:
    """Return why a run that takes somewhat less is not on the front, where that can be."""
    return ", beyond what its energy may be off by" if _UNCERTAINTY in front else ""


def _start(rows: pd.DataFrame) -> str:
    if len(rows) > 1:
        return "starting points"
    named = f" (trial {rows['trial'].iloc[0]:.0f})" if "trial" in rows else ""
    return f"starting point{named}"


def _kinds(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the runs by model, else by data set, where there are no more than colours."""
    for name in ("model", "dataset"):
        if name in rows and 1 < rows[name].nunique() < len(COLOURS):
            return {str(kind): own for kind, own in rows.groupby(name, sort=True)}
    return {}


def _legend(kinds: Iterable[str], first: int) -> list[Line2D]:
    """Return what a legend shows of kinds of points, from the first of the colours on."""
    return [
        Line2D([], [], ls="", marker=MARKERS[index % len(MARKERS)], label=short(kind, 18),
               color=COLOURS[(first + index) % len(COLOURS)])
        for index, kind in enumerate(kinds)
    ]  # fmt: skip


def _draw_uncertainty(axes: Axes, front: pd.DataFrame, metric: Metric) -> None:
    """Draw how far the run to take and the best may be off, where that is known."""
    for _, row in _named(front).iterrows():
        low, high = (row.get(f"{metric.name}_{end}", np.nan) for end in ("low", "high"))
        x, y, off = row["energy_joules"], row[metric.name], row.get(_UNCERTAINTY, 0.0)
        if np.isfinite(low) and np.isfinite(high):
            axes.plot([x, x], [low, high], color=COLOURS[0], lw=1)
        if off > 0:
            axes.plot([max(x - off, 0.1 * x), x + off], [y, y], color=COLOURS[0], lw=1)


def _named(front: pd.DataFrame) -> pd.DataFrame:
    """Return the run to take and the best, which is the last of the front; once if they are one."""
    kept: pd.DataFrame = front[front["is_chosen"] | (np.arange(len(front)) == len(front) - 1)]
    return kept


def _name_the_choice(axes: Axes, front: pd.DataFrame, metric: Metric) -> None:
    """Name the run to take and the best above the axes."""
    rows = _named(front)
    names = [*rows["configuration"]]
    texts = [f"take {names[0]}", f"best: {names[-1]}"] if len(rows) > 1 else [
        f"take {names[0]}, the best"
    ]  # fmt: skip
    columns = (rows[ENERGY], rows[metric.name], texts, rows["is_chosen"])
    _name_above(axes, list(zip(*columns, strict=True)))


def _name_above(axes: Axes, named: Sequence[tuple[float, float, str, bool]]) -> None:
    """Name one or two points above the axes, where no other is, with a line down to each.

    Args:
        named: place, text, and whether it is bold, from the left to the right.
    """
    scaled = axes.transScale + axes.transLimits
    at = scaled.transform([(x, y) for x, y, _, _ in named])[:, 0]
    # The one whose line would cross the other's label stands in the upper row.
    levels = [0] if len(named) == 1 else [0, 1] if at[0] > _RIGHT_OF else [1, 0]
    for place, (x, y, text, is_bold), level in zip(at, named, levels, strict=True):
        side = "right" if place > (0.5 if len(named) == 1 else _RIGHT_OF) else "left"
        above = offset_copy(
            axes.transAxes, axes.get_figure(root=True), y=5 + level * _ROW, units="points"
        )
        axes.annotate(
            short(text, 34), (x, y), xytext=(place, 1.0), textcoords=above, ha=side, va="bottom",
            weight="bold" if is_bold else "normal",
            arrowprops={"arrowstyle": "-", "color": INK, "lw": 0.8, "shrinkA": 0, "shrinkB": 4,
                        "relpos": (1.0 if side == "right" else 0.0, 0.0)},
        )  # fmt: skip


def _count(number: int) -> str:
    return "One run is" if number == 1 else f"{number} runs are"


def _run_tips(rows: pd.DataFrame, metric: Metric, options: Sequence[str]) -> list[str]:
    named = [each for each in ("configuration", "trial", "name", "model") if each in rows][:2]
    further = [name for name in options if name in rows and name not in named][:_MOST_TIP_OPTIONS]
    if len(rows) > _MOST_TOLD:
        further = []
    called = option_names(further)
    return [
        f"{metric.text(row[metric.name])} for {joules(row[ENERGY])}"
        + "".join(f"\n{_named_by(name, row[name])}" for name in named)
        + "".join(f"\n{called[name]} {value_text(row[name])}" for name in further)
        for row in rows[[metric.name, ENERGY, *named, *further]].to_dict("records")
    ]


def _named_by(column: str, value: Any) -> str:
    return f"trial {value_text(value)}" if column == "trial" else str(value)
