"""The trackers, which record runs, and their options."""

from dataclasses import dataclass
from typing import Any, Literal

from omegaconf import MISSING

from greensweep.config.options import option


@dataclass
class TrackingConfig:
    name: Any = option(MISSING, doc="name of the tracker")


@dataclass
class MlflowConfig(TrackingConfig):
    name: Literal["mlflow"] = "mlflow"
    uri: str = option("sqlite:///mlruns/mlflow.db", doc="MLflow tracking URI")
    artifacts: str = option("mlruns/artifacts", doc="artifact root of a new local experiment")
    experiment: str = option("greensweep", doc="MLflow experiment")


@dataclass
class LocalConfig(TrackingConfig):
    name: Literal["local"] = "local"


TRACKERS: dict[str, type[TrackingConfig]] = {"mlflow": MlflowConfig, "local": LocalConfig}
