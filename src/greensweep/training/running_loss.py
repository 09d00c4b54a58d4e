"""The loss of an epoch, summed where it is computed."""

import math

import torch
from torch import Tensor

from greensweep.errors import DataError, TrainingError


class RunningLoss:
    """Sums the losses of an epoch's batches on their device, and looks at the sum now and then."""

    def __init__(self, epoch: int, device: torch.device) -> None:
        self._epoch = epoch
        self._images = 0
        self._total = torch.zeros((), dtype=torch.float64, device=device)
        if device.type == "cuda":
            self._copy = torch.zeros((), dtype=torch.float64, pin_memory=True)
            # Whoever waits for such an event sleeps; other waits keep a CPU core busy.
            self._copied = torch.cuda.Event(blocking=True)

    def add(self, loss: Tensor, images: int) -> None:
        """Add the mean loss over so many images."""
        self._total.add_(loss, alpha=images)
        self._images += images

    def look(self) -> None:
        """See whether the sum is still finite: of a GPU's, what had come by the last look.

        A GPU is not waited for.

        Raises:
            TrainingError: it is not.
        """
        if not self._total.is_cuda:
            self._refuse_unless_finite(self._total)
        elif self._copied.query():
            self._refuse_unless_finite(self._copy)
            self._copy.copy_(self._total, non_blocking=True)
            self._copied.record()

    def mean(self) -> float:
        """Return the mean over all images, nats.

        Raises:
            DataError: there was none.
            TrainingError: it is not finite.
        """
        if self._images == 0:
            raise DataError("no training image could be read: check the data set's files")
        if self._total.is_cuda:
            self._copied.record()
            self._copied.synchronize()
        return self._refuse_unless_finite(self._total) / self._images

    def _refuse_unless_finite(self, total: Tensor) -> float:
        value = total.item()
        if not math.isfinite(value):
            raise TrainingError(
                f"the training loss became {value:g} in epoch {self._epoch}: "
                "set a smaller optimizer.learning_rate"
            )
        return value
