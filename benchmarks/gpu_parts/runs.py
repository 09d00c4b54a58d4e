"""Runs as users make them, on images that are made on the spot: no file, no network."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gpu_parts.session import Session
from greensweep.config.schema import (
    AdamConfig,
    ConstantConfig,
    InferenceConfig,
    PlainObjectiveConfig,
    TrainConfig,
    TrainingConfig,
)
from greensweep.config.schema_dataset import CustomDatasetConfig
from greensweep.config.schema_model import ModelConfig
from greensweep.config.schema_task import ClassificationConfig
from greensweep.config.schema_tracking import LocalConfig
from greensweep.energy import Meter, build_meter
from greensweep.record.result import RunResult
from greensweep.runs.once import run_once
from greensweep.tracking.tracker import MemoryTracker

_CLASSES, _SHAPE = 10, (3, 32, 32)
_HELD_OUT = 2000


def make_splits(images: int) -> Mapping[str, tuple[Tensor, Tensor]]:
    """Make images of ten classes: a pattern each, under noise."""
    generator = torch.Generator().manual_seed(0)
    patterns = torch.randint(64, 192, (_CLASSES, *_SHAPE), generator=generator)

    def split(count: int) -> tuple[Tensor, Tensor]:
        labels = torch.arange(count).remainder(_CLASSES)
        noise = torch.randint(-64, 64, (count, *_SHAPE), generator=generator)
        return (patterns[labels] + noise).to(torch.uint8), labels

    held_out = min(_HELD_OUT, images)
    return {"train": split(images), "validation": split(held_out), "test": split(held_out)}


def config_of(session: Session, model: ModelConfig, **training: Any) -> TrainConfig:
    """Return a run of `src/train.py`, with `energy=nvml_rapl` and no inference.

    Args:
        training: options of that group.
    """
    return TrainConfig(
        dataset=CustomDatasetConfig(
            name="noise",
            target="gpu_parts.runs.make_splits",
            kwargs={"images": session.plan.images},
        ),
        task=ClassificationConfig(),
        model=model,
        optimizer=AdamConfig(name="adam"),
        scheduler=ConstantConfig(),
        training=TrainingConfig(device=session.device.type, **training),
        inference=InferenceConfig(seconds=0.0),
        energy=session.energy(),
        tracking=LocalConfig(),
        objective=PlainObjectiveConfig(name="accuracy", direction="maximize"),
    )


def run(config: TrainConfig, folder: Path, meter: Meter | None = None) -> RunResult:
    """Run it once, in this process."""
    return run_once(
        config,
        folder,
        meter=meter or meter_of(config),
        tracker=MemoryTracker(),
        test=False,
    )


def meter_of(config: TrainConfig, sweep: Path | None = None) -> Meter:
    """Return its meter, as `src/train.py` builds it."""
    return build_meter(config.energy, sweep, device=config.training.device)
