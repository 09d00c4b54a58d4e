"""What is measured of a trained network: the energy of inference, and that of its layers."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from greensweep.energy import Phases
from greensweep.energy.uncertainty import INFERENCE_PERIODS
from greensweep.record.recorded_run import RecordedRun
from greensweep.record.summaries import Inference
from greensweep.runs.layer_energy import shared_out, write_table
from greensweep.runs.setup import Setup
from greensweep.training import infer
from greensweep.training.layer_time import time_layers

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


def attribute_layer_energy(setup: Setup, run: RecordedRun, phases: Phases, file: Path) -> None:
    """Share a run's training energy out by layer type, from sampled steps, and note it.

    It is attributed by time, which is exact only where the machine's power is the same in all
    layers: one that keeps the arithmetic units busy draws more than one that waits for memory. Of
    several devices one is sampled, on its part of a batch, without what they tell each other.

    Args:
        file: the table by layer.

    Raises:
        DataError: no image could be read.
        TrainingError: memory ran out, the model failed, or the GPU could not be watched.
        OSError: the table cannot be written.
    """
    config, training = setup.config, setup.config.training
    with phases.phase("layer_energy"):
        times = time_layers(
            setup.model,
            setup.train.to(setup.normalise.device),
            setup.normalise,
            setup.task,
            training=replace(training, batch_size=training.batch_size // training.devices),
            optimizer=config.optimizer,
            seed=config.seed,
        )
        joules = phases.of("training").joules
        write_table(times, joules, file)
        run.files.append(file)
    cost = phases.of("layer_energy")
    run.note(layer_energy=shared_out(times, joules, cost.joules, cost.seconds))
