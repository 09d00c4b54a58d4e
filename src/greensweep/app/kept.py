"""What a kept model is good for: src/evaluate.py, which tests it, and src/predict.py."""

import logging
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from greensweep.app.compose import checked, written_to
from greensweep.config.schema import EvaluateConfig, PredictConfig
from greensweep.errors import plural

if TYPE_CHECKING:
    import numpy as np

    from greensweep.runs.network import Network

log = logging.getLogger(__name__)


def evaluate(composed: DictConfig) -> float | None:
    """Test a kept model and print its metrics and the energy of testing it.

    Returns the metric that its run was selected by.
    """
    from greensweep.config.metrics import metric_called
    from greensweep.energy import build_meter
    from greensweep.energy.uncertainty import INFERENCE_PERIODS
    from greensweep.energy.units import duration_text, energy_text
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
        f"test {named} on {plural(tested.test.images, 'sample')}, inference "
        f"{energy_text(per_thousand, uncertainty)} per 1000 samples ({reading.quality}), "
        f"{duration_text(1000 * reading.seconds / images)} per 1000 samples"
    )
    components = {name: part.source for name, part in reading.components.items()}
    if trust := trust_sentence(components, reading.quality, reading.constant_share):
        log.info(trust)
    return reached[tested.objective.name]


def predict(composed: DictConfig) -> None:
    """Write what a kept model predicts of samples: a row for each, under their names."""
    from greensweep.csv_files.cells import write_rows
    from greensweep.files import write_whole
    from greensweep.runs.kept_model import load_kept_model

    config = checked(composed, PredictConfig)
    kept = load_kept_model(Path(config.checkpoint), config.device)
    samples = kept.read(Path(config.data))
    predictions = kept.predict(samples.inputs, batch_size=config.batch_size)
    columns = _columns(kept, predictions)
    rows = zip(samples.names, *columns.values(), strict=True)
    output = Path(config.output)
    with written_to(config.output):
        output.parent.mkdir(parents=True, exist_ok=True)
        write_whole(output, partial(write_rows, [["sample", *columns], *rows]))
    log.info(f"{plural(len(samples.names), 'prediction')}: {config.output}")


def _columns(kept: "Network", predictions: "np.ndarray") -> dict[str, list[Any]]:
    """Return the columns of a table: the likeliest class or the labels, probabilities, values."""
    classes = kept.splits.classes
    if not classes:
        values = predictions.reshape(len(predictions), -1).T.tolist()
        if len(values) == 1:
            return {"prediction": values[0]}
        return {f"prediction_{number}": column for number, column in enumerate(values)}
    probabilities = {
        f"probability_{name}": column
        for name, column in zip(classes, predictions.T.tolist(), strict=True)
    }
    if kept.task.targets == "classes":
        return {"prediction": [classes[i] for i in predictions.argmax(axis=1)], **probabilities}
    decided = (predictions >= 0.5).astype(int).T.tolist()
    return {**dict(zip(classes, decided, strict=True)), **probabilities}
