"""How much a run will have to compute, known before it runs."""

from dataclasses import replace

from greensweep.config.schema import TrainConfig
from greensweep.config.schema_model import ModelConfig, NamedModelConfig
from greensweep.errors import GreensweepError


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
