"""The weights of the epoch that is kept."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from greensweep.config import Metric
from greensweep.runs.checkpoint import copy_weights, restore_weights


class KeptWeights:
    """The weights of the best epoch, or of the last, on the CPU.

    Args:
        metric: by which an epoch is better than another.

    Attributes:
        weights: to restore.
        best_epoch: the first of the best ones, from 1; 0 before any.

    Raises:
        ModelError: the weights cannot be kept and put back, which nothing was trained for yet.
    """

    def __init__(self, model: nn.Module, metric: Metric, *, keep_last: bool) -> None:
        self._model, self._metric, self._keep_last = model, metric, keep_last
        self._best: float | None = None
        self.best_epoch = 0
        self.weights: Mapping[str, Any] = copy_weights(model, into=None)
        self.restore()

    def keep(self, epoch: int, value: float | None) -> bool:
        """Keep the weights as they stand, where they are the better ones; return whether they are.

        Args:
            value: the metric after the epoch; None where it is undefined.
        """
        is_better = self._metric.is_better(value, self._best)
        if is_better:
            self._best, self.best_epoch = value, epoch
        if is_better or self._keep_last:
            self.weights = copy_weights(self._model, into=self.weights)
            return True
        return False

    def restore(self) -> None:
        """Put the kept weights back into the model."""
        restore_weights(self._model, self.weights)

    def state(self) -> dict[str, Any]:
        """Return what `resume` takes."""
        return {"weights": dict(self.weights), "best": self._best, "best_epoch": self.best_epoch}

    def resume(self, state: Mapping[str, Any]) -> None:
        """Go on from a state that was kept."""
        self.weights = state["weights"]
        self._best, self.best_epoch = state["best"], state["best_epoch"]
