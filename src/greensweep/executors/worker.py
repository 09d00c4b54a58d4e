"""What executors need of a sweep's worker, whatever program it searches."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from greensweep.config.schema_energy import EnergyConfig
from greensweep.search.spec import SearchSpec
from greensweep.search.trial_queue import ReservedTrial


class Worker(Protocol):
    """Runs trials of a search; pickled by value, since a program's function may be `__main__`'s.

    Attributes:
        energy: configures the meter of its trials, and of their machines.
        gpus: how many a process of its own takes; None where it may use any.
    """

    spec: SearchSpec
    energy: EnergyConfig
    gpus: int | None

    def __call__(self, seconds: float = math.inf) -> None:
        """Run trials until there are no more, in a process of its own that has so much time.

        Raises:
            GreensweepError: the search cannot go on.
        """

    def run_one(self, trial: ReservedTrial) -> BaseException | None:
        """Run a trial that another process reserved; return what broke it outside of its task."""

    def config_folders(self) -> list[str]:
        """Return the folders of the program's configuration files."""

    def move(self, sweep: Path, here: Callable[[str], str]) -> None:
        """Work on a machine that does not have the sweep's folder, nor the program's."""
