"""The metrics of a split, computed from its targets and predictions."""

import logging
import math
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pkgutil import resolve_name
from typing import Any

import numpy as np

from greensweep.config.metrics import METRICS, Metric, Targets, unfit
from greensweep.errors import ConfigError, describe
from greensweep.imports import import_target

log = logging.getLogger(__name__)

_COUNTED = METRICS["accuracy"]  # where the network computes
_DECISION = 0.5  # of a label's probability

# What scikit-learn warns of beside UndefinedMetricWarning where it returns a figure for none.
_UNDEFINED = "No positive class found in y_true"


class Scores:
    """Computes metrics; one that is undefined is None, with one warning.

    Args:
        targets: kind of the task's targets.
        classes: names of classes or labels.

    Raises:
        ConfigError: a function cannot be imported, or is not for such targets.
    """

    def __init__(
        self, metrics: Sequence[Metric], targets: Targets, classes: Sequence[str] = ()
    ) -> None:
        self.metrics = tuple(metrics)
        self._told: set[tuple[str, str]] = set()
        self._targets = targets
        self._classes = classes
        if faults := [fault for each in metrics if (fault := unfit(each, targets))]:
            raise ConfigError("; ".join(faults))
        self._functions = {each.name: _function(each) for each in metrics if each != _COUNTED}

    @property
    def need_predictions(self) -> bool:
        """Whether any of them asks for more than how many predictions are right."""
        return bool(self._functions)

    def compute(
        self,
        targets: np.ndarray | None,
        predictions: np.ndarray | None,
        *,
        accuracy: float | None,
        split: str,
    ) -> dict[str, float | None]:
        """Return the figures by name, `NAME/CLASS` of those that have one for each class.

        Args:
            targets, predictions: of a whole split, as the task reads and predicts them; None where
                none are needed.
            accuracy: as it is known already.
            split: its name, for messages.
        """
        figures: dict[str, float | None] = {}
        for metric in self.metrics:
            if metric == _COUNTED:
                figures[metric.name] = accuracy
                continue
            assert targets is not None and predictions is not None
            figures |= self._figures(metric, self._given(metric, targets, predictions), split)
        return figures

    def _given(
        self, metric: Metric, targets: np.ndarray, predictions: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return targets and predictions in the form that a metric takes."""
        is_labels = self._targets == "labels"
        if metric.given == "decisions":
            decided = predictions >= _DECISION if is_labels else predictions.argmax(axis=1)
            return targets.astype(np.int64), decided.astype(np.int64)
        if metric.given == "probabilities" and not is_labels:
            if predictions.shape[1] == 2:
                return targets, predictions[:, 1]
            return np.eye(predictions.shape[1], dtype=np.int64)[targets], predictions
        return targets, predictions

    def _figures(
        self, metric: Metric, given: tuple[np.ndarray, np.ndarray], split: str
    ) -> dict[str, float | None]:
        from sklearn.exceptions import UndefinedMetricWarning

        names, arguments = None, dict(metric.arguments)
        if metric.per_class:
            names = [f"{metric.name}/{each}" for each in self._classes]
            arguments["labels"] = range(len(names))
        try:
            with warnings.catch_warnings(action="ignore"):
                # scikit-learn is to raise where it would warn, and return a figure of nothing.
                warnings.simplefilter("error", UndefinedMetricWarning)
                warnings.filterwarnings("error", message=_UNDEFINED)
                found = self._functions[metric.name](*given, **arguments)
            values = [float(each) for each in (found if names else [found])]
        except Exception as error:
            self._tell(metric, split, describe(error))
            return dict.fromkeys(names or [metric.name])
        if not names and not math.isfinite(values[0]):
            self._tell(metric, split, f"it is {values[0]:g}")
        finite = [value if math.isfinite(value) else None for value in values]
        return dict(zip(names or [metric.name], finite, strict=True))

    def _tell(self, metric: Metric, split: str, reason: str) -> None:
        if (metric.name, split) not in self._told:
            self._told.add((metric.name, split))
            log.warning(
                f"{metric.name} is undefined on the {split} split ({reason}): it is null there."
            )


def _function(metric: Metric) -> Callable[..., Any]:
    # What is known is not looked for in the user's folder, as what is the user's own is.
    is_known = METRICS.get(metric.name) == metric
    find = resolve_name if is_known else partial(import_target, "metrics")
    found: Callable[..., Any] = find(metric.function)
    return found
