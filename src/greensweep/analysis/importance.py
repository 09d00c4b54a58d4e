"""Which hyperparameters matter for energy, and which for the metric."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from greensweep.analysis.searches import Figures
from greensweep.errors import plural

_TREES = 100
_FOLDS = 3  # each in turn is held out of a forest
_REPEATS = 5  # shuffles of each fold
FEWEST = 10  # runs below which a forest has nothing to learn from
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

    if len(frame) < FEWEST:
        return None
    if len(frame) > _MOST:
        frame = frame.sample(_MOST, random_state=seed)
    design = np.column_stack([_ranks(frame[name]) for name in hyperparameters])
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


def _held_out_losses(forest: Any, design: Figures, figures: Figures, seed: int) -> Figures:
    """Return what shuffling each option costs on runs held out, in shares of the variance.

    Returns:
        Of shape (options, shuffles); means over the folds.
    """
    from sklearn.base import clone
    from sklearn.model_selection import KFold

    losses = np.zeros((design.shape[1], _REPEATS))
    for seen, unseen in KFold(_FOLDS, shuffle=True, random_state=seed).split(design):
        learned = clone(forest).set_params(oob_score=False).fit(design[seen], figures[seen])
        losses += shuffling_losses(learned, design[unseen], figures[unseen], seed)
    shares: Figures = losses / (_FOLDS * figures.var())
    return shares


def shuffling_losses(forest: Any, design: Figures, figures: Figures, seed: int) -> Figures:
    """Return by how much the squared error of a fitted forest grows when an option is shuffled.

    The figures of `sklearn.inspection.permutation_importance`, sooner: a forest takes nearly as
    long for the rows of one shuffle as for those of all.

    Args:
        design: of shape (runs, options).

    Returns:
        Of shape (options, shuffles).
    """
    orders = _shuffles(len(design), seed)
    known = np.mean((forest.predict(design) - figures) ** 2)
    losses = []
    for option in range(design.shape[1]):
        shuffled = np.tile(design, (_REPEATS, 1, 1))
        shuffled[:, :, option] = design[orders, option]
        predicted = forest.predict(np.concatenate(shuffled)).reshape(orders.shape)
        losses.append(np.mean((predicted - figures) ** 2, axis=1) - known)
    return np.array(losses)


def _shuffles(runs: int, seed: int) -> NDArray[np.intp]:
    """Return orders of the runs, of shape (shuffles, runs), as scikit-learn draws them."""
    draw = np.random.RandomState(np.random.RandomState(seed).randint(np.iinfo(np.int32).max + 1))
    moves, order, orders = np.arange(runs), np.arange(runs), []
    for _ in range(_REPEATS):
        draw.shuffle(moves)
        order = order[moves]
        orders.append(order)
    return np.array(orders)


def unused(frame: pd.DataFrame, names: Sequence[str]) -> list[str]:
    """Say of options that a user named why they have no importance, in one sentence each."""
    notes = []
    for name in dict.fromkeys(names):
        missing = int(frame[name].isna().sum())
        if missing:
            notes.append(
                f"No importance of {name}: it is missing in {missing} of "
                f"{plural(len(frame), 'run')}."
            )
        elif frame[name].astype(str).nunique() < 2:
            notes.append(f"No importance of {name}: it has one value in all runs.")
    return notes


def varying(frame: pd.DataFrame, names: Sequence[str]) -> list[str]:
    """Return the columns that have more than one value, and a value in every row."""
    return [
        name
        for name in dict.fromkeys(names)
        if frame[name].notna().all() and frame[name].astype(str).nunique() > 1
    ]


def _ranks(values: "pd.Series[Any]") -> Figures:
    """Return ranks: trees split them as they would the values, which may not be finite."""
    numbers = pd.to_numeric(values, errors="coerce")
    known = numbers if numbers.notna().all() else values.astype(str)
    return np.asarray(known.rank(method="dense"), dtype=np.float64)
