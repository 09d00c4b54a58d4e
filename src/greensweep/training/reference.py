"""A fixed piece of training, the same on every machine and day: to warm up, and to compare by."""

import time
from itertools import pairwise

import torch
from torch import nn

from greensweep.training.device import synchronize

_IMAGES, _CHANNELS, _SIZE, _CLASSES = 64, 3, 32, 10


class ReferenceJob:
    """Training steps of a small CNN on random images; they never depend on the user's options.

    Args:
        device: where to run them.
    """

    def __init__(self, device: torch.device) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self._images = torch.randn(_IMAGES, _CHANNELS, _SIZE, _SIZE).to(device)
            self._labels = (torch.arange(_IMAGES) % _CLASSES).to(device)
            self._model = nn.Sequential(
                nn.Conv2d(_CHANNELS, 32, 3, padding=1),
                nn.ReLU(),
                nn.MaxPool2d(2),
                nn.Conv2d(32, 64, 3, padding=1),
                nn.ReLU(),
                nn.MaxPool2d(2),
                nn.Flatten(),
                nn.Linear(64 * (_SIZE // 4) ** 2, _CLASSES),
            ).to(device)
        # No momentum: a step then costs the same whenever it is taken.
        self._update = torch.optim.SGD(self._model.parameters(), lr=1e-3)

    def run(self, seconds: float) -> list[float]:
        """Train for at least so long, and for one step at least; return the seconds of each."""
        edges = [time.perf_counter()]
        while len(edges) == 1 or edges[-1] - edges[0] < seconds:
            self._update.zero_grad(set_to_none=True)
            nn.functional.cross_entropy(self._model(self._images), self._labels).backward()
            self._update.step()
            synchronize()
            edges.append(time.perf_counter())
        return [after - before for before, after in pairwise(edges)]
