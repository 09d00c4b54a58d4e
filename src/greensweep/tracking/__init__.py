"""Where runs are recorded: MLflow, or files only."""

from pathlib import Path
from pkgutil import resolve_name

from greensweep.config.schema_tracking import TrackingConfig
from greensweep.tracking.mlflow_tracker import open_store
from greensweep.tracking.provenance import provenance
from greensweep.tracking.tracker import MemoryTracker, RunStatus, SweepRun, Tracker

__all__ = [
    "MemoryTracker",
    "RunStatus",
    "SweepRun",
    "Tracker",
    "build_tracker",
    "open_store",
    "provenance",
]


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
