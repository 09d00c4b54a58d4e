"""Where runs are recorded: MLflow, or files only."""

import logging
from functools import cache
from typing import TYPE_CHECKING

from greensweep.config import schema_tracking
from greensweep.errors import first_sentence
from greensweep.secrets import mask_text
from greensweep.tracking.params import flat
from greensweep.tracking.provenance import provenance
from greensweep.tracking.tracker import MemoryTracker, RunStatus, SweepRun, Tracker

if TYPE_CHECKING:
    from greensweep.tracking.mlflow import MlflowStore

__all__ = [
    "MemoryTracker",
    "RunStatus",
    "SweepRun",
    "Tracker",
    "build_tracker",
    "flat",
    "open_store",
    "provenance",
]

log = logging.getLogger(__name__)


def open_store(config: schema_tracking.TrackingConfig) -> "MlflowStore | None":
    """Open the configured MLflow store, once per process.

    Returns None where runs are kept in files only: `tracking=local`, or a store that cannot be
    reached, which costs one warning.
    """
    if not isinstance(config, schema_tracking.MlflowConfig):
        return None
    from greensweep.tracking.mlflow import artifact_root, tracking_uri

    artifacts = artifact_root(config.artifacts)
    return _reachable_store(tracking_uri(config.uri), config.experiment, artifacts)


@cache
def _reachable_store(uri: str, experiment: str, artifacts: str) -> "MlflowStore | None":
    from greensweep.tracking.mlflow import MlflowStore, unreachable

    fault = unreachable(uri)
    if fault is None:
        try:
            return MlflowStore(uri, experiment, artifacts)
        except Exception as error:
            fault = first_sentence(error)
    log.warning(
        "MLflow at %s cannot be reached (%s): results are kept in files only; send them later "
        "with `python -m greensweep upload RUN_DIR`.",
        mask_text(uri),
        mask_text(fault),
    )
    return None


def build_tracker(store: "MlflowStore | None", sweep: SweepRun | None = None) -> Tracker:
    """Return the tracker of one run: in `store`, below the run of its sweep, or in memory."""
    if store is None:
        return MemoryTracker()
    from greensweep.tracking.mlflow import MlflowTracker

    return MlflowTracker(store, sweep)
