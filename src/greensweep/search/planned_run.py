"""What a search can know of a run before it runs."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from greensweep.config.schema_tracking import TrackingConfig
from greensweep.record.result import RunResult


class Input(NamedTuple):
    """A file or folder that runs read.

    Attributes:
        option: that names it.
        is_made: a run makes it where it is missing, by a download, say.
    """

    option: str
    path: Path
    is_made: bool = False


class PlannedRun(Protocol):
    """A run that a program will do, as its configuration says."""

    @property
    def size(self) -> str:
        """How much it trains, in words: `3 repeats of 20 epochs`."""

    @property
    def is_metered(self) -> bool:
        """It will have energy figures."""

    @property
    def any_gpus(self) -> int:
        """On how many of the GPUs that it finds it computes; 0 on the CPU, or on a named one."""

    @property
    def inputs(self) -> Sequence[Input]:
        """What it reads."""

    @property
    def tracking(self) -> TrackingConfig:
        """Where it is recorded."""

    def missing(self, figure: str) -> str | None:
        """Say why its result will not have a figure; None where it will, or may."""

    def values(self, result: RunResult) -> Sequence[float]:
        """Return its objectives, by its result alone.

        Raises:
            GreensweepError: it lacks a figure.
        """

    def flops(self) -> float | None:
        """Return how much it will compute; None where only running it shows that."""

    def seconds(self) -> float | None:
        """Return how long it will take on this machine; None where that is no time at all.

        Raises:
            GreensweepError: it cannot be built.
        """
