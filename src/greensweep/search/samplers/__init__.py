"""Strategies of our own, as Optuna's samplers."""

from greensweep.search.samplers.ei_per_joule import ExpectedImprovementPerJouleSampler
from greensweep.search.samplers.multi_fidelity import MultiFidelitySampler
from greensweep.search.samplers.paper_gp import PaperGpSampler
from greensweep.search.samplers.tpe import ScaledTPESampler

__all__ = [
    "ExpectedImprovementPerJouleSampler",
    "MultiFidelitySampler",
    "PaperGpSampler",
    "ScaledTPESampler",
]
