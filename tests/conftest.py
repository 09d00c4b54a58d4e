"""Fixtures that many tests share."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from greensweep import app  # noqa: F401 - registers the schemas and resolvers
from greensweep.config import TrainConfig, parse

PROJECT = Path(__file__).resolve().parents[1]
SHARED = PROJECT.parent / "shared"


@pytest.fixture
def config() -> Callable[..., TrainConfig]:
    """Compose and check a training config: `config("model=dense_poly", "training.epochs=1")`."""

    def composed(*overrides: str) -> TrainConfig:
        with initialize_config_dir(str(PROJECT / "conf")):
            parsed = parse(compose("train", overrides=list(overrides)))
        assert isinstance(parsed, TrainConfig)
        return parsed

    return composed


@pytest.fixture
def script(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a script of src/ in an empty folder, as a user would: `script("train.py", "seed=1")`."""

    def run(
        name: str, *arguments: str, environment: dict[str, str] | None = None, timeout: int = 240
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, str(PROJECT / "src" / name), *arguments],
            cwd=tmp_path,
            env={**os.environ, "COLUMNS": "200", **(environment or {})},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    return run


@pytest.fixture
def cifar10_images() -> Path:
    """The shared folder of real CIFAR-10 images."""
    folder = SHARED / "data" / "cifar10"
    if not folder.is_dir():
        pytest.skip("the shared CIFAR-10 images are not here")
    return folder
