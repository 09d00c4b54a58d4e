"""The training loop, evaluation, and where both compute."""

from greensweep.training.device import (
    autocast_dtype,
    check_devices,
    choose_device,
    deterministic,
    device_asked_for,
    device_name,
    start_state,
    use_threads,
)
from greensweep.training.evaluation import Evaluation, evaluate, infer, predict
from greensweep.training.images import Normalise
from greensweep.training.loop import Epoch, Training

__all__ = [
    "Epoch",
    "Evaluation",
    "Normalise",
    "Training",
    "autocast_dtype",
    "check_devices",
    "choose_device",
    "deterministic",
    "device_asked_for",
    "device_name",
    "evaluate",
    "infer",
    "predict",
    "start_state",
    "use_threads",
]
