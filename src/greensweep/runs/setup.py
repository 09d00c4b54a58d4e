"""What a run trains, and on what: the data, the network and the device."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from greensweep.config import Metric, TrainConfig, metrics_of
from greensweep.data import Split, load_splits
from greensweep.energy.notices import warn_once
from greensweep.models import LayerCensus, build_model, check_batch_fits, take_census
from greensweep.models.pretrained import expected_statistics
from greensweep.record.recorded_run import RecordedRun
from greensweep.runs.initial_weights import load_initial_weights
from greensweep.tasks import Scores, Task, build_task, imbalance, targets_of
from greensweep.training import (
    Evaluation,
    Normalise,
    Training,
    autocast_dtype,
    choose_device,
    device_name,
    evaluate,
    start_state,
    train,
    use_threads,
)
from greensweep.training.freezing import freeze_backbone


@dataclass(frozen=True)
class Setup:
    """A network and its data on a device, ready to train.

    Attributes:
        normalise: prepares batches, on the device.
        task: what is learnt.
        scores: computes the metrics of a split.
        objective: the metric by which epochs are chosen.
        census: the layers that run.
        train, validation: on the device.
        test: read by the device where it is evaluated on.
        dtype: of autocast; None computes in float32.
        training: the loop; each item is an epoch.
    """

    config: TrainConfig
    model: nn.Module
    normalise: Normalise
    task: Task
    scores: Scores
    objective: Metric
    census: LayerCensus
    train: Split
    validation: Split
    test: Split
    dtype: torch.dtype | None
    training: Training

    @property
    def selecting(self) -> Split:
        """The split by which epochs are chosen."""
        return self.test if self.config.select_on == "test" else self.validation

    def evaluate(self, split: Split) -> Evaluation:
        """Evaluate the network as it stands."""
        return evaluate(
            self.model,
            split.to(self.normalise.device),
            self.normalise,
            self.task,
            scores=self.scores,
            name="test" if split is self.test else "validation",
            batch_size=self.config.training.evaluation_batch_size,
            dtype=self.dtype,
            evaluation_mode=self.config.training.evaluation_mode,
        )


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
    run.note(device=device_name(device))
    start_state(training, config.seed)
    splits = load_splits(config.dataset, config.seed, targets_of(config.task))
    task = build_task(config.task, splits, device, label_smoothing=training.label_smoothing)
    metrics, objective = metrics_of(config)
    scores = Scores(metrics, task.targets, splits.classes)
    if task.targets == "classes" and objective.name == "accuracy":
        warning = imbalance(splits.train.labels, splits.classes)
        if warning is not None:
            warn_once(warning)
    model = build_model(config.model, splits.input_shape, task.outputs)
    if training.from_checkpoint is not None:
        load_initial_weights(Path(training.from_checkpoint), model)
    if training.freeze == "backbone":
        freeze_backbone(model)
    model = model.to(device)
    census = take_census(model, splits.example, task.outputs)
    run.note(
        layers=census.layers,
        layer_modules=census.layer_modules,
        parameters=census.parameters,
        trainable_parameters=census.trainable_parameters,
        flops=census.flops,
        flops_left_out=census.flops_left_out,
    )
    use_threads(training.threads, _step_flops(census, training.batch_size))
    normalise = Normalise(expected_statistics(config.model, splits), device, training.memory_format)
    if training.memory_format == "channels_last":
        model = model.to(memory_format=normalise.layout)
    train_split, validation = splits.train.to(device), splits.validation.to(device)
    test = splits.test.to(device) if config.select_on == "test" else splits.test
    dtype = autocast_dtype(training.precision, device)
    if device.type == "cpu":  # a GPU says by itself what it cannot hold
        check_batch_fits(census.kept_bytes * (0.5 if dtype else 1.0), training.batch_size)
    trained = train(
        model,
        train_split,
        normalise,
        task,
        training=training,
        optimizer=config.optimizer,
        scheduler=config.scheduler,
        seed=config.seed,
    )
    return Setup(
        config,
        trained.model,
        normalise,
        task,
        scores,
        objective,
        census,
        train_split,
        validation,
        test,
        dtype,
        trained,
    )


def _step_flops(census: LayerCensus, batch_size: int) -> float | None:
    return None if census.training_flops is None else float(census.training_flops * batch_size)
