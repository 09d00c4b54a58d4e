"""The training loop, evaluation, and where both compute."""

from greensweep.training.capture import Capture
from greensweep.training.device import (
    autocast_dtype,
    choose_device,
    deterministic,
    device_asked_for,
    device_name,
    start_state,
    synchronize,
    use_threads,
)
from greensweep.training.evaluation import Evaluation, evaluate, infer, predict
from greensweep.training.images import Normalise
from greensweep.training.layer_time import LayerTimes, time_layers
from greensweep.training.loop import Epoch, Training

__all__ = [
    "Capture",
    "Epoch",
    "Evaluation",
    "LayerTimes",
    "Normalise",
    "Training",
    "autocast_dtype",
    "choose_device",
    "deterministic",
    "device_asked_for",
    "device_name",
    "evaluate",
    "infer",
    "predict",
    "start_state",
    "synchronize",
    "time_layers",
    "use_threads",
]
