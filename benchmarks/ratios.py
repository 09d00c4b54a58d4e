"""Ratios of which some are infinite: a search that never reached its target."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def quantile(values: Sequence[float] | NDArray[np.float64], share: float) -> float:
    """Return a quantile, between two values the higher: the infinite have no middle."""
    return float(np.quantile(values, share, method="higher"))


def finite(value: float) -> float | None:
    """Return a ratio as JSON can hold it: None for an infinite one."""
    return value if np.isfinite(value) else None


def shown(value: float | None) -> str:
    """Return a ratio, as `finite` gives it, for a table."""
    if value is None:
        return "never"
    return f"{value:.3f}" if value < 0.1 else f"{value:.2f}"
