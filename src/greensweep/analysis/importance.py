"""Which hyperparameters matter for energy, and which for accuracy."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

_TREES = 100
_REPEATS = 10
_FEWEST = 10  # runs below which a forest has nothing to learn from
_MOST = 2000  # runs that a forest learns from: more change nothing but its time


def importance(
    frame: pd.DataFrame, hyperparameters: Sequence[str], targets: Sequence[str], seed: int
) -> pd.DataFrame | None:
    """Return the permutation importance of hyperparameters under a random forest.

    Each figure is how much of the explained variance (out of bag) is lost by shuffling the option
    (Breiman 2001), in shares of the variance; with its standard deviation over shuffles, and the
    R² out of bag on which it rests. None for fewer than 10 runs, and where the options explain
    nothing out of bag.

    Args:
        targets: columns that are explained, each by a forest of its own.
    """
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.inspection import permutation_importance

    if len(frame) < _FEWEST:
        return None
    if len(frame) > _MOST:
        frame = frame.sample(_MOST, random_state=seed)
    design = pd.DataFrame({name: _numbers(frame[name]) for name in hyperparameters})
    parts = []
    for target in targets:
        figures = frame[target].to_numpy(float)
        if np.ptp(figures) == 0:
            continue
        forest = RandomForestRegressor(
            _TREES, oob_score=True, min_samples_leaf=2, random_state=seed, n_jobs=1
        ).fit(design, figures)
        if forest.oob_score_ <= 0:
            continue
        found = permutation_importance(
            forest, design, figures, n_repeats=_REPEATS, random_state=seed
        )
        parts.append(
            pd.DataFrame(
                {
                    "target": target,
                    "hyperparameter": list(hyperparameters),
                    "importance": found.importances_mean,
                    "deviation": found.importances_std,
                    "r2_out_of_bag": forest.oob_score_,
                }
            ).sort_values("importance", ascending=False)
        )
    return pd.concat(parts, ignore_index=True) if parts else None


def varying(frame: pd.DataFrame, names: Sequence[str]) -> list[str]:
    """Return the columns that have more than one value, and a value in every row."""
    return [
        name
        for name in dict.fromkeys(names)
        if frame[name].notna().all() and frame[name].astype(str).nunique() > 1
    ]


def _numbers(values: "pd.Series[float]") -> "pd.Series[float]":
    """Return ranks: trees split them as they would the values, which may not be finite."""
    numbers = pd.to_numeric(values, errors="coerce")
    known = numbers if numbers.notna().all() else values.astype(str)
    return known.rank(method="dense")
