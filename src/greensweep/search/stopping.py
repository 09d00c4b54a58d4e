"""End a search when what it can still gain is not worth its energy."""

from collections.abc import Sequence

import optuna
from optuna.trial import FrozenTrial

from greensweep.search.spec import SearchSpec


def not_worth_it(
    spec: SearchSpec, study: optuna.Study, trials: Sequence[FrozenTrial]
) -> str | None:
    """Say why further trials are not worth their energy, or None."""
    return None
