"""One figure of the report, and what figures share."""

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from itertools import takewhile
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from greensweep.analysis.units import joules
from greensweep.rendering.style import COLOURS, as_text, style


@dataclass(frozen=True)
class Drawing:
    """A figure of the report.

    Attributes:
        name: of its files.
        caption: what is seen.
        alt: what it says, for those who do not see it.
        tips: by the id of a group of points, what hovering over each of them shows.
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


def points(
    axes: Axes, x: Any, y: Any, gid: str, colour: str, marker: str, size: float, alpha: float = 1.0
) -> None:
    """Draw points as the group `gid`, by which `Drawing.tips` names each of them."""
    axes.scatter(x, y, s=size, color=colour, marker=marker, alpha=alpha, lw=0, gid=gid, zorder=3)


def joules_along(axes: Axes, label: str = "") -> None:
    """Label the axis of energies, in units that scale, with as many ticks as have room."""
    if axes.get_xscale() == "log":
        low, high = axes.get_xlim()
        decades = np.log10(high / low)
        steps = (1.0, 2.0, 5.0) if decades < 1.3 else (1.0, 3.0) if decades < 2.5 else (1.0,)
        axes.xaxis.set_major_locator(LogLocator(subs=steps, numticks=6))
        axes.xaxis.set_minor_locator(NullLocator())
    else:
        axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: joules(value)))
    axes.set_xlabel(label)


def bars(axes: Axes, names: Sequence[str], values: Sequence[float], texts: Sequence[str]) -> None:
    """Draw a bar for each name, from the top down, with its text in a column of its own."""
    places = range(len(names))
    axes.barh(places, values, 0.7, color=COLOURS[0])
    axes.set_yticks(places, [short(name, 24) for name in names])
    axes.set_ylim(len(names) - 0.5, -0.5)
    beside = axes.secondary_yaxis("right")
    beside.set_yticks(places, [short(text) for text in texts])
    for each in (axes, beside):
        each.tick_params(axis="y", length=0)
        each.spines[:].set_visible(False)
    axes.grid(visible=False)
    axes.set_xticks([])


def short(text: Any, most: int = 40) -> str:
    """Return a text of the user's as a figure may hold it."""
    shown = as_text(str(text))
    return shown if len(shown) <= most else f"{shown[: most - 1]}…"


def told_apart(names: Sequence[str], most: int = 14) -> list[str]:
    """Return names so that what is cut off their ends leaves them different, where it can.

    >>> told_apart(["digits-simple_cnn-pareto", "digits-simple_cnn-priced"])
    ['…pareto', '…priced']
    """
    if len({short(name, most) for name in names}) == len(names):
        return [*names]
    parted = [re.split(r"(?<=[-_/. ])", name) for name in names]
    same = sum(1 for _ in takewhile(lambda each: len({*each}) == 1, zip(*parted, strict=False)))
    return [f"…{''.join(parts[same:])}" if same else "".join(parts) for parts in parted]
