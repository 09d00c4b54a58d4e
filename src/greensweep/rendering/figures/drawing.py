"""One figure of the report, and what figures share."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from greensweep.analysis.units import joules
from greensweep.rendering.style import as_text, style


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
    """Label the axis of energies, in units that scale."""
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: joules(value)))
    axes.xaxis.set_minor_formatter(FuncFormatter(lambda *_: ""))
    axes.set_xlabel(label)


def short(text: Any) -> str:
    """Return a text of the user's as a figure may hold it."""
    shown = as_text(str(text))
    return shown if len(shown) <= 40 else shown[:39] + "…"
