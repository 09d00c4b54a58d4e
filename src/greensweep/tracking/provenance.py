"""Where a result comes from: code, versions, machine."""

import os
import platform
import re
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil
import yaml

from greensweep.config.folders import command_folder
from greensweep.errors import plural

_PACKAGES = (
    "torch", "torchvision", "timm", "codecarbon", "optuna", "hydra-core", "mlflow-skinny",
    "statsmodels", "greensweep",
)  # fmt: skip
MACHINE_TAGS = _CPU, _CORES, _GPU = "hardware.cpu", "hardware.cores", "hardware.gpu"


@cache  # of code that is imported already
def provenance(dataset: str) -> dict[str, str]:
    """Return tags that name the commit, package versions, hardware and pipeline of a run.

    Args:
        dataset: that the run trains on.
    """
    tags = {**code_and_machine(), **pipeline_tags(dataset)}
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        tags[_GPU] = torch.cuda.get_device_name()
    return tags


def pipeline_tags(dataset: str) -> dict[str, str]:
    """Return the stage of `dvc repro` that runs this process, and the hash of its data.

    The hash is the one under which DVC knows the manifest that stage `prepare@DATASET` made.
    Outside of a stage there are no such tags.
    """
    stage = os.environ.get("DVC_STAGE")
    if stage is None:
        return {}
    tags = {"dvc.stage": stage}
    try:
        lock = yaml.safe_load(Path(os.environ["DVC_ROOT"], "dvc.lock").read_text(encoding="utf-8"))
        outs = lock["stages"][f"prepare@{dataset}"]["outs"]
        digests = {out["path"]: out["md5"] for out in outs}
        tags["dvc.data"] = digests[f"data/prepared/{dataset}/splits.json"]
    except (OSError, KeyError, TypeError, ValueError, yaml.YAMLError):
        pass  # a pipeline of the user's own
    return tags


def code_and_machine() -> dict[str, str]:
    """Return the tags that need no loading of PyTorch: all but the GPU.

    The commit is that of the folder the command was given in; without git there is none.
    """
    tags = {f"version.{name}": found for name in _PACKAGES if (found := _version(name))}
    tags["version.python"] = platform.python_version()
    tags[_CPU] = _cpu_model()
    tags[_CORES] = str(psutil.cpu_count())
    tags["hardware.memory_bytes"] = str(psutil.virtual_memory().total)
    commit = _git("rev-parse", "HEAD")
    if commit:
        tags["mlflow.source.git.commit"] = commit
        tags["git.dirty"] = str(bool(_git("status", "--porcelain"))).lower()
    return tags


def machine_text(tags: Mapping[str, str]) -> str | None:
    """Return what a machine is called; None where its tags do not say.

    >>> machine_text({"hardware.cpu": "AMD EPYC", "hardware.cores": "2", "hardware.gpu": "H100"})
    'AMD EPYC, 2 cores, H100'
    """
    named = {name: " ".join(found.split()) for name in MACHINE_TAGS if (found := tags.get(name))}
    if cores := named.get(_CORES):
        named[_CORES] = plural(int(cores), "core") if cores.isdecimal() else cores
    return ", ".join(named.values()) or None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=command_folder(), capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _cpu_model() -> str:
    with suppress(OSError):  # not Linux: the last line knows less, but works everywhere
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
        if found := re.search(r"^model name\s*:(.*)", text, re.MULTILINE):
            return found[1].strip()
    return platform.processor() or platform.machine()
