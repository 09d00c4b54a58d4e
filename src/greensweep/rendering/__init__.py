"""Figures, tables and one page from finished analyses. Draws; computes nothing."""

from greensweep.rendering.build import build_page, report_tables, tradeoff_title
from greensweep.rendering.figures import (
    Drawing,
    draw_curves,
    draw_front,
    draw_importance,
    draw_layers,
    draw_quantiles,
    draw_ranks,
    draw_shares,
    draw_survival,
)
from greensweep.rendering.write import write_report

__all__ = [
    "Drawing",
    "build_page",
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
