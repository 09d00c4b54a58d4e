"""Which hyperparameters matter for energy, and which for accuracy."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from greensweep.analysis.searches import Figures

_TREES = 100
_FOLDS = 3  # each in turn is held out of a forest
_REPEATS = 5  # shuffles of each fold
_FEWEST = 10  # runs below which a forest has nothing to learn from
_MOST = 1000  # runs that a forest learns from: more change nothing but its time


def importance(
    frame: pd.DataFrame, hyperparameters: Sequence[str], targets: Sequence[str], seed: int
) -> pd.DataFrame | None:
    """Return the permutation importance of hyperparameters under a random forest.

    Each figure is how much the squared error on runs that the forest has not seen grows when the
    option is shuffled (Breiman 2001), in shares of the variance, with its standard deviation over
    shuffles. Each third of the runs is held out in turn. Beside it stands the R² out of bag of a
    forest of all runs. None for fewer than 10 runs, and where the options explain nothing out of
    bag.

    Args:
        targets: columns that are explained, each by a forest of its own.
    """
    from sklearn.ensemble import RandomForestRegressor

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
        )
        r2_out_of_bag = forest.fit(design, figures).oob_score_
        if r2_out_of_bag <= 0:
            continue
        shuffles = _held_out_losses(forest, design, figures, seed)
        parts.append(
            pd.DataFrame(
                {
                    "target": target,
                    "hyperparameter": list(hyperparameters),
                    "importance": shuffles.mean(axis=1),
                    "deviation": shuffles.std(axis=1),
                    "r2_out_of_bag": r2_out_of_bag,
                }
            ).sort_values("importance", ascending=False)
        )
    return pd.concat(parts, ignore_index=True) if parts else None


def _held_out_losses(forest: Any, design: pd.DataFrame, figures: Figures, seed: int) -> Figures:
    """Return what shuffling each option costs on runs held out, in shares of the variance.

    Returns:
        Of shape (options, shuffles); means over the folds.
    """
    from sklearn.base import clone
    from sklearn.inspection import permutation_importance
    from sklearn.model_selection import KFold

    losses = np.zeros((design.shape[1], _REPEATS))
    for seen, unseen in KFold(_FOLDS, shuffle=True, random_state=seed).split(design):
        learned = clone(forest).set_params(oob_score=False)
        learned.fit(design.iloc[seen], figures[seen])
        losses += permutation_importance(
            learned,
            design.iloc[unseen],
            figures[unseen],
            scoring="neg_mean_squared_error",
            n_repeats=_REPEATS,
            random_state=seed,
        ).importances
    shares: Figures = losses / (_FOLDS * figures.var())
    return shares


def unused(frame: pd.DataFrame, names: Sequence[str]) -> list[str]:
    """Say of options that a user named why they have no importance, in one sentence each."""
    told = []
    for name in dict.fromkeys(names):
        missing = int(frame[name].isna().sum())
        if missing:
            told.append(
                f"No importance of {name}: it is missing in {missing} of {len(frame)} runs."
            )
        elif frame[name].astype(str).nunique() < 2:
            told.append(f"No importance of {name}: it has one value in all runs.")
    return told


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
