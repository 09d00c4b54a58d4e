"""Where a loop of one's own is tracked: as it asks, or else as the environment says."""

import os
from dataclasses import replace
from importlib.util import find_spec

from greensweep.config.schema_tracking import LocalConfig, MlflowConfig, TrackingConfig
from greensweep.errors import ConfigError, not_installed

_URI = "MLFLOW_TRACKING_URI"


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
    if isinstance(mlflow, str) and not installed:
        raise ConfigError(not_installed("mlflow"))
    if mlflow is False or not installed or not (mlflow or os.environ.get(_URI)):
        return LocalConfig()
    uri = mlflow if isinstance(mlflow, str) else MlflowConfig.uri
    return replace(MlflowConfig(), uri=uri, experiment=experiment)
