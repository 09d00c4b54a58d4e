"""Figures of finished analyses. Nothing is computed here but where things stand."""

from greensweep.rendering.figures.bill import draw_shares
from greensweep.rendering.figures.drawing import Drawing
from greensweep.rendering.figures.layers import draw_layers, draw_quantiles
from greensweep.rendering.figures.strategies import draw_curves, draw_ranks, draw_survival
from greensweep.rendering.figures.tradeoff import draw_front, draw_importance

__all__ = [
    "Drawing",
    "draw_curves",
    "draw_front",
    "draw_importance",
    "draw_layers",
    "draw_quantiles",
    "draw_ranks",
    "draw_shares",
    "draw_survival",
]
