"""Where a loop of one's own is tracked: as it asks, or else as the environment says."""

import os
from dataclasses import asdict, replace
from importlib.util import find_spec
from pathlib import Path

from greensweep.config.schema_tracking import LocalConfig, MlflowConfig, TrackingConfig
from greensweep.errors import ConfigError, not_installed
from greensweep.files import read_as, write_json
from greensweep.secrets.data import mask_text

_URI = "MLFLOW_TRACKING_URI"
_KEPT = ".tracking.json"  # in a sweep's folder: where its trials are tracked


def chosen_tracking(
    mlflow: str | bool | None = None, experiment: str = MlflowConfig.experiment
) -> TrackingConfig:
    """Return the configuration of a run's tracker: MLflow's where it is installed and asked for.

    Args:
        mlflow: a tracking URI; True for the default store; False for none. None is where
            `MLFLOW_TRACKING_URI` says, which wins over what is given, as everywhere.
        experiment: in MLflow.

    Raises:
        ConfigError: MLflow is asked for and not installed.
    """
    installed = find_spec("mlflow") is not None
    if mlflow and not installed:
        raise ConfigError(not_installed("mlflow"))
    if mlflow is False or not installed or not (mlflow or os.environ.get(_URI)):
        return LocalConfig()
    uri = mlflow if isinstance(mlflow, str) else MlflowConfig.uri
    return replace(MlflowConfig(), uri=uri, experiment=experiment)


def keep_tracking(config: TrackingConfig, sweep: Path) -> None:
    """Let the end of a sweep know where its trials are tracked, as the program says in its code.

    An address with a password is not kept: the environment has to say that one.

    Raises:
        OSError: the folder cannot be written.
    """
    if isinstance(config, MlflowConfig) and mask_text(config.uri) == config.uri:
        write_json(sweep / _KEPT, asdict(config))


def tracking_of_sweep(sweep: Path) -> TrackingConfig:
    """Return where the trials of a sweep are tracked: as they kept it, or as `chosen_tracking`."""
    kept = read_as(MlflowConfig, sweep / _KEPT) if find_spec("mlflow") is not None else None
    return chosen_tracking() if kept is None else kept
