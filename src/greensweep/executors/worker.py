"""What executors need of a sweep's worker, whatever program it searches."""

import math
from typing import Protocol

from greensweep.search.trial_queue import ReservedTrial


class Worker(Protocol):
    """Runs trials of a search; pickled by value, since a program's function may be `__main__`'s."""

    def __call__(self, seconds: float = math.inf) -> None:
        """Run trials until there are no more, in a process of its own that has so much time."""

    def run_one(self, trial: ReservedTrial) -> BaseException | None:
        """Run a trial that another process reserved; return what broke it outside of its task."""
