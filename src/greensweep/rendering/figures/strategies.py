"""Figures of search strategies against each other."""

from collections.abc import Sequence
from textwrap import fill
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D

from greensweep.analysis import Result
from greensweep.analysis.units import joules
from greensweep.errors import plural
from greensweep.rendering.figures.drawing import Drawing, joules_along, points, short
from greensweep.rendering.style import COLOURS, DASHES, FONT_SIZE, INK, MARKERS, blank, panel, style

_MOST_PANELS = 6
_TITLE = 19  # letters of a line above a panel, of which two stand side by side


def draw_curves(result: Result) -> Drawing:
    """Draw the best so far against the energy spent, a panel for each setting."""
    metric = result.runs.metric
    curves = result.tables["curves"]
    bands = result.tables.get("bands")
    settings = list(dict.fromkeys(curves["setting"]))[:_MOST_PANELS]
    strategies = _strategies(result)
    columns = min(2, len(settings))
    rows = -(-len(settings) // columns)
    tips: dict[str, list[str]] = {}
    with style():
        figure = blank(0.5 + 2.3 * rows)
        for place, setting in enumerate(settings):
            axes = figure.add_subplot(rows, columns, place + 1)
            axes.set_title(fill(short(setting), _TITLE))
            axes.locator_params(axis="both", nbins=3)
            for index, strategy in enumerate(strategies):
                look = _look(index)
                band = _of(bands, setting, strategy) if bands is not None else None
                if band is not None and len(band):
                    axes.fill_between(
                        band["spent_joules"], band["low"], band["high"],
                        color=look["color"], alpha=0.18, lw=0,
                    )  # fmt: skip
                own = _of(curves, setting, strategy)
                if own.empty:
                    continue
                spent, best = own["spent_joules"], own[f"best_{metric.name}"]
                # One line with a gap between searches: an artist for each takes seconds to draw.
                starts = np.flatnonzero(own["seed"].ne(own["seed"].shift()))[1:]
                axes.step(
                    np.insert(spent.to_numpy(float), starts, np.nan),
                    np.insert(best.to_numpy(float), starts, np.nan),
                    where="post", lw=1.4, **look,
                )  # fmt: skip
                gid = f"curve-{place}-{index}"
                points(axes, spent, best, gid, look["color"], MARKERS[index % len(MARKERS)], 12)
                tips[gid] = [
                    f"{strategy}: {metric.text(reached)} after {joules(energy)}, trial {trial}"
                    for energy, reached, trial in zip(spent, best, own["trial"], strict=True)
                ]
            joules_along(axes)
            axes.locator_params(axis="x", nbins=2)
        figure.supxlabel("energy spent", fontsize=FONT_SIZE)
        figure.supylabel(f"best {metric.label} so far", fontsize=FONT_SIZE)
        handles = _handles(strategies, markers=True)
        figure.legend(handles=handles, loc="outside upper left", ncols=min(3, len(handles)))
    left = curves["setting"].nunique() - len(settings)
    more = f" In tables/curves.csv: {plural(left, 'more setting')}." if left else ""
    return Drawing(
        "energy_curves", figure,
        f"Best {metric.label} so far against the energy of all trials.{_over(bands)}{more}",
        "; ".join(result.answers), tips,
    )  # fmt: skip


def draw_survival(result: Result) -> Drawing:
    """Draw the share of searches that have not reached the target, against energy."""
    table, baseline = result.tables["survival"], result.figures["baseline"]
    strategies = _strategies(result)
    with panel(2.8) as (figure, axes):
        for index, strategy in enumerate(strategies):
            curve = table[table["strategy"] == strategy]
            axes.step(curve["energy_ratio"], curve["not_yet"], where="post", lw=1.4, **_look(index))
        axes.set(
            xlabel=f"energy, multiples of {short(baseline)}'s",
            ylabel="not there yet",
            ylim=(0, 1.03),
        )
        axes.legend(handles=_handles(strategies))
    return Drawing(
        "survival", figure,
        "Share of searches that have not reached the target (Kaplan-Meier).",
        "; ".join(result.answers),
    )  # fmt: skip


def draw_ranks(result: Result) -> Drawing:
    """Draw mean ranks with the critical difference (Demšar 2006, figure 1)."""
    ranks = result.tables["ranks"]
    difference = float(result.figures["critical_difference"])
    count = len(ranks)
    means = dict(zip(ranks["strategy"].tolist(), ranks["mean_rank"].tolist(), strict=True))
    with panel(0.9 + 0.28 * count) as (figure, axes):
        axes.axis("off")
        axes.set(xlim=(0.7, count + 0.3), ylim=(-count - 0.6, 1.6))
        axes.plot([1, count], [0, 0], color=INK, lw=1)
        for tick in range(1, count + 1):
            axes.plot([tick, tick], [0, 0.15], color=INK, lw=1)
            axes.text(tick, 0.3, str(tick), ha="center", va="bottom")
        axes.plot([1, 1 + difference], [1.2, 1.2], color=INK, lw=2.5)
        axes.text(1 + difference / 2, 1.3, f"critical difference {difference:.2f}", ha="center")
        for place, (strategy, rank) in enumerate(means.items()):
            height = -place - 0.8
            axes.plot([rank, rank], [0, height], color=COLOURS[0], lw=1)
            axes.annotate(
                f"{short(strategy)} {rank:.2f}", (rank, height), (3, 0),
                textcoords="offset points", va="center",
            )  # fmt: skip
        for place, (low, high) in enumerate(_cliques(list(means.values()), difference)):
            height = -0.15 - 0.14 * place
            axes.plot([low - 0.04, high + 0.04], [height, height], color=COLOURS[1], lw=3)
    listed = ", ".join(f"{strategy} {rank:.2f}" for strategy, rank in means.items())
    return Drawing(
        "ranks", figure,
        "Mean ranks over the settings, 1 the least energy; what a bar joins does not differ "
        "(Nemenyi).",
        f"Mean ranks: {listed}. The critical difference is {difference:.2f}.",
    )  # fmt: skip


def _strategies(result: Result) -> list[str]:
    """Return all strategies, whose order gives each of them the same look in every figure."""
    return sorted(result.tables["searches"]["strategy"].unique())


def _look(index: int) -> dict[str, Any]:
    # Another dash each time round the colours: more strategies than colours still differ.
    dash = DASHES[(index + index // len(COLOURS)) % len(DASHES)]
    return {"color": COLOURS[index % len(COLOURS)], "ls": dash}


def _handles(strategies: Sequence[str], *, markers: bool = False) -> list[Line2D]:
    """Return what a legend shows, one for each strategy."""
    shapes = MARKERS if markers else ("",)
    return [
        Line2D([], [], marker=shapes[k % len(shapes)], ms=4, label=short(strategy), **_look(k))
        for k, strategy in enumerate(strategies)
    ]


def _of(table: pd.DataFrame, setting: str, strategy: str) -> pd.DataFrame:
    return table[(table["setting"] == setting) & (table["strategy"] == strategy)]


def _over(bands: pd.DataFrame | None) -> str:
    if bands is None:
        return ""
    return f" Bands are over {' or over '.join(sorted(bands['band_over'].unique()))}."


def _cliques(ranks: Sequence[float], difference: float) -> list[tuple[float, float]]:
    """Return the longest stretches of sorted ranks that are within the critical difference."""
    found: list[tuple[float, float]] = []
    for low in ranks:
        high = max(rank for rank in ranks if rank - low <= difference)
        if high > low and not (found and found[-1][1] >= high):
            found.append((low, high))
    return found
