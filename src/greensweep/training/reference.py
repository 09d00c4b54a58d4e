"""A fixed piece of computing, the same on every machine and day: to warm up, and to compare by."""

import time
from itertools import pairwise

import torch

from greensweep.energy import synchronize

# A step takes some milliseconds: long beside a clock's tick, short beside what else may run.
_SIZE = {"cpu": 1024, "cuda": 4096}


class ReferenceJob:
    """Matrix products and sums, as training consists of; they never depend on the user's options.

    All is computed in the same memory. Memory that is freed after each step may be returned to the
    system and have to be mapped anew, by what the process did before: training steps took up to
    half as long again for that after two trials, on a machine that had not changed at all.
    """

    def __init__(self, device: torch.device) -> None:
        size = _SIZE.get(device.type, _SIZE["cuda"])
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self._factors = torch.randn(2, size, size).to(device)
        self._product = torch.empty_like(self._factors[0])
        self._sum = torch.empty_like(self._factors)

    def run(self, seconds: float) -> list[float]:
        """Compute for at least so long, and for one step at least; return the seconds of each."""
        edges = [time.perf_counter()]
        while len(edges) == 1 or edges[-1] - edges[0] < seconds:
            torch.mm(*self._factors, out=self._product)
            torch.add(self._factors, self._product, out=self._sum)
            synchronize()
            edges.append(time.perf_counter())
        return [after - before for before, after in pairwise(edges)]
