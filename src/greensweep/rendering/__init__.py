"""Figures, tables and one page from finished analyses. Draws; computes nothing."""

from greensweep.rendering.build import build_page, colophon, report_tables, tradeoff_title
from greensweep.rendering.figures.drawing import Drawing
from greensweep.rendering.figures.parts import draw_layers, draw_quantiles, draw_shares
from greensweep.rendering.figures.strategies import draw_curves, draw_ranks, draw_survival
from greensweep.rendering.figures.tradeoff import draw_front, draw_importance
from greensweep.rendering.write import write_report

__all__ = [
    "Drawing",
    "build_page",
    "colophon",
    "draw_curves",
    "draw_front",
    "draw_importance",
    "draw_layers",
    "draw_quantiles",
    "draw_ranks",
    "draw_shares",
    "draw_survival",
    "report_tables",
    "tradeoff_title",
    "write_report",
]
