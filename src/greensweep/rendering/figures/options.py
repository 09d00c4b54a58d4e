"""Figures of searched options: parallel coordinates, and a slice along each option.

They show what `optuna.visualization.matplotlib` does under these names. That draws one objective of
a study, into pyplot's figures and in a style of its own; here are metric and energy, in the page's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator
from numpy.typing import NDArray

from greensweep.analysis import Result, RunTable
from greensweep.analysis.units import joules
from greensweep.decision.sentences import option_names, value_text
from greensweep.rendering.figures.drawing import Drawing, short
from greensweep.rendering.style import COLOURS, FAINT, INK, blank, panel, style
from greensweep.sources.table import ENERGY, joined

_MOST_OPTIONS = 6
_MOST_SLICES = 4
_MOST_RUNS = 200  # drawn beside the front
_LOG_FROM = 20  # times that numbers span, for a scale of logarithms
_MOST_KINDS = 4  # values of a choice that are named along an axis
_WIDEST = 14  # letters of all labels along an axis that stand side by side
_OTHERS, _FRONT, _TAKE = {"color": INK}, {"color": COLOURS[0]}, {"color": COLOURS[1]}


@dataclass(frozen=True)
class Searched:
    """Runs of one group with the options that tell them apart.

    Attributes:
        others: some of the runs that are not on the front.
        front: the runs on it, cheapest first.
        options: their columns, those that matter most first.
        group: its name; empty where it is the only one.
    """

    others: pd.DataFrame
    front: pd.DataFrame
    options: Sequence[str]
    group: str


def searched_of(
    result: Result, runs: RunTable, within: Sequence[str], group: str
) -> Searched | None:
    """Return the runs of a group; None where no option tells them apart."""
    fronts, finished = result.tables["front"], runs.finished
    front = fronts[fronts["group"] == group]
    rows = finished[joined(finished, [name for name in within if name in finished]) == group]
    options = [
        name
        for name in runs.configuration
        if name in front and rows[name].notna().all() and rows[name].astype(str).nunique() > 1
    ]
    if not options or len(rows) < 3:
        return None
    if (table := result.tables.get("importance")) is not None:
        own = table[table["group"] == group]
        most = own.groupby("hyperparameter")["importance"].max()
        options.sort(key=lambda name: -float(most.get(name, 0.0)))
    others = rows if len(rows) <= _MOST_RUNS else rows.sample(_MOST_RUNS, random_state=0)
    is_only = fronts["group"].nunique() == 1
    return Searched(others, front, options[:_MOST_OPTIONS], "" if is_only else f"{group}: ")


def draw_parallel(searched: Searched, result: Result) -> Drawing:
    """Draw a line for each run through its options, its energy and its metric, one below another.

    The axes lie, so that their names have room on a narrow page.
    """
    metric = result.runs.metric
    names = [*searched.options, ENERGY, metric.name]
    called = option_names(searched.options) | {ENERGY: "training energy", metric.name: metric.label}
    axes_of = {name: _Scale.of(searched, name) for name in names}
    ends = {ENERGY: joules, metric.name: metric.text}
    with panel(0.8 + 0.62 * len(names)) as (figure, axes):
        rows = np.arange(len(names))
        looks: Sequence[tuple[pd.DataFrame, dict[str, Any]]] = (
            (searched.others, {**_OTHERS, "lw": 0.5, "alpha": 0.2}),
            (searched.front, {**_FRONT, "lw": 1.4}),
            (searched.front[searched.front["is_chosen"]], {**_TAKE, "lw": 2.6}),
        )
        for frame, look in looks:
            places = np.stack([axes_of[name].places(frame[name]) for name in names], axis=1)
            lines = [np.column_stack([each, rows]) for each in places]
            axes.add_collection(LineCollection(lines, **look))
        axes.hlines(rows, 0, 1, color=INK, lw=0.8)
        axes.set_yticks(rows, [f"{short(called[name], 18)}\n"
                               f"{axes_of[name].range_text(ends.get(name, value_text))}"
                               for name in names])  # fmt: skip
        axes.set(xlim=(-0.03, 1.03), ylim=(len(names) - 0.7, -0.3))
        axes.set_xticks([])
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        axes.grid(visible=False)
        figure.legend(handles=_legend(Line2D), loc="outside upper right", ncols=3,
                      handlelength=1.2, columnspacing=1.2)  # fmt: skip
    chosen = searched.front[searched.front["is_chosen"]]
    said = [
        f"{called[name]} {value_text(value)}"
        for name in searched.options
        for value in chosen[name][:1]
    ]
    return Drawing(
        "parallel_coordinates", figure,
        f"{searched.group}Parallel coordinates: a line for each run, from the least of each option "
        "at the left to the most at the right.",
        f"The run to take has {', '.join(said)}.",
    )  # fmt: skip


def draw_slices(searched: Searched, result: Result) -> Drawing:
    """Draw the metric and the energy of runs along each option."""
    metric = result.runs.metric
    options = searched.options[:_MOST_SLICES]
    called = option_names(searched.options)
    with style():
        figure = blank(0.5 + 1.75 * len(options))
        grid: Any = figure.subplots(len(options), 2, squeeze=False, sharey="col")
        for name, pair in zip(options, grid, strict=True):
            scale = _Scale.of(searched, name)
            for axes, value in zip(pair, (metric.name, ENERGY), strict=True):
                for frame, look in (
                    (searched.others, {**_OTHERS, "lw": 3.0, "alpha": 0.45}),
                    (searched.front, {**_FRONT, "lw": 5.0}),
                    (searched.front[searched.front["is_chosen"]], {**_TAKE, "lw": 7.0}),
                ):
                    _dots(axes, scale.places(frame[name]), frame[value].to_numpy(float), look)
                scale.label(axes)
            pair[0].set_xlabel(short(called[name], 18))
            pair[1].set_xlabel(short(called[name], 18))
        for axes in grid[:, 1]:
            _joules_up(axes, searched.others[ENERGY])
        grid[0, 0].set_title(metric.label)
        grid[0, 1].set_title("training energy")
        figure.legend(handles=_legend(Line2D, marker="o", ls=""), ncols=3,
                      loc="outside upper right", handletextpad=0.2, columnspacing=1.2)  # fmt: skip
    return Drawing(
        "slices", figure,
        f"{searched.group}Slices: each run's {metric.label} and energy along each option.",
        f"{metric.label} and energy along {', '.join(called[name] for name in options)}.",
    )  # fmt: skip


@dataclass(frozen=True)
class _Scale:
    """Where values of a column stand between 0 and 1."""

    kinds: Sequence[str]  # of a choice; empty of numbers
    low: float
    high: float
    is_log: bool

    @classmethod
    def of(cls, searched: Searched, name: str) -> "_Scale":
        values = pd.concat([searched.others[name], searched.front[name]])
        numbers = pd.to_numeric(values, errors="coerce")
        if numbers.isna().any() or values.map(type).eq(bool).any():
            return cls(sorted({value_text(each) for each in values}), 0.0, 1.0, is_log=False)
        low, high = float(numbers.min()), float(numbers.max())
        return cls((), low, high, is_log=low > 0 and high / low > _LOG_FROM)

    def places(self, values: "pd.Series[Any]") -> NDArray[np.float64]:
        if self.kinds:
            found = [self.kinds.index(value_text(each)) for each in values]
            return np.array(found, dtype=float) / max(len(self.kinds) - 1, 1)
        numbers = pd.to_numeric(values).to_numpy(float)
        low, high = self.low, self.high
        if self.is_log:
            numbers, low, high = np.log(numbers), np.log(low), np.log(high)
        places: NDArray[np.float64] = (numbers - low) / ((high - low) or 1.0)
        return places

    def range_text(self, text: Any) -> str:
        if not self.kinds:
            return f"{text(self.low)} – {text(self.high)}"
        first, *_, last = [*self.kinds, self.kinds[-1]]
        return f"{short(first, 9)} – {short(last, 9)}"

    def label(self, axes: Axes) -> None:
        """Put round numbers, or the choices, along the axis."""
        if self.kinds:
            shown = (
                self.kinds if len(self.kinds) <= _MOST_KINDS else [self.kinds[0], self.kinds[-1]]
            )
            ticks = [self.kinds.index(each) / max(len(self.kinds) - 1, 1) for each in shown]
            texts = [short(each, 9) for each in shown]
        else:
            found = pd.Series(self._round_numbers())
            ticks, texts = [*self.places(found)], [value_text(each) for each in found]
        is_wide = sum(map(len, texts)) > _WIDEST
        axes.set_xticks(ticks, texts, rotation=25 * is_wide, ha="right" if is_wide else "center")
        axes.set_xlim(-0.06, 1.06)

    def _round_numbers(self) -> Sequence[float]:
        """Return some round numbers of the range, of a wide one two powers of ten."""
        if not self.is_log:
            found = MaxNLocator(3).tick_values(self.low, self.high)
            return [float(each) for each in found if self.low <= each <= self.high]
        powers = np.arange(np.ceil(np.log10(self.low)), np.floor(np.log10(self.high)) + 1)
        return [float(each) for each in 10.0 ** powers[:: max(len(powers) - 1, 1)]]


def _dots(axes: Axes, x: Any, y: Any, look: dict[str, Any]) -> None:
    """Draw dots as one line of stretches without a length: a tenth of the letters of a marker each.

    Agg draws none of no length at all.
    """
    gap = np.full(len(x), np.nan)
    along = np.stack([x, np.asarray(x) + 1e-4, gap], axis=1).ravel()
    up = np.stack([y, y, gap], axis=1).ravel()
    axes.plot(along, up, solid_capstyle="round", **look)


def _joules_up(axes: Axes, values: "pd.Series[Any]") -> None:
    low, high = float(values.min()), float(values.max())
    if low > 0 and high / low > _LOG_FROM:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(numticks=4))
        axes.yaxis.set_minor_locator(NullLocator())
    else:
        axes.yaxis.set_major_locator(MaxNLocator(3))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: joules(value)))


def _legend(handle: Any, **look: Any) -> list[Any]:
    kinds = [("to take", _TAKE), ("the front", _FRONT), ("others", {"color": FAINT})]
    return [handle([], [], label=label, lw=2, **colour, **look) for label, colour in kinds]
