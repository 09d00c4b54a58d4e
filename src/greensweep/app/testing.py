"""Testing a kept model: src/evaluate.py."""

import logging
from pathlib import Path

from omegaconf import DictConfig

from greensweep.app.door import checked
from greensweep.config import EvaluateConfig

log = logging.getLogger(__name__)


def evaluate(composed: DictConfig) -> float | None:
    """Test a kept model and print its metrics and the energy of testing it.

    Returns the metric that its run was selected by.
    """
    from greensweep.config.metrics import metric_called
    from greensweep.energy import build_meter
    from greensweep.energy.uncertainty import INFERENCE_PERIODS
    from greensweep.energy.units import energy_text
    from greensweep.runs.kept_model import evaluate_checkpoint
    from greensweep.study.sentences import trust_sentence
    from greensweep.training import device_asked_for

    config = checked(composed, EvaluateConfig)
    tested = evaluate_checkpoint(
        Path(config.checkpoint),
        build_meter(config.energy, device=device_asked_for(config.device)),
        device=config.device,
        data=None if config.data is None else Path(config.data),
        batch_size=config.batch_size,
        periods=INFERENCE_PERIODS,
    )
    reading, images = tested.reading, tested.images
    per_thousand, uncertainty = (
        None if joules is None else 1000 * joules / images
        for joules in (reading.joules, reading.uncertainty_joules)
    )
    reached = {"accuracy": tested.test.accuracy, **tested.test.metrics}
    named = ", ".join(
        f"{metric.label} {metric.text(value)}"
        for name, value in reached.items()
        if value is not None and (metric := metric_called(name, "maximize"))
    )
    log.info(
        f"test {named} on {tested.test.images} samples, inference "
        f"{energy_text(per_thousand, uncertainty)} per 1000 samples ({reading.quality}), "
        f"{1000 * reading.seconds / images:.3g} s per 1000 samples"
    )
    components = {name: part.source for name, part in reading.components.items()}
    trust = trust_sentence(components, reading.quality, reading.constant_share)
    if trust:
        log.info(trust)
    return reached[tested.objective.name]
