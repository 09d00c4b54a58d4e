"""Figures, tables, texts and one page from finished analyses. Draws; computes nothing."""

from importlib import import_module
from typing import Any

_PUBLIC = {
    "Drawing": "figures.drawing",
    "build_page": "build",
    "colophon": "method",
    "draw_curves": "figures.strategies",
    "draw_front": "figures.tradeoff",
    "draw_importance": "figures.tradeoff",
    "draw_layers": "figures.parts",
    "draw_quantiles": "figures.parts",
    "draw_ranks": "figures.strategies",
    "draw_shares": "figures.parts",
    "draw_survival": "figures.strategies",
    "report_tables": "build",
    "tradeoff_title": "build",
    "write_report": "write",
}
__all__ = list(_PUBLIC)


def __getattr__(name: str) -> Any:
    # Imported when first asked for: a statement is text, and needs no library that draws.
    if name in _PUBLIC:
        return getattr(import_module(f"greensweep.rendering.{_PUBLIC[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
