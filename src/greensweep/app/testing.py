"""Testing a kept model: src/evaluate.py."""

import logging
from pathlib import Path

from omegaconf import DictConfig

from greensweep.app.door import checked
from greensweep.config import EvaluateConfig

log = logging.getLogger(__name__)


def evaluate(composed: DictConfig) -> float:
    """Test a kept model and print its accuracy and the energy of testing it."""
    from greensweep.checkpoint import test_checkpoint
    from greensweep.energy import build_meter
    from greensweep.energy.units import joules_text
    from greensweep.study.text import trust_sentence
    from greensweep.training import device_asked_for

    config = checked(composed, EvaluateConfig)
    tested = test_checkpoint(
        Path(config.checkpoint),
        build_meter(config.energy, device=device_asked_for(config.device)),
        device=config.device,
        batch_size=config.batch_size,
    )
    reading, images = tested.reading, tested.test.images
    per_thousand = None if reading.joules is None else 1000 * reading.joules / images
    log.info(
        f"test accuracy {tested.test.accuracy:.4f} on {images} images, inference "
        f"{joules_text(per_thousand)} per 1000 images ({reading.quality}), "
        f"{1000 * reading.seconds / images:.3g} s per 1000 images"
    )
    components = {name: part.source for name, part in reading.components.items()}
    trust = trust_sentence(components, reading.quality, reading.constant_share)
    if trust:
        log.info(trust)
    return tested.test.accuracy
