"""What the trained network uses to predict: the energy of inference on the validation split."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch

from greensweep.energy import EnergyReading, Phases
from greensweep.energy.uncertainty import INFERENCE_PERIODS
from greensweep.runs.setup import Setup
from greensweep.training import infer

# For how long inference runs where no counter asks for longer.
_SHORT_SECONDS = 0.1


def measure_inference(setup: Setup, phases: Phases) -> Mapping[str, Any]:
    """Predict for `inference.seconds`, after a warm-up, and return what it took.

    Raises:
        DataError: none of the images could be read.
        TrainingError: memory ran out, or the model failed.
    """
    asked, split = setup.config.inference, setup.validation
    predict = partial(
        infer,
        setup.model,
        normalise=setup.normalise,
        batch_size=asked.batch_size,
        dtype=setup.dtype,
    )
    with phases.phase("warmup"):
        predict(split=split.select(torch.arange(min(asked.batch_size, len(split)))))
    # In fewer periods of the slowest counter the figure would be chance.
    enough = max(INFERENCE_PERIODS * phases.total.update_seconds, _SHORT_SECONDS)
    with phases.phase("inference"):
        images = predict(split=split, seconds=asked.seconds or enough)
    return _summary(phases.of("inference"), images, asked.batch_size)


def _summary(reading: EnergyReading, images: int, batch_size: int) -> dict[str, Any]:
    joules = reading.joules
    return {
        "joules_per_1000": None if joules is None else 1000.0 * joules / images,
        "uncertainty_joules_per_1000": None
        if reading.uncertainty_joules is None
        else 1000.0 * reading.uncertainty_joules / images,
        "seconds_per_1000": 1000.0 * reading.seconds / images,
        "images": images,
        "batch_size": batch_size,
        "quality": reading.quality,
    }
