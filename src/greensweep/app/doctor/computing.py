"""What the examination computes by: PyTorch, or NumPy where that is not installed."""

import time
from collections.abc import Callable
from importlib.util import find_spec

import numpy as np

HAS_TORCH = find_spec("torch") is not None


def device_meant(name: str) -> str:
    """Return the device that `training.device` means, there or not."""
    if not HAS_TORCH:
        return "cpu"
    from greensweep.training import device_asked_for

    return device_asked_for(name)


def known_load(device: str) -> Callable[[float], object]:
    """Return what computes for so many seconds, always the same."""
    if not HAS_TORCH:
        return _multiply
    from greensweep.training import choose_device
    from greensweep.training.reference import ReferenceJob

    return ReferenceJob(choose_device(device)).run


def _multiply(seconds: float) -> None:
    factor, began = np.ones((1024, 1024), np.float32), time.perf_counter()
    while time.perf_counter() - began < seconds:
        factor @ factor
