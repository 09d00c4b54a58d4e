"""Where and with what the figures were measured."""

import os
import platform
import time
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

_PACKAGES = (
    "greensweep",
    "torch",
    "torchvision",
    "timm",
    "numpy",
    "hydra-core",
    "hydra-optuna-sweeper",
    "optuna",
    "mlflow",
    "codecarbon",
)


def describe_machine() -> dict[str, Any]:
    """Return CPU model, cores, memory, versions, date and the load before the first benchmark."""
    import torch

    return {
        "date": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "cpu_model": _cpu_model(),
        "cores": psutil.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "memory_bytes": psutil.virtual_memory().total,
        "load_1_minute": os.getloadavg()[0],
        "platform": platform.platform(),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in _PACKAGES},
    }


def machine_line(machine: dict[str, Any]) -> str:
    """Return the machine in one line."""
    packages: Sequence[str] = ("torch", "hydra-core", "optuna", "mlflow", "codecarbon")
    versions = ", ".join(f"{name} {machine['packages'][name]}" for name in packages)
    return (
        f"{machine['cpu_model']}, {machine['cores']} cores (load {machine['load_1_minute']:.1f} "
        f"before the start), Python {machine['python']}, {versions}"
    )


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # run from a checkout
        return "not installed"


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()
