"""The trackers, which record runs, and their options."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from omegaconf import MISSING

from greensweep.config.groups import Group
from greensweep.config.options import option


@dataclass
class TrackingConfig(Group):
    """What all trackers have in common.

    Attributes:
        implementation: import path of a function in `greensweep.tracking`. It takes the options of
            the tracker, the run's directory and the sweep that the run belongs to, if it does, and
            returns the tracker of one run.
    """

    implementation: ClassVar[str]

    name: Any = option(MISSING, doc="name of the tracker")


@dataclass
class MlflowConfig(TrackingConfig, choice="mlflow"):
    implementation = "greensweep.tracking.mlflow_tracker:mlflow_tracker"

    name: Literal["mlflow"] = "mlflow"
    uri: str = option("sqlite:///mlruns/mlflow.db", doc="MLflow tracking URI")
    artifacts: str = option("mlruns/artifacts", doc="artifact root of a new local experiment")
    experiment: str = option("greensweep", doc="MLflow experiment")


@dataclass
class LocalConfig(TrackingConfig, choice="local"):
    implementation = "greensweep.tracking.tracker:local"

    name: Literal["local"] = "local"


@dataclass
class CsvConfig(TrackingConfig, choice="csv"):
    implementation = "greensweep.tracking.csv_file:csv_tracker"

    name: Literal["csv"] = "csv"
