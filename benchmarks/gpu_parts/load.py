"""A load of constant power: square matrices are multiplied, and each product is waited for."""

import time

import torch

from greensweep.energy import synchronize


class Load:
    """Keeps a device busy.

    Args:
        side: of the matrices.
    """

    def __init__(self, device: torch.device, side: int) -> None:
        self._matrix = torch.randn(side, side, device=device)

    def run(self, seconds: float) -> None:
        """Compute for that long."""
        until = time.perf_counter() + seconds
        while time.perf_counter() < until:
            self._matrix @ self._matrix
            synchronize()
