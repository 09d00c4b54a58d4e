"""Predicting by a kept model: src/predict.py."""

import logging
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from greensweep.app.door import checked
from greensweep.config import PredictConfig

if TYPE_CHECKING:
    import numpy as np

    from greensweep.runs.network import Network

log = logging.getLogger(__name__)


def predict(composed: DictConfig) -> None:
    """Write what a kept model predicts of samples: a row for each, under their names."""
    from greensweep.csv_files import write_rows
    from greensweep.files import write_whole
    from greensweep.runs.kept_model import load_kept_model

    config = checked(composed, PredictConfig)
    kept = load_kept_model(Path(config.checkpoint), config.device)
    samples = kept.read(Path(config.data))
    predictions = kept.predict(samples.inputs, batch_size=config.batch_size)
    columns = _columns(kept, predictions)
    rows = zip(samples.names, *columns.values(), strict=True)
    output = Path(config.output)
    output.parent.mkdir(parents=True, exist_ok=True)
    write_whole(output, partial(write_rows, [["sample", *columns], *rows]))
    log.info(f"{len(samples.names)} predictions: {config.output}")


def _columns(kept: "Network", predictions: "np.ndarray") -> dict[str, list[Any]]:
    """Return the columns of a table: the likeliest class or the labels, probabilities, values."""
    classes = kept.splits.classes
    if not classes:
        values = predictions.reshape(len(predictions), -1)
        names = ["prediction"] if values.shape[1] == 1 else None
        names = names or [f"prediction_{number}" for number in range(values.shape[1])]
        return {name: values[:, number].tolist() for number, name in enumerate(names)}
    probabilities = {
        f"probability_{name}": predictions[:, number].tolist()
        for number, name in enumerate(classes)
    }
    if kept.task.targets == "classes":
        return {"prediction": [classes[i] for i in predictions.argmax(axis=1)], **probabilities}
    decided = predictions >= 0.5
    labels = {name: decided[:, i].astype(int).tolist() for i, name in enumerate(classes)}
    return {**labels, **probabilities}
