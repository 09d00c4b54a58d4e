"""A kept model, rebuilt from its weights and its run's options: to evaluate it, or to predict."""

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from greensweep.config import Metric, TrainConfig, load_run_config, metrics_of
from greensweep.data import Split, Splits, TensorSplit, load_splits
from greensweep.data.new_samples import Samples, read_samples
from greensweep.energy import EnergyReading, Meter, Phases
from greensweep.errors import ConfigError, DataError
from greensweep.models import build_model
from greensweep.models.pretrained import expected_statistics
from greensweep.record.result import CONFIG_FILE
from greensweep.runs.checkpoint import load_weights
from greensweep.secrets import still_masked
from greensweep.tasks import Scores, Task, build_task, targets_of
from greensweep.training import (
    Evaluation,
    Normalise,
    autocast_dtype,
    choose_device,
    evaluate,
    predict,
    synchronize,
    use_threads,
)


@dataclass(frozen=True)
class KeptModel:
    """A trained network on a device.

    Attributes:
        splits: that it was trained and selected on.
        objective: the metric that its run was selected by.
    """

    config: TrainConfig
    splits: Splits
    model: nn.Module
    task: Task
    objective: Metric
    normalise: Normalise
    dtype: torch.dtype | None

    def evaluate(
        self, split: Split, *, batch_size: int, scores: Scores | None = None
    ) -> Evaluation:
        """Evaluate on a split.

        Raises:
            TrainingError: the model failed.
        """
        return evaluate(
            self.model,
            split,
            self.normalise,
            self.task,
            scores=scores,
            name="test",
            batch_size=batch_size,
            dtype=self.dtype,
            evaluation_mode=self.config.training.evaluation_mode,
        )

    def read(self, data: Path) -> Samples:
        """Read other samples than those of the model's own data set.

        Raises:
            DataError: they are not such as it was trained on.
        """
        return read_samples(data, self.config.dataset, self.splits, self.task.targets)

    def predict(self, inputs: torch.Tensor, *, batch_size: int) -> np.ndarray:
        """Return what the task predicts of inputs: probabilities (N, K), or values.

        Raises:
            TrainingError: the model failed.
        """
        return predict(
            self.model,
            inputs,
            self.normalise,
            self.task,
            batch_size=batch_size,
            dtype=self.dtype,
        )


def load_kept_model(path: Path, device: str = "auto") -> KeptModel:
    """Rebuild the model of a checkpoint from the config beside it.

    Raises:
        ConfigError: the checkpoint or its config is missing or broken.
        DataError: the data set that it was trained on is not there.
    """
    config: TrainConfig = load_run_config(path.parent / CONFIG_FILE)
    hidden = still_masked({"model": asdict(config.model), "dataset": asdict(config.dataset)})
    if hidden:
        raise ConfigError(
            f"{path.parent / CONFIG_FILE} does not hold the secret {hidden[0]}, which the run was "
            f"given itself: train with '{hidden[0]}=${{oc.env:NAME}}', which is read again here"
        )
    target = choose_device(device, option="device")
    use_threads(config.training.threads, step_flops=None)
    splits = load_splits(config.dataset, config.seed, targets_of(config.task))
    task = build_task(config.task, splits, target)
    _, objective = metrics_of(config)
    model = build_model(config.model, splits.input_shape, task.outputs)
    load_weights(path, model)
    model.to(target)
    statistics = expected_statistics(config.model, splits)
    normalise = Normalise(statistics, target, config.training.memory_format)
    dtype = autocast_dtype(config.training.precision, target)
    return KeptModel(config, splits, model, task, objective, normalise, dtype)


@dataclass(frozen=True)
class CheckpointTest:
    """A kept model on its test split, or on other samples.

    Attributes:
        test: loss and metrics.
        objective: the metric that its run was selected by.
        reading: energy of the evaluation, after one warm-up batch.
        images: that the reading is of, several times the split where it is read again.
    """

    test: Evaluation
    objective: Metric
    reading: EnergyReading
    images: int


def evaluate_checkpoint(
    path: Path,
    meter: Meter,
    *,
    device: str = "auto",
    batch_size: int = 512,
    periods: int = 0,
    data: Path | None = None,
) -> CheckpointTest:
    """Evaluate the model of a checkpoint on its test split, or on `data`.

    Args:
        batch_size: samples per step. A model that is never put in evaluation mode
            (`training.evaluation_mode=false`) keeps the size of its run, on which its accuracy
            depends.
        periods: of the slowest counter, that the reading holds at least.
        data: as `read_samples` takes it.

    Raises:
        ConfigError: the checkpoint or its config is missing or broken.
        DataError: the samples cannot be read, or have no labels.
    """
    kept = load_kept_model(path, device)
    split: Split = kept.splits.test
    if data is not None:
        samples = kept.read(data)
        if samples.labels is None:
            raise DataError(
                f"data={data} has no labels to evaluate by: add them, or predict by src/predict.py"
            )
        split = TensorSplit(samples.inputs, samples.labels)
    split = split.to(kept.normalise.device)
    if not kept.config.training.evaluation_mode:
        batch_size = kept.config.training.evaluation_batch_size
    metrics, _ = metrics_of(kept.config)
    scores = Scores(metrics, kept.task.targets, kept.splits.classes)
    first = split.select(torch.arange(min(batch_size, len(split))))
    kept.evaluate(first, batch_size=batch_size)
    phases = Phases(meter, synchronize)
    phases.start()
    with phases.phase("test"):
        result = kept.evaluate(split, batch_size=batch_size, scores=scores)
    images = result.images
    while (reading := phases.of("test")).seconds < periods * reading.update_seconds:
        with phases.phase("test"):
            images += kept.evaluate(split, batch_size=batch_size).images
    phases.stop()
    return CheckpointTest(result, kept.objective, reading, images)
