"""Figures of finished analyses. Nothing is computed here but where things stand."""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from greensweep.analysis import Result, RunTable
from greensweep.analysis.table import ACCURACY, ENERGY, joined
from greensweep.analysis.units import joules, number
from greensweep.rendering.style import COLOURS, DASHES, FAINT, INK, MARKERS, as_text, blank, style

_MOST_POINTS = 2000  # drawn in one figure, those of the front always
_MOST_PANELS = 6
_MOST_BARS = 12
_LOG_FROM = 20  # times that energies span, for a scale of logarithms


@dataclass(frozen=True)
class Drawing:
    """A figure of the report.

    Attributes:
        name: of its files.
        caption: what is seen.
        alt: what it says, for those who do not see it.
        tips: by the id of a group of points, what hovering over each of them tells.
    """

    name: str
    figure: Figure
    caption: str
    alt: str
    tips: dict[str, list[str]] = field(default_factory=dict)

    @cached_property
    def svg(self) -> str:
        """The figure as SVG, drawn once for the page and the file."""
        file = io.StringIO()
        with self._settled():
            FigureCanvasSVG(self.figure).print_svg(file, metadata={"Date": None})
        return file.getvalue()

    def png(self, dpi: int) -> bytes:
        """Return the figure as PNG on white."""
        file = io.BytesIO()
        ground = self.figure.get_facecolor()
        with self._settled():
            self.figure.set(dpi=dpi, facecolor="white")
            FigureCanvasAgg(self.figure).print_png(file)
        self.figure.set_facecolor(ground)
        return file.getvalue()

    @contextmanager
    def _settled(self) -> Iterator[None]:
        """Draw in the report's style, and keep what stands where for the next time.

        `savefig` would draw everything twice, first only to see where it comes to stand.
        """
        with style():
            yield
        self.figure.set_layout_engine("none")

    def _repr_png_(self) -> bytes:
        """Show the figure in a notebook."""
        return self.png(dpi=100)


def draw_front(
    result: Result, runs: RunTable, within: Sequence[str], accuracy: str = "accuracy"
) -> list[Drawing]:
    """Draw accuracy against training energy, with the front, one figure for each group.

    Args:
        accuracy: what the axis calls it.
    """
    finished = runs.finished
    names = joined(finished, [name for name in within if name in finished])
    drawings = []
    fronts = result.tables["front"]
    for place, (name, front) in enumerate(list(fronts.groupby("group", sort=False))[:_MOST_PANELS]):
        rows = finished[names == name]
        if len(rows) > _MOST_POINTS:
            rows = rows.sample(_MOST_POINTS, random_state=0)
        with style():
            figure = blank(3.4)
            axes = figure.add_subplot()
            _points(axes, rows[ENERGY], rows[ACCURACY], f"runs-{place}", INK, "o", 14, alpha=0.35)
            spent, reached = front["energy_joules"], front["accuracy"]
            axes.step(spent, reached, where="post", color=COLOURS[0], lw=1.6)
            _points(axes, spent, reached, f"front-{place}", COLOURS[0], "D", 30)
            knee = front[front["is_knee"]]
            for _, point in knee.iterrows():
                axes.annotate(
                    "knee", (point["energy_joules"], point["accuracy"]), (6, -12),
                    textcoords="offset points",
                )  # fmt: skip
            low, high = rows[ENERGY].min(), rows[ENERGY].max()
            if low > 0 and high / low > _LOG_FROM:
                axes.set_xscale("log")
            _joules_along(axes, "training energy")
            axes.set_ylabel(accuracy)
        best, cheapest = front.iloc[-1], front.iloc[0]
        drawings.append(
            Drawing(
                name=f"front_{place}" if place else "front",
                figure=figure,
                caption=f"{name}: accuracy against training energy; diamonds are the Pareto front.",
                alt=f"{len(front)} runs are on the front, from {cheapest['accuracy']:.4f} for "
                f"{joules(cheapest['energy_joules'])} to {best['accuracy']:.4f} for "
                f"{joules(best['energy_joules'])}.",
                tips={
                    f"runs-{place}": _run_tips(rows, ENERGY, ACCURACY),
                    f"front-{place}": _run_tips(front, "energy_joules", "accuracy"),
                },
            )
        )
    return drawings


