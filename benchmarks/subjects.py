"""The networks and images that are trained in the benchmarks."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Literal

import torch
from figures import Skipped
from loops import RawData
from torch import nn

from greensweep.config.schema import AdamConfig, ConstantConfig, TrainingConfig
from greensweep.config.schema_dataset import ImageFolderConfig
from greensweep.config.schema_model import ModelConfig, NamedModelConfig, SimpleCnnConfig
from greensweep.config.schema_task import ClassificationConfig
from greensweep.data import Splits, TensorSplit, load_splits
from greensweep.models import build_model
from greensweep.tasks import build_task
from greensweep.training import Normalise, Training, start_state

BATCH_SIZE = 512
SEED = 0


@dataclass(frozen=True)
class Subject:
    """A network, and the share of the images that one epoch of it trains on."""

    name: str
    model: ModelConfig
    share: float


SUBJECTS = (
    Subject("smallest CNN", SimpleCnnConfig(conv_layers=1, linear_layers=3, relu=False), share=0.5),
    Subject("largest CNN", SimpleCnnConfig(conv_layers=4, linear_layers=7, relu=True), share=0.25),
    Subject("resnet18", NamedModelConfig(name="resnet18", library="timm"), share=0.12),
)


def folder_splits(folder: Path) -> Splits:
    """Return the splits of a folder of images.

    Raises:
        Skipped: the folder is not here, or its images are too large for memory.
    """
    if not (folder / "train").is_dir():
        raise Skipped(f"no images at {folder}: name a folder with train/<class>/* by --images")
    splits = load_splits(ImageFolderConfig(root=str(folder), cache=None), SEED)
    if not isinstance(splits.train, TensorSplit):
        raise Skipped(f"the images of {folder} do not fit in memory")
    return splits


def training_part(splits: Splits, share: float, at_most: int) -> TensorSplit:
    """Return the first images of a shuffled training split, as tensors of their own."""
    count = min(max(1, int(share * len(splits.train))), at_most)
    order = torch.randperm(len(splits.train), generator=torch.Generator().manual_seed(SEED))
    part = splits.train.select(order[:count])
    assert isinstance(part, TensorSplit)
    return part


def raw_data(splits: Splits, part: TensorSplit) -> RawData:
    """Return the same tensors for a loop written by hand."""
    return RawData(part.inputs, part.labels, *splits.statistics)


def fresh_model(subject: Subject, splits: Splits) -> nn.Module:
    """Build a subject's network from the seed that Greensweep starts runs with."""
    start_state(SEED)
    return build_model(subject.model, splits.input_shape, splits.outputs)


def greensweep_epochs(
    subject: Subject,
    splits: Splits,
    part: TensorSplit,
    epochs: int,
    *,
    precision: Literal["float32", "bfloat16"] = "float32",
    memory_format: Literal["contiguous", "channels_last"] = "contiguous",
) -> Iterator[float]:
    """Train as `run_once` does, and yield the seconds of each epoch."""
    device = torch.device("cpu")
    model = fresh_model(subject, splits).to(device)
    normalise = Normalise(splits.statistics, device, memory_format)
    if memory_format == "channels_last":
        model = model.to(memory_format=normalise.layout)
    trained = Training(
        model,
        part,
        normalise,
        build_task(ClassificationConfig(), splits, device),
        training=TrainingConfig(
            epochs=epochs,
            batch_size=min(BATCH_SIZE, len(part)),
            precision=precision,
            memory_format=memory_format,
        ),
        optimizer=AdamConfig(name="adam"),
        scheduler=ConstantConfig(),
        seed=SEED,
    )
    steps = iter(trained)
    while True:
        began = perf_counter()
        if next(steps, None) is None:
            return
        yield perf_counter() - began
