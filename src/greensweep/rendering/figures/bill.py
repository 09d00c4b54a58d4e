"""Figures of where the energy went."""

import pandas as pd

from greensweep.analysis.units import joules
from greensweep.rendering.figures.drawing import Drawing, joules_along, short
from greensweep.rendering.style import COLOURS, panel


def draw_shares(table: pd.DataFrame, name: str, quality: str) -> Drawing:
    """Draw energy by phase or by component, of all runs together.

    Args:
        quality: of all of it; a column `quality` of the table has that of each part.
    """
    kind = str(table.columns[0])
    names, values = [str(each) for each in table[kind]], table["joules"].tolist()
    texts = [joules(value) for value in values]
    if "quality" in table:
        texts = [f"{each} ({own})" for each, own in zip(texts, table["quality"], strict=True)]
    with panel(0.7 + 0.3 * len(table)) as (figure, axes):
        axes.barh(range(len(table)), values, 0.7, color=COLOURS[0])
        for place, (value, text) in enumerate(zip(values, texts, strict=True)):
            axes.annotate(
                short(text), (value, place), (3, 0), textcoords="offset points", va="center"
            )
        axes.set_yticks(range(len(table)), [short(name) for name in names])
        axes.invert_yaxis()
        axes.margins(x=0.45 if "quality" in table else 0.18)
        joules_along(axes)
    alt = ", ".join(f"{each}: {text}" for each, text in zip(names, texts, strict=True))
    of_all = "" if "quality" in table else f" ({quality})"
    return Drawing(name, figure, f"Energy of all runs by {kind}{of_all}.", alt)