def draw_curves(result: Result) -> Drawing:
    """Draw the best accuracy so far against the energy spent, a panel for each setting."""
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
            axes.set_title(_short(setting), fontsize=9)
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
                spent, best = own["spent_joules"], own["best_accuracy"]
                # One line with a gap between searches: an artist for each takes seconds to draw.
                starts = np.flatnonzero(own["seed"].ne(own["seed"].shift()))[1:]
                axes.step(
                    np.insert(spent.to_numpy(float), starts, np.nan),
                    np.insert(best.to_numpy(float), starts, np.nan),
                    where="post", lw=1.4, **look,
                )  # fmt: skip
                gid = f"curve-{place}-{index}"
                _points(axes, spent, best, gid, look["color"], MARKERS[index % len(MARKERS)], 12)
                tips[gid] = [
                    f"{strategy}: {reached:.4f} after {joules(energy)}, trial {trial}"
                    for energy, reached, trial in zip(spent, best, own["trial"], strict=True)
                ]
            _joules_along(axes, "energy spent")
            axes.set_ylabel("best accuracy so far")
        handles = _handles(strategies, markers=True)
        figure.legend(handles=handles, loc="outside upper left", ncols=min(4, len(handles)))
    left = curves["setting"].nunique() - len(settings)
    more = f" {left} more settings are in tables/curves.csv." if left else ""
    return Drawing(
        "energy_curves", figure,
        f"Best accuracy so far against the energy of all trials.{_over(bands)}{more}",
        "; ".join(result.answers), tips,
    )  # fmt: skip


def draw_survival(result: Result) -> Drawing:
    """Draw the share of searches that have not reached the target, against energy."""
    table, baseline = result.tables["survival"], result.figures["baseline"]
    strategies = _strategies(result)
    with style():
        figure = blank(2.8)
        axes = figure.add_subplot()
        for index, strategy in enumerate(strategies):
            curve = table[table["strategy"] == strategy]
            axes.step(curve["energy_ratio"], curve["not_yet"], where="post", lw=1.4, **_look(index))
        axes.set(
            xlabel=f"energy, multiples of {_short(baseline)}'s",
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
    with style():
        figure = blank(0.9 + 0.28 * count)
        axes = figure.add_subplot()
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
                f"{_short(strategy)} {rank:.2f}", (rank, height), (3, 0),
                textcoords="offset points", va="center",
            )  # fmt: skip
        for place, (low, high) in enumerate(_cliques(list(means.values()), difference)):
            height = -0.15 - 0.14 * place
            axes.plot([low - 0.04, high + 0.04], [height, height], color=COLOURS[1], lw=3)
    told = ", ".join(f"{strategy} {rank:.2f}" for strategy, rank in means.items())
    return Drawing(
        "ranks", figure,
        "Mean ranks over the settings, 1 the least energy; what a bar joins does not differ "
        "(Nemenyi).",
        f"Mean ranks: {told}. The critical difference is {difference:.2f}.",
    )  # fmt: skip


def draw_layers(result: Result) -> Drawing | None:
    """Draw what one more layer of each type costs, with its interval over architectures."""
    table = result.tables.get("joules_per_layer")
    if table is None:
        return None
    with style():
        figure = blank(0.8 + 0.35 * len(table))
        axes = figure.add_subplot()
        middle = table["joules_per_layer"].to_numpy(float)
        ends = np.abs(table[["low", "high"]].to_numpy(float).T - middle)
        axes.errorbar(
            middle, range(len(table)), xerr=ends, fmt="o", color=COLOURS[0], capsize=4, lw=1.6
        )
        axes.axvline(0, color=INK, lw=0.8)
        axes.set_yticks(range(len(table)), [_short(name) for name in table["layer"]])
        axes.set_ylim(len(table) - 0.5, -0.5)
        _joules_along(axes, "energy of one more layer")
    return Drawing(
        "joules_per_layer", figure,
        "Energy of one more layer of each type, over architectures, with its interval.",
        "; ".join(result.answers),
    )  # fmt: skip


def draw_quantiles(result: Result) -> Drawing:
    """Draw the residuals of the analysis of variance against those of a normal distribution."""
    table = result.tables["quantiles"]
    normal = table["normal_quantile"].to_numpy(float)
    residuals = table["residual"].to_numpy(float)
    low, high = np.quantile(residuals, [0.25, 0.75])
    ends = np.quantile(normal, [0.25, 0.75])
    with style():
        figure = blank(2.8)
        axes = figure.add_subplot()
        if ends[1] > ends[0]:
            slope = (high - low) / (ends[1] - ends[0])
            axes.axline((ends[0], low), slope=slope, color=INK, lw=0.8)
        # A line of points, not points: there is nothing to tell of any one of them.
        axes.plot(normal, residuals, "o", ms=2.5, color=COLOURS[0])
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: joules(value)))
        axes.set(xlabel="quantile of the normal distribution", ylabel="residual energy")
    return Drawing(
        "quantiles", figure,
        "Residuals of the analysis of variance over runs (Q-Q): normal ones lie on the line "
        "through the quartiles.",
        f"{len(table)} points from {joules(residuals[0])} to {joules(residuals[-1])}.",
    )  # fmt: skip


