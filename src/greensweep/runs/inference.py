"""What the trained network uses to predict: the energy of inference on the validation split."""

from functools import partial

import torch

from greensweep.energy import Phases
from greensweep.energy.uncertainty import INFERENCE_PERIODS
from greensweep.record.summaries import Inference
from greensweep.runs.setup import Setup
from greensweep.training import infer

# For how long inference runs where no counter asks for longer.
_SHORT_SECONDS = 0.1


def measure_inference(setup: Setup, phases: Phases) -> Inference:
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
    reading = phases.of("inference").settled()

    def per_1000(figure: float | None) -> float | None:
        return None if figure is None else 1000.0 * figure / images

    return Inference(
        joules_per_1000=per_1000(reading.joules),
        uncertainty_joules_per_1000=per_1000(reading.uncertainty_joules),
        seconds_per_1000=per_1000(reading.seconds),
        images=images,
        batch_size=asked.batch_size,
        quality=reading.quality,
    )
