"""What a tracker is: where a run's parameters, history and results go."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from pkgutil import resolve_name
from typing import Literal, NamedTuple, Protocol

from greensweep.config.schema_tracking import TrackingConfig

RunStatus = Literal["FINISHED", "FAILED", "KILLED"]
Metrics = Mapping[str, float]


class SweepRun(NamedTuple):
    """The sweep that a run belongs to.

    Attributes:
        directory: absolute.
        name: under which the tracker shows it.
        strategy: that draws its trials, in lower case.
    """

    directory: Path
    name: str
    strategy: str


class Tracker(Protocol):
    """Records one run.

    A tracker never raises for a store that cannot be reached: the result files stay complete
    without it.

    Attributes:
        run_id: the store's name of the run; None before `start`, unless a run goes on that an
            earlier process began, and where there is no store.
        incomplete: the store has the run, but refused a part of it.
    """

    run_id: str | None

    @property
    def incomplete(self) -> bool: ...

    def child(self) -> "Tracker":
        """Return the tracker of a run below this one, which has been started."""

    def start(self, name: str, params: Mapping[str, str], tags: Mapping[str, str]) -> None:
        """Open the run."""

    def log_step(self, metrics: Metrics, step: int) -> None:
        """Add one point of history, such as an epoch."""

    def finish(
        self, status: RunStatus, metrics: Metrics, tags: Mapping[str, str], files: Sequence[Path]
    ) -> None:
        """Record the results and artifacts, and close the run."""

    def attach(self, files: Sequence[Path]) -> None:
        """Add artifacts to the closed run."""


@dataclass
class MemoryTracker:
    """Keeps everything in memory: for tests, and for runs that only write files."""

    run_id: str | None = None
    incomplete: bool = False
    name: str = ""
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    history: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    status: str = "RUNNING"
    children: list["MemoryTracker"] = field(default_factory=list)

    def child(self) -> "MemoryTracker":
        self.children.append(MemoryTracker())
        return self.children[-1]

    def start(self, name: str, params: Mapping[str, str], tags: Mapping[str, str]) -> None:
        self.name = name
        self.params.update(params)
        self.tags.update(tags)

    def log_step(self, metrics: Metrics, step: int) -> None:
        self.history.append((step, dict(metrics)))

    def finish(
        self, status: RunStatus, metrics: Metrics, tags: Mapping[str, str], files: Sequence[Path]
    ) -> None:
        self.status = status
        self.metrics.update(metrics)
        self.tags.update(tags)
        self.attach(files)

    def attach(self, files: Sequence[Path]) -> None:
        self.files.extend(files)


def local(config: TrackingConfig, directory: Path, sweep: SweepRun | None) -> Tracker:
    """Return the tracker of `tracking=local`: a run leaves its files by itself."""
    return MemoryTracker()


def build_tracker(
    config: TrackingConfig, directory: Path, sweep: SweepRun | None = None
) -> Tracker:
    """Return the configured tracker of one run.

    Args:
        directory: the run's own.
        sweep: that the run belongs to, if it does.
    """
    # Imported when used: trackers have libraries.
    tracker: Tracker = resolve_name(config.implementation)(config, directory, sweep)
    return tracker
