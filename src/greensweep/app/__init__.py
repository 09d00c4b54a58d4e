"""Hydra in, one call, out: what the scripts in src/ hand over to.

Nothing slow is imported here before a run needs it: `--help` answers without PyTorch.
"""

import greensweep.ctrl_c  # noqa: F401 - before all that takes long to import

# isort: split

from functools import partial

import hydra
from omegaconf import DictConfig

from greensweep.app.exit import run
from greensweep.app.kept import evaluate, predict
from greensweep.app.resolvers import register
from greensweep.app.tables import analyse, report
from greensweep.app.training import prepare, train

# What Hydra may call by the paths in its own configuration: callbacks, sweepers, log handlers.
_TRUSTED = ("greensweep.*", "hydra.*", "hydra_plugins.*", "optuna.samplers.*", "logging.*")

# Makes a function the main one of a script beside conf/, which composes the file of this name.
script = partial(hydra.main, "../conf", execution_whitelist=_TRUSTED)

register()

__all__ = [
    "DictConfig",
    "analyse",
    "evaluate",
    "predict",
    "prepare",
    "report",
    "run",
    "script",
    "train",
]
