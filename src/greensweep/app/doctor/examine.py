"""The examination: versions, sources of energy, self-check, stores."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

import greensweep
from greensweep.app.doctor.computing import HAS_TORCH
from greensweep.app.doctor.findings import ComponentSource, Examination, Finding, SelfCheck
from greensweep.app.doctor.self_check import check_meter, judge
from greensweep.app.doctor.sources import component_sources, find_gpus, find_rapl, judge_sources
from greensweep.config.folders import sqlite_file, storage_file
from greensweep.config.schema import TrainConfig
from greensweep.config.schema_tracking import MlflowConfig, TrackingConfig
from greensweep.energy import declared_grid
from greensweep.errors import GreensweepError, first_line, install_command
from greensweep.secrets.data import mask_text

_PACKAGES = ("torch", "torchvision", "timm", "codecarbon", "mlflow", "optuna", "hydra-core", "dvc")


def examine(config: TrainConfig, storage: str) -> Examination:
    """Look at this machine as a sweep with this configuration would use it; takes seconds.

    Args:
        storage: URL of Optuna's store.
    """
    findings = [_find_device(config)]
    components: tuple[ComponentSource, ...] = ()
    check: SelfCheck | None = None
    try:
        device = config.training.device if findings[0].verdict != "fail" else "cpu"
        components = component_sources(config.energy, device)
        findings.append(judge_sources(config.energy, components))
        check = check_meter(config.energy, device)
    except GreensweepError as error:
        findings.append(Finding("energy", "fail", str(error)))
    findings += [find_rapl(), *find_gpus()]
    if check is not None:
        findings += judge(check)
    findings += [_find_grid(config), find_mlflow(config.tracking), find_optuna(storage)]
    return Examination(_versions(), components, check, tuple(findings))


def _find_device(config: TrainConfig) -> Finding:
    if not HAS_TORCH:
        text = "PyTorch is not installed: `greensweep train` needs it, a loop of your own does not"
        return Finding("device", "note", text, install_command("torch"))
    from greensweep.training import choose_device, device_name

    try:
        device = choose_device(config.training.device)
    except GreensweepError as error:
        return Finding("device", "fail", str(error))
    return Finding("device", "ok", f"trains on {device_name(device)}")


def _find_grid(config: TrainConfig) -> Finding:
    try:
        grid = declared_grid(config.energy)
    except GreensweepError as error:
        return Finding("emissions", "fail", str(error))
    if grid is None:
        text = "no grid declared, so no emissions are given"
        return Finding("emissions", "ok", text, "set energy.country, or energy.grams_co2e_per_kwh")
    text = f"{1000 * grid.kilograms_per_kwh:.3g} g CO2e/kWh ({grid.declared})"
    return Finding("emissions", "ok", text)


def find_mlflow(config: TrackingConfig) -> Finding:
    """Look at the MLflow store without making one."""
    if not isinstance(config, MlflowConfig):
        return Finding("MLflow", "ok", f"tracking={config.name}: results are kept in files only")
    if find_spec("mlflow") is None:
        text = "MLflow is not installed: results are kept in files only"
        return Finding("MLflow", "note", text, install_command("mlflow"))
    from greensweep.tracking.mlflow_places import tracking_uri
    from greensweep.tracking.mlflow_store import unreachable

    uri = tracking_uri(config.uri)
    shown, file = mask_text(uri), sqlite_file(uri)
    if file is not None:
        return _find_file("MLflow", file, shown)
    fault = unreachable(uri)
    if fault is None:
        return Finding("MLflow", "ok", f"{shown} answers")
    return Finding(
        "MLflow",
        "note",
        f"{shown} cannot be reached ({fault}): results would be kept in files only",
        "start the server, or set MLFLOW_TRACKING_URI; python -m greensweep upload sends later",
    )


def find_optuna(storage: str) -> Finding:
    """Look at the store that a sweep would keep its study in."""
    shown, file = mask_text(storage), storage_file(storage)
    if file is not None:
        return _find_file("Optuna", file, shown)
    from sqlalchemy import create_engine

    try:
        create_engine(storage).connect().close()
    except Exception as error:
        fault = f"{type(error).__name__}: {mask_text(first_line(error))}"
        text = f"{shown} cannot be reached ({fault})"
        advice = "start the database, or leave hydra.sweeper.storage as it is"
        return Finding("Optuna", "fail", text, advice)
    return Finding("Optuna", "ok", f"{shown} answers")


def _find_file(subject: str, file: Path, shown: str) -> Finding:
    """A file must be writable, or its nearest folder that exists."""
    place = next(each for each in (file, *file.parents) if each.exists())
    if os.access(place, os.W_OK):
        state = "can be written" if place == file else "can be made"
        return Finding(subject, "ok", f"{shown} {state}")
    text = f"{shown} cannot be written: {place} is read-only"
    return Finding(subject, "fail", text, "choose another folder")


def _versions() -> dict[str, str]:
    # Its own by itself, which a checkout knows that is not installed.
    versions = {"python": platform.python_version(), "greensweep": greensweep.__version__}
    for name in _PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "missing"
    if HAS_TORCH:
        import torch

        versions["cuda"] = torch.version.cuda or "none"
    return versions
