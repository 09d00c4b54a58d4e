"""Figures of where the energy went: what layers, phases and components cost."""

import numpy as np
import pandas as pd
from matplotlib.ticker import FuncFormatter

from greensweep.analysis import Result
from greensweep.analysis.units import joules
from greensweep.errors import plural
from greensweep.rendering.figures.drawing import Drawing, bars, joules_along, short
from greensweep.rendering.style import COLOURS, INK, panel


def draw_layers(result: Result) -> Drawing | None:
    """Draw what one more layer of each type costs, with its interval over architectures."""
    table = result.tables.get("joules_per_layer")
    if table is None:
        return None
    with panel(0.8 + 0.35 * len(table)) as (figure, axes):
        middle = table["joules_per_layer"].to_numpy(float)
        ends = np.abs(table[["low", "high"]].to_numpy(float).T - middle)
        axes.errorbar(
            middle, range(len(table)), xerr=ends, fmt="o", color=COLOURS[0], capsize=4, lw=1.6
        )
        axes.axvline(0, color=INK, lw=0.8)
        axes.set_yticks(range(len(table)), [short(name) for name in table["layer"]])
        axes.set_ylim(len(table) - 0.5, -0.5)
        joules_along(axes, "energy of one more layer")
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
    with panel(2.8) as (figure, axes):
        if ends[1] > ends[0]:
            slope = (high - low) / (ends[1] - ends[0])
            axes.axline((ends[0], low), slope=slope, color=INK, lw=0.8)
        # A line of points, not points: no single one of them is of interest.
        axes.plot(normal, residuals, "o", ms=2.5, color=COLOURS[0])
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: joules(value)))
        axes.set(xlabel="quantile of the normal distribution", ylabel="residual energy")
    return Drawing(
        "quantiles", figure,
        "Residuals of the analysis of variance over runs (Q-Q): normal ones lie on the line "
        "through the quartiles.",
        f"{plural(len(table), 'point')} from {joules(residuals[0])} to {joules(residuals[-1])}.",
    )  # fmt: skip


def draw_shares(table: pd.DataFrame, name: str, quality: str) -> Drawing:
    """Draw energy by phase or by component, of all runs together.

    Args:
        quality: of all of it; a column `quality` of the table has that of each part.
    """
    kind = str(table.columns[0])
    names = [str(each).replace("_", " ") for each in table[kind]]
    values = table["joules"].tolist()
    texts = [joules(value) for value in values]
    own = list(table.get("quality", ()))
    if len(set(own)) == 1:
        quality = own[0]
    elif own:
        texts = [f"{each} ({said})" for each, said in zip(texts, own, strict=True)]
    with panel(0.3 + 0.3 * len(table)) as (figure, axes):
        bars(axes, names, values, texts)
    alt = ", ".join(f"{each}: {text}" for each, text in zip(names, texts, strict=True))
    of_all = "" if len(set(own)) > 1 else f" ({quality})"
    return Drawing(name, figure, f"Energy of all runs by {kind.replace('_', ' ')}{of_all}.", alt)
