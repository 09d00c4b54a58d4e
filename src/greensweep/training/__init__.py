"""The training loop, evaluation, and where both compute."""

from greensweep.training.device import (
    autocast_dtype,
    choose_device,
    device_name,
    start_state,
    synchronize,
    use_threads,
)
from greensweep.training.evaluation import Evaluation, evaluate
from greensweep.training.images import Normalise
from greensweep.training.loop import Epoch, train, warm_up

__all__ = [
    "Epoch",
    "Evaluation",
    "Normalise",
    "autocast_dtype",
    "choose_device",
    "device_name",
    "evaluate",
    "start_state",
    "synchronize",
    "train",
    "use_threads",
    "warm_up",
]
