"""Train and sweep models with energy as a metric of equal rank to accuracy.

A training loop of one's own takes two names from here: `measure`, the energy of a block of code,
and `report`, which reports an epoch to the search that runs the program.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "measure": "record.measuring",
    "report": "record.reporting",
    "run": "loops.run",
    "TrialEnded": "errors",
}


def __getattr__(name: str) -> Any:
    # Imported when first asked for: scripts answer --help without a meter's libraries.
    if name in _PUBLIC:
        return getattr(import_module(f"greensweep.{_PUBLIC[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
