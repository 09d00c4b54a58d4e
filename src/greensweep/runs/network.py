"""A network on a device with all that it is used by: its data, its task, its metrics."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from greensweep.config.metrics import Metric
from greensweep.config.schema import TrainConfig
from greensweep.data import Split, Splits, load_splits
from greensweep.data.new_samples import Samples, read_samples
from greensweep.models import build_model
from greensweep.models.libraries import expected_statistics
from greensweep.tasks import Scores, Task, build_task, targets_of
from greensweep.training import Evaluation, Normalise, autocast_dtype, evaluate, predict


@dataclass(frozen=True)
class Network:
    """A network on a device, in training or kept.

    Attributes:
        splits: of the data set, on the CPU.
        task: what is learnt.
        scores: computes the metrics of a split.
        objective: the metric by which epochs are chosen.
        normalise: prepares batches, on the device.
        dtype: of autocast; None computes in float32.
    """

    config: TrainConfig
    splits: Splits
    model: nn.Module
    task: Task
    scores: Scores
    objective: Metric
    normalise: Normalise
    dtype: torch.dtype | None

    def evaluate(
        self, split: Split, name: str, *, batch_size: int | None = None, scored: bool = True
    ) -> Evaluation:
        """Evaluate the network as it stands.

        Args:
            name: of the split, for messages.
            batch_size: None is the run's own.
            scored: compute metrics too.

        Raises:
            DataError: none of the samples could be read.
            TrainingError: the outputs are not finite, memory ran out, or the model failed.
        """
        return evaluate(
            self.model,
            split.to(self.normalise.device),
            self.normalise,
            self.task,
            scores=self.scores if scored else None,
            name=name,
            batch_size=batch_size or self.config.training.evaluation_batch_size,
            dtype=self.dtype,
            evaluation_mode=self.config.training.evaluation_mode,
        )

    def read(self, data: Path) -> Samples:
        """Read other samples than those of the network's own data set.

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
            self.model, inputs, self.normalise, self.task, batch_size=batch_size, dtype=self.dtype
        )


def build_network(
    config: TrainConfig, device: torch.device, prepare: Callable[[nn.Module], None]
) -> Network:
    """Read a run's data and build its network.

    Args:
        prepare: gives the model its weights, before it goes to the device.

    Raises:
        DataError: the data cannot be read.
        ModelError: the network cannot be built.
        ConfigError: the task or a metric cannot be had.
    """
    training = config.training
    splits = load_splits(config.dataset, config.seed, targets_of(config.task))
    task = build_task(config.task, splits, device, label_smoothing=training.label_smoothing)
    metrics, objective = config.chosen_metrics()
    model = build_model(config.model, splits.input_shape, task.outputs)
    prepare(model)
    return Network(
        config,
        splits,
        model.to(device),
        task,
        Scores(metrics, task.targets, splits.classes),
        objective,
        Normalise(expected_statistics(config.model, splits), device, training.memory_format),
        autocast_dtype(training.precision, device),
    )
