"""What a run trains, and on what: the data, the network and the device."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from torch import nn

from greensweep.config.schema import TrainConfig
from greensweep.config.schema_model import CustomModelConfig
from greensweep.data import Split
from greensweep.energy.notices import warn_once
from greensweep.errors import listed
from greensweep.models import LayerCensus, check_batch_fits, take_census
from greensweep.record.recorded_run import RecordedRun
from greensweep.runs.checkpoint import load_initial_weights
from greensweep.runs.network import Network, build_network
from greensweep.tasks import imbalance
from greensweep.training import (
    Training,
    check_devices,
    choose_device,
    device_name,
    start_state,
    use_threads,
)
from greensweep.training.freezing import freeze_backbone


@dataclass(frozen=True)
class Setup(Network):
    """A network that is ready to train.

    Attributes:
        census: the layers that run.
        train, validation: on the device, `train` where one alone trains.
        test: likewise where it selects epochs.
        training: the loop; each item is an epoch.
    """

    census: LayerCensus
    train: Split
    validation: Split
    test: Split
    training: Training


def set_up(config: TrainConfig, run: RecordedRun) -> Setup:
    """Read the data, build the network, count its layers, and note what is known of them.

    Raises:
        DataError: the data cannot be read.
        ModelError: the network cannot be built, or a batch does not fit in memory.
        ConfigError: the device is not there, the task or a metric cannot be had, weights to begin
            from do not fit, or a batch is larger than the training split.
    """
    training = config.training
    device = choose_device(training.device)
    if training.devices > 1:
        check_devices(device, training.devices)
    run.note(device=device_name(device, training.devices))
    start_state(config.seed)
    network = build_network(config, device, partial(_begin, config))
    splits, task, model = network.splits, network.task, network.model
    if task.targets == "classes" and network.objective.name == "accuracy":
        warning = imbalance(splits.train.labels, splits.classes)
        if warning is not None:
            warn_once(warning)
    census = take_census(model, splits.example, task.outputs)
    run.note(
        samples={name: len(getattr(splits, name)) for name in ("train", "validation", "test")},
        layers=census.layers,
        layer_modules=census.layer_modules,
        parameters=census.parameters,
        trainable_parameters=census.trainable_parameters,
        flops=census.flops,
        flops_left_out=census.flops_left_out,
    )
    step_flops = census.training_flops and float(census.training_flops * training.batch_size)
    use_threads(training.threads, step_flops)
    if training.memory_format == "channels_last":
        model.to(memory_format=network.normalise.layout)
    if device.type == "cpu":  # a GPU says by itself what it cannot hold
        kept_bytes = census.kept_bytes * (0.5 if network.dtype else 1.0)
        check_batch_fits(kept_bytes, training.batch_size)
    # Of several devices each has it in a process of its own.
    train_split = splits.train if training.devices > 1 else splits.train.to(device)
    trained = _training(config, network, train_split)
    return Setup(
        **{**vars(network), "model": trained.model},
        census=census,
        train=train_split,
        validation=splits.validation.to(device),
        test=splits.test.to(device) if config.select_on == "test" else splits.test,
        training=trained,
    )


def _training(config: TrainConfig, network: Network, split: Split) -> Training:
    what = network.model, split, network.normalise, network.task
    if config.training.devices > 1:
        from greensweep.runs.distributed import DistributedTraining  # for which PyTorch loads more

        return DistributedTraining(*what, config)
    return Training(
        *what,
        training=config.training,
        optimizer=config.optimizer,
        scheduler=config.scheduler,
        seed=config.seed,
    )


def _begin(config: TrainConfig, model: nn.Module) -> None:
    """Give a model the weights that it begins from, where it has any of its own."""
    training = config.training
    lacking: tuple[str, ...] = ()
    if training.from_checkpoint is not None:
        lacking = load_initial_weights(Path(training.from_checkpoint), model)
    if training.freeze == "backbone":
        freeze_backbone(model)
        # A network of the user's own may begin from any.
        begun = isinstance(config.model, CustomModelConfig) or training.from_checkpoint is not None
        if not begun and not getattr(config.model, "pretrained", False):
            warn_once(
                "training.freeze=backbone keeps random weights, so that the head learns from "
                "random features: set training.from_checkpoint, or model.pretrained=true where "
                "the model has that."
            )
        frozen = {name for name, each in model.named_parameters() if not each.requires_grad}
        if untrained := [name for name in lacking if name in frozen]:
            warn_once(
                f"training.freeze=backbone keeps {listed(untrained)} at initial values, for the "
                "checkpoint does not hold them: the head learns from what was never trained."
            )
