"""How long a run will take on this machine, told from a few of its training steps."""

import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from math import ceil

from greensweep.config import TrainConfig
from greensweep.study.flops import untrained

_TIMES = 3


def seconds_of_run(config: TrainConfig) -> float:
    """Return the seconds of a run's training and validation, over all epochs and repeats.

    The run's own network takes steps of the run's own shape on random images, on the device and
    with the threads that the run would have. What a run does beside its epochs is not counted.

    Raises:
        GreensweepError: the data or the network cannot be built, or the network fails.
    """
    # Imported when a sweep asks: torch takes seconds.
    import torch

    from greensweep.data.sizes import split_sizes
    from greensweep.data.split import TensorSplit
    from greensweep.models import build_model, take_census
    from greensweep.training import (
        Normalise,
        autocast_dtype,
        choose_device,
        evaluate,
        start_state,
        synchronize,
        train,
        use_threads,
    )

    sizes, training = split_sizes(config.dataset, config.seed), config.training
    device = choose_device(training.device)
    start_state(training, config.seed)
    model = build_model(untrained(config.model), sizes.image_shape, sizes.classes).to(device)
    census = take_census(model, sizes.image_shape, sizes.classes)
    step_flops = census.training_flops and float(census.training_flops * training.batch_size)
    use_threads(training.threads, step_flops)
    middle = torch.full((sizes.image_shape[0], 1, 1), 127.5)
    normalise = Normalise(middle, middle, device, training.memory_format)
    if training.memory_format == "channels_last":
        model = model.to(memory_format=normalise.layout)

    def images(count: int) -> TensorSplit:
        pixels = torch.randint(0, 256, (count, *sizes.image_shape), dtype=torch.uint8)
        return TensorSplit(pixels, torch.randint(0, sizes.classes, (count,))).to(device)

    def seconds_each(work: Callable[[], object]) -> float:
        taken = []
        for _ in range(1 + _TIMES):  # the first pass of a shape prepares kernels and memory
            began = time.monotonic()
            work()
            synchronize()
            taken.append(time.monotonic() - began)
        return statistics.median(taken[1:])

    seen = images(min(2 * training.batch_size, sizes.train))
    # As many steps as the run will take, by which it may choose to capture them; few are taken.
    passes = training.epochs * ceil(sizes.train / len(seen))
    epochs = train(
        model,
        seen,
        normalise,
        training=replace(training, epochs=1 + _TIMES + passes),
        optimizer=replace(config.optimizer, learning_rate=1e-6),  # nothing diverges
        scheduler=config.scheduler,
        seed=config.seed,
    )
    epochs.warm_up()
    to_train = seconds_each(partial(next, iter(epochs))) * sizes.train / len(seen)
    shown = images(min(2 * training.evaluation_batch_size, sizes.validation))
    validate = partial(
        evaluate,
        model,
        shown,
        normalise,
        batch_size=training.evaluation_batch_size,
        dtype=autocast_dtype(training.precision, device),
    )
    to_validate = seconds_each(validate) * sizes.validation / len(shown)
    return config.repeats * training.epochs * (to_train + to_validate)
