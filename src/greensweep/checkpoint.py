"""Kept weights: written during a run, tested after it."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from greensweep.config import TrainConfig, load_run_config
from greensweep.data import load_splits
from greensweep.energy import EnergyReading, Meter, Phases
from greensweep.errors import ConfigError, first_line
from greensweep.models import build_model
from greensweep.result import CHECKPOINT_FILE, CONFIG_FILE
from greensweep.training import (
    Evaluation,
    Normalise,
    autocast_dtype,
    choose_device,
    evaluate,
    synchronize,
    use_threads,
)


@dataclass(frozen=True)
class CheckpointTest:
    """A kept model on its test split.

    Attributes:
        test: accuracy and loss.
        reading: energy of the evaluation, after one warm-up batch.
    """

    test: Evaluation
    reading: EnergyReading


def copy_weights(model: nn.Module, into: dict[str, Tensor] | None) -> dict[str, Tensor]:
    """Return a copy of the model's state on the CPU, in the memory of an earlier copy if given."""
    state = model.state_dict()
    if into is None:
        return {name: value.detach().to("cpu", copy=True) for name, value in state.items()}
    for name, value in state.items():
        into[name].copy_(value)
    return into


def save_weights(weights: Mapping[str, Tensor], directory: Path) -> Path:
    """Write a state_dict into a run's directory and return its path.

    Raises:
        OSError: the directory cannot be written to.
    """
    path = directory / CHECKPOINT_FILE
    try:
        torch.save(dict(weights), path)
    except RuntimeError as error:  # torch's writer reports a full disk so
        raise OSError(f"cannot write {path}: {first_line(error)}") from error
    return path


def load_weights(path: Path, model: nn.Module) -> None:
    """Load a state_dict file into `model`; only tensors are read, no code.

    Raises:
        ConfigError: no such file, no state_dict, or one of another model.
    """
    if not path.is_file():
        raise ConfigError(f"no checkpoint at {path}: name the model.pt of a run")
    try:
        model.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:
        raise ConfigError(
            f"{path} does not hold weights of the model in its config.yaml "
            f"({type(error).__name__}: {first_line(error)})"
        ) from error


def test_checkpoint(
    path: Path, meter: Meter, *, device: str = "auto", batch_size: int = 512
) -> CheckpointTest:
    """Rebuild the model of a checkpoint from the config beside it and test it.

    Args:
        batch_size: images per step. A model that is never put in evaluation mode
            (`training.evaluation_mode=false`) keeps the size of its run, on which its accuracy
            depends.

    Raises:
        ConfigError: the checkpoint or its config is missing or broken.
    """
    config: TrainConfig = load_run_config(path.parent / CONFIG_FILE)
    target = choose_device(device, option="device")
    use_threads(config.training.threads, step_flops=None)
    splits = load_splits(config.dataset, config.seed)
    model = build_model(config.model, splits.image_shape, len(splits.classes))
    load_weights(path, model)
    model.to(target)
    normalise = Normalise(*splits.statistics, target, config.training.memory_format)
    dtype = autocast_dtype(config.training.precision, target)
    split = splits.test.to(target)
    evaluation_mode = config.training.evaluation_mode
    if not evaluation_mode:
        batch_size = config.training.evaluation_batch_size
    evaluate_split = partial(
        evaluate, model, normalise=normalise, dtype=dtype, evaluation_mode=evaluation_mode
    )
    evaluate_split(
        split=split.select(torch.arange(min(batch_size, len(split)))), batch_size=batch_size
    )
    phases = Phases(meter, synchronize)
    phases.start()
    with phases.phase("test"):
        result = evaluate_split(split=split, batch_size=batch_size)
    phases.stop()
    return CheckpointTest(result, phases.of("test"))
