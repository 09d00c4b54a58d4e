"""What Hydra says of the jobs of a sweep, where each trial has a line of ours."""

import logging
from typing import Any

# Launchers, and the stock sweeper, which tells of failed jobs without their numbers.
_QUIET = {
    "hydra": logging.WARNING,
    "hydra_plugins": logging.WARNING,
    "hydra_plugins.hydra_optuna_sweeper": logging.ERROR,
}


def quiet_hydra(verbose: Any) -> None:
    """Leave out what Hydra and its plugins say of each job, unless `hydra.verbose` asks for it."""
    for name, level in _QUIET.items():
        logging.getLogger(name).setLevel(logging.NOTSET if verbose else level)
