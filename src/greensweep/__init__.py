"""Train and sweep models with energy as a metric of equal rank to accuracy.

A training loop of one's own takes from here: `measure`, the energy of a block of code; `run`, which
records one as a run; and `report`, which reports an epoch to the search that runs the program, and
raises `TrialEnded` where that ends the trial.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from greensweep.errors import TrialEnded
    from greensweep.loops.run import run
    from greensweep.record.measuring import measure
    from greensweep.record.reporting import report

__version__ = "0.1.0"
__all__ = ["TrialEnded", "measure", "report", "run"]

_PUBLIC = {
    "measure": "record.measuring",
    "report": "record.reporting",
    "run": "loops.run",
    "TrialEnded": "errors",
}

if not TYPE_CHECKING:  # a type checker would take any name for one of the module's

    def __getattr__(name: str) -> Any:
        # Imported when first asked for: scripts answer --help without a meter's libraries.
        if name in _PUBLIC:
            return getattr(import_module(f"greensweep.{_PUBLIC[name]}"), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__doc__", "__version__"]
