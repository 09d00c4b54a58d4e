"""Fidelities: cheaper runs, in which a search may try points before it pays for whole ones."""

from collections.abc import Iterable

import optuna
from optuna.trial import FrozenTrial

from greensweep.search.optuna_internals import set_system_attribute

# System attribute of a trial: which of the search's fidelities it runs in, from 1.
_FIDELITY = "greensweep:fidelity"

# Constraint that a cheaper run breaks, so that it is never taken for the best of a search.
WHOLE_RUN = "whole_run"


def set_fidelity(study: optuna.Study, trial: FrozenTrial, fidelity: int) -> None:
    """Let a trial that is being drawn run in a fidelity, counted from 1."""
    set_system_attribute(study, trial, _FIDELITY, fidelity)


def fidelity_of(trial: FrozenTrial) -> int:
    """Return the fidelity of a trial, counted from 1; 0 is the whole run."""
    return int(trial.system_attrs.get(_FIDELITY, 0))


def in_fidelity(trials: Iterable[FrozenTrial], fidelity: int) -> list[FrozenTrial]:
    """Return the trials of one fidelity."""
    return [trial for trial in trials if fidelity_of(trial) == fidelity]
