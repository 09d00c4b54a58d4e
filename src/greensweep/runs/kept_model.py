"""A kept model, rebuilt from its weights and its run's options: to evaluate it, or to predict."""

from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import torch

from greensweep.config.metrics import Metric
from greensweep.config.schema import TrainConfig
from greensweep.config.store import load_run_config
from greensweep.data import Split, TensorSplit
from greensweep.energy import EnergyReading, Meter, Phases
from greensweep.errors import ConfigError, DataError
from greensweep.record.result import CONFIG_FILE
from greensweep.runs.checkpoint import load_weights, read_checkpoint
from greensweep.runs.network import Network, build_network
from greensweep.secrets.data import still_masked
from greensweep.training import Evaluation, choose_device, use_threads


def load_kept_model(path: Path, device: str = "auto") -> Network:
    """Rebuild the model of a checkpoint from the config beside it.

    Raises:
        ConfigError: the checkpoint or its config is missing or broken.
        DataError: the data set that it was trained on is not there.
    """
    weights = read_checkpoint(path)
    config: TrainConfig = load_run_config(path.parent / CONFIG_FILE)
    hidden = still_masked({"model": asdict(config.model), "dataset": asdict(config.dataset)})
    if hidden:
        raise ConfigError(
            f"{path.parent / CONFIG_FILE} does not hold the secret {hidden[0]}, which the run was "
            f"given itself: train with '{hidden[0]}=${{oc.env:NAME}}', which is read again here"
        )
    target = choose_device(device, option="device")
    use_threads(config.training.threads, step_flops=None)
    return build_network(config, target, partial(load_weights, weights, path))


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
    evaluate = partial(kept.evaluate, name="test", batch_size=batch_size)
    evaluate(split.select(torch.arange(min(batch_size, len(split)))), scored=False)
    phases = Phases(meter)
    phases.start()
    with phases.phase("test"):
        result = evaluate(split)
    images = result.images
    while (reading := phases.of("test")).seconds < periods * reading.update_seconds:
        with phases.phase("test"):
            images += evaluate(split, scored=False).images
    phases.stop()
    return CheckpointTest(result, kept.objective, reading, images)
