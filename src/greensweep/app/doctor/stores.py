"""Can results be kept? MLflow's store and Optuna's."""

import os
from pathlib import Path

from greensweep.app.doctor.findings import Finding
from greensweep.config.folders import sqlite_file
from greensweep.config.schema_tracking import MlflowConfig, TrackingConfig
from greensweep.errors import first_line
from greensweep.secrets.data import mask_text


def find_mlflow(config: TrackingConfig) -> Finding:
    """Look at the MLflow store without making one."""
    subject = "MLflow"
    if not isinstance(config, MlflowConfig):
        return Finding(subject, "ok", f"tracking={config.name}: results are kept in files only")
    from greensweep.tracking.mlflow_places import tracking_uri
    from greensweep.tracking.mlflow_store import unreachable

    uri = tracking_uri(config.uri)
    shown = mask_text(uri)
    file = sqlite_file(uri)
    if file is not None:
        return _find_file(subject, file, shown)
    fault = unreachable(uri)
    if fault is None:
        return Finding(subject, "ok", f"{shown} answers")
    return Finding(
        subject,
        "note",
        f"{shown} cannot be reached ({fault}): results would be kept in files only",
        "start the server, or set MLFLOW_TRACKING_URI; python -m greensweep upload sends later",
    )


def find_optuna(storage: str) -> Finding:
    """Look at the store that a sweep would keep its study in."""
    subject = "Optuna"
    shown = mask_text(storage)
    file = sqlite_file(storage)
    if file is not None:
        return _find_file(subject, file, shown)
    from sqlalchemy import create_engine

    try:
        create_engine(storage).connect().close()
    except Exception as error:
        return Finding(
            subject,
            "fail",
            f"{shown} cannot be reached ({type(error).__name__}: {mask_text(first_line(error))})",
            "start the database, or leave hydra.sweeper.storage as it is",
        )
    return Finding(subject, "ok", f"{shown} answers")


def _find_file(subject: str, file: Path, shown: str) -> Finding:
    """A SQLite file must be writable, or its nearest folder that exists."""
    place = file
    while not place.exists():
        place = place.parent
    if os.access(place, os.W_OK):
        state = "can be written" if place == file else "can be made"
        return Finding(subject, "ok", f"{shown} {state}")
    return Finding(
        subject, "fail", f"{shown} cannot be written: {place} is read-only", "choose another folder"
    )