def draw_importance(table: pd.DataFrame) -> Drawing:
    """Draw the importance of hyperparameters for energy and for accuracy, in the first group."""
    own = table[table["group"] == table["group"].iloc[0]]
    wide = own.pivot(index="hyperparameter", columns="target", values="importance").fillna(0.0)
    wide = wide.loc[wide.max(axis=1).sort_values(ascending=False).index][:_MOST_BARS]
    with style():
        figure = blank(0.9 + 0.42 * len(wide))
        axes = figure.add_subplot()
        height = 0.8 / len(wide.columns)
        for index, target in enumerate(wide.columns):
            axes.barh(
                np.arange(len(wide)) + (index - (len(wide.columns) - 1) / 2) * height,
                wide[target], height * 0.9, label=target.removesuffix("_joules"),
                color=COLOURS[index], hatch=("", "///")[index % 2], edgecolor=FAINT,
            )  # fmt: skip
        axes.set_yticks(range(len(wide)), [_short(str(name)) for name in wide.index])
        axes.invert_yaxis()
        axes.set_xlabel("share of the variance that shuffling the option costs")
        axes.legend()
    first = wide.idxmax()
    return Drawing(
        "importance", figure,
        f"{own['group'].iloc[0]}: importance of each option under a random forest.",
        "; ".join(f"{first[target]} matters most for {target}" for target in wide.columns) + ".",
    )  # fmt: skip


def draw_shares(table: pd.DataFrame, name: str, quality: str) -> Drawing:
    """Draw energy by phase or by component, of all runs together.

    Args:
        quality: of all of it; a column `quality` of the table tells it of each part.
    """
    kind = str(table.columns[0])
    names, values = [str(each) for each in table[kind]], table["joules"].tolist()
    told = [joules(value) for value in values]
    if "quality" in table:
        told = [f"{each} ({own})" for each, own in zip(told, table["quality"], strict=True)]
    with style():
        figure = blank(0.7 + 0.3 * len(table))
        axes = figure.add_subplot()
        axes.barh(range(len(table)), values, 0.7, color=COLOURS[0])
        for place, (value, text) in enumerate(zip(values, told, strict=True)):
            axes.annotate(
                _short(text), (value, place), (3, 0), textcoords="offset points", va="center"
            )
        axes.set_yticks(range(len(table)), [_short(name) for name in names])
        axes.invert_yaxis()
        axes.margins(x=0.45 if "quality" in table else 0.18)
        _joules_along(axes)
    alt = ", ".join(f"{each}: {text}" for each, text in zip(names, told, strict=True))
    of_all = "" if "quality" in table else f" ({quality})"
    return Drawing(name, figure, f"Energy of all runs by {kind}{of_all}.", alt)


def _strategies(result: Result) -> list[str]:
    """Return all strategies, whose order gives each of them the same look in every figure."""
    return sorted(result.tables["searches"]["strategy"].unique())


def _look(index: int) -> dict[str, Any]:
    # Another dash each time round the colours: more strategies than colours still differ.
    dash = DASHES[(index + index // len(COLOURS)) % len(DASHES)]
    return {"color": COLOURS[index % len(COLOURS)], "ls": dash}


def _handles(strategies: Sequence[str], *, markers: bool = False) -> list[Line2D]:
    """Return what a legend shows, one for each strategy."""
    handles = []
    for index, strategy in enumerate(strategies):
        marker = MARKERS[index % len(MARKERS)] if markers else ""
        handles.append(Line2D([], [], marker=marker, ms=4, label=_short(strategy), **_look(index)))
    return handles


def _of(table: pd.DataFrame, setting: str, strategy: str) -> pd.DataFrame:
    return table[(table["setting"] == setting) & (table["strategy"] == strategy)]


def _over(bands: pd.DataFrame | None) -> str:
    if bands is None:
        return ""
    return f" Bands are over {' or over '.join(sorted(bands['band_over'].unique()))}."


def _points(
    axes: Axes, x: Any, y: Any, gid: str, colour: str, marker: str, size: float, alpha: float = 1.0
) -> None:
    axes.scatter(x, y, s=size, color=colour, marker=marker, alpha=alpha, lw=0, gid=gid, zorder=3)


def _joules_along(axes: Axes, label: str = "") -> None:
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: joules(value)))
    axes.xaxis.set_minor_formatter(FuncFormatter(lambda *_: ""))
    axes.set_xlabel(label)


def _run_tips(rows: pd.DataFrame, energy: str, accuracy: str) -> list[str]:
    named = [name for name in ("run_id", "model") if name in rows]
    further = [name for name in map(str, rows.columns) if name.startswith("optimizer.")][:6]
    return [
        f"{row[accuracy]:.4f} for {joules(row[energy])}"
        + "".join(f"\n{name}: {_tip(row[name])}" for name in (*named, *further))
        for row in rows[[accuracy, energy, *named, *further]].to_dict("records")
    ]


def _tip(value: Any) -> str:
    return number(value) if isinstance(value, float) else str(value)


def _short(text: Any) -> str:
    """Return a text of the user's as a figure may hold it."""
    shown = as_text(str(text))
    return shown if len(shown) <= 40 else shown[:39] + "…"


def _cliques(ranks: Sequence[float], difference: float) -> list[tuple[float, float]]:
    """Return the longest stretches of sorted ranks that are within the critical difference."""
    found: list[tuple[float, float]] = []
    for low in ranks:
        high = max(rank for rank in ranks if rank - low <= difference)
        if high > low and not (found and found[-1][1] >= high):
            found.append((low, high))
    return found
