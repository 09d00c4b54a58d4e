"""How much a run will compute, and how long it takes on this machine, known before it runs."""

import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from math import ceil

from greensweep.config.schema import TrainConfig
from greensweep.config.schema_model import ModelConfig, NamedModelConfig
from greensweep.errors import GreensweepError

_TIMES = 3


def flops_of_run(config: TrainConfig) -> float | None:
    """Return the FLOPs of a run's training and of its validation, over all epochs and repeats.

    None of a run that is answered from a table, and of one whose data or network cannot be built:
    the run itself will say why.
    """
    if config.replay is not None:
        return None
    # Imported when a budget asks: torch takes seconds.
    import torch

    from greensweep.data import load_splits
    from greensweep.models import build_model, take_census
    from greensweep.tasks import build_task, targets_of

    try:
        splits = load_splits(config.dataset, config.seed, targets_of(config.task))
        task = build_task(config.task, splits, torch.device("cpu"))
        model = build_model(untrained(config.model), splits.input_shape, task.outputs)
        census = take_census(model, splits.example)
    except GreensweepError:
        return None
    if census.flops is None or census.training_flops is None:
        return None
    epoch = census.training_flops * len(splits.train) + census.flops * len(splits.validation)
    return float(epoch * config.training.epochs * config.repeats)


def untrained(model: ModelConfig) -> ModelConfig:
    """Return a network that needs no weights from elsewhere, and computes as much."""
    return replace(model, pretrained=False) if isinstance(model, NamedModelConfig) else model


def seconds_of_run(config: TrainConfig) -> float:
    """Return the seconds of a run's training and validation, over all epochs and repeats.

    The run's own network takes steps of the run's own shape on a few inputs, on the device and with
    the threads that the run would have. What a run does beside its epochs is not counted.

    Raises:
        GreensweepError: the data or the network cannot be built, or the network fails.
    """
    # Imported when a sweep asks: torch takes seconds.
    import torch

    from greensweep.data.sizes import sized_splits
    from greensweep.data.split import Split, TensorSplit
    from greensweep.energy import synchronize
    from greensweep.models import build_model, take_census
    from greensweep.tasks import build_task, targets_of
    from greensweep.training import (
        Normalise,
        Training,
        autocast_dtype,
        choose_device,
        evaluate,
        start_state,
        use_threads,
    )

    training = config.training
    splits = sized_splits(config.dataset, config.seed, targets_of(config.task))
    device = choose_device(training.device)
    start_state(config.seed)
    task = build_task(config.task, splits, device, label_smoothing=training.label_smoothing)
    model = build_model(untrained(config.model), splits.input_shape, task.outputs).to(device)
    census = take_census(model, splits.example, task.outputs)
    step_flops = census.training_flops and float(census.training_flops * training.batch_size)
    use_threads(training.threads, step_flops)

    def some(split: Split, count: int) -> TensorSplit:
        batch = torch.arange(min(count, len(split)))
        return TensorSplit(*next(split.batches([batch])))

    seen = some(splits.train, 2 * training.batch_size)
    shown = some(splits.validation, 2 * training.evaluation_batch_size).to(device)
    of_seen = replace(splits, train=seen).statistics
    normalise = Normalise(of_seen, device, training.memory_format)
    if training.memory_format == "channels_last":
        model = model.to(memory_format=normalise.layout)

    def seconds_each(work: Callable[[], object]) -> float:
        taken = []
        for _ in range(1 + _TIMES):  # the first pass of a shape prepares kernels and memory
            began = time.monotonic()
            work()
            synchronize()
            taken.append(time.monotonic() - began)
        return statistics.median(taken[1:])

    # As many steps as the run will take, by which it may choose to capture them; few are taken.
    passes = training.epochs * ceil(len(splits.train) / len(seen))
    epochs = Training(
        model,
        seen.to(device),
        normalise,
        task,
        training=replace(training, epochs=1 + _TIMES + passes),
        optimizer=replace(config.optimizer, learning_rate=1e-6),  # nothing diverges
        scheduler=config.scheduler,
        seed=config.seed,
    )
    epochs.warm_up()
    to_train = seconds_each(partial(next, iter(epochs))) * len(splits.train) / len(seen)
    validate = partial(
        evaluate,
        model,
        shown,
        normalise,
        task,
        batch_size=training.evaluation_batch_size,
        dtype=autocast_dtype(training.precision, device),
    )
    to_validate = seconds_each(validate) * len(splits.validation) / len(shown)
    # GPUs train side by side; processes on the CPU share it.
    to_train /= training.devices if device.type == "cuda" else 1
    return config.repeats * training.epochs * (to_train + to_validate)
