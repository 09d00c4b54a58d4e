"""How figures look: readable in grey, for colour-blind readers, in the dark and in print."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Stand-ins for the page's own colours, which differ between light and dark.
INK, FAINT = "#1a1b1c", "#b9babb"

# Of Okabe and Ito's and Tol's colour-blind-safe sets those with a contrast of 3 to black and white.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#aa4499", "#8c6d1f", "#777777")
MARKERS = ("o", "s", "^", "D", "v", "P")
DASHES: tuple[str | tuple[int, tuple[int, ...]], ...] = (
    "-", "--", ":", "-.", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 2)),
)  # fmt: skip
# 360 points wide with letters of 12.5: on a phone of 390 pixels no text is below 12 of them.
WIDTH, FONT_SIZE = 5.0, 12.5  # inches, points

_NO_TEXT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def as_text(text: str) -> str:
    """Replace what neither XML nor HTML may hold: a name in a table may have a bell in it."""
    return _NO_TEXT.sub("\N{REPLACEMENT CHARACTER}", text)


@contextmanager
def style() -> Iterator[None]:
    """Draw in the report's style; names of the user's are never read as formulas."""
    with rc_context(
        {
            "svg.fonttype": "none",
            "svg.hashsalt": "greensweep",
            "text.parse_math": False,
            "font.size": FONT_SIZE,
            "axes.titlesize": FONT_SIZE,
            "axes.labelsize": FONT_SIZE,
            "xtick.labelsize": FONT_SIZE,
            "ytick.labelsize": FONT_SIZE,
            "legend.fontsize": FONT_SIZE,
            "path.simplify": False,
            "axes.facecolor": "none",
            "axes.edgecolor": INK,
            "axes.labelcolor": INK,
            "text.color": INK,
            "xtick.color": INK,
            "ytick.color": INK,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "axes.axisbelow": True,
            "grid.color": FAINT,
            "grid.linewidth": 0.4,
            "legend.frameon": False,
        }
    ):
        yield


def blank(height: float) -> Figure:
    """Return an empty figure of so many inches."""
    return Figure(figsize=(WIDTH, height), layout="constrained", facecolor="none")


@contextmanager
def panel(height: float) -> Iterator[tuple[Figure, Axes]]:
    """Draw in the report's style into a figure of so many inches that has one pair of axes."""
    with style():
        figure = blank(height)
        yield figure, figure.add_subplot()
