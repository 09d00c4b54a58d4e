"""Energy of layers with the architecture as the unit: its runs are no independent witnesses."""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from greensweep.analysis.table import ENERGY
from greensweep.errors import AnalysisError

# Columns of the tables here: a user's column may be called otherwise only.
RESERVED = ("number_of_runs", "layer_type", "share", "predicted_joules", "mean_of_others")

_ENOUGH_PER_CELL = 2  # architectures, for a cluster bootstrap to have anything to draw from


def architecture_means(frame: pd.DataFrame, unit: Sequence[str], keep: Sequence[str]) -> Any:
    """Return one row per architecture: the mean energy of its runs, and how many they are.

    Args:
        unit: columns that together name an architecture.
        keep: further columns, the same in all runs of an architecture.

    Raises:
        AnalysisError: a kept column varies within an architecture.
    """
    groups = frame.groupby(list(unit), sort=True)
    further = [name for name in keep if name not in unit]
    for name in further:
        varying = groups[name].nunique(dropna=False)
        if (varying > 1).any():
            where = varying[varying > 1].index[0]
            raise AnalysisError(
                f"{name} varies between runs of one architecture ({where}): add it to "
                "analysis.architecture"
            )
    columns = {name: (name, "first") for name in further}
    return groups.agg(
        **columns, energy_joules=(ENERGY, "mean"), number_of_runs=(ENERGY, "size")
    ).reset_index()


def joules_per_layer(means: pd.DataFrame, counts: Sequence[str], confidence: float) -> pd.DataFrame:
    """Return what one more layer of each type costs: a linear regression over architectures.

    Returns:
        For each count: joules of one more, the ends of the t interval, p-value, and the residual
        degrees of freedom that all of them rest on.

    Raises:
        AnalysisError: there are no more architectures than coefficients.
    """
    import statsmodels.api as sm

    freedom = len(means) - len(counts) - 1
    if freedom < 1:
        raise AnalysisError(
            f"{len(means)} architectures cannot tell {len(counts)} layer types apart: add "
            "architectures, or name fewer in analysis.factors"
        )
    design = sm.add_constant(means[list(counts)].to_numpy(float), has_constant="add")
    if np.linalg.matrix_rank(design) < design.shape[1]:
        raise AnalysisError(
            f"{', '.join(counts)} rise and fall together in these architectures: leave one out of "
            "analysis.factors"
        )
    fitted = sm.OLS(means[ENERGY].to_numpy(float), design).fit()
    interval = fitted.conf_int(alpha=1.0 - confidence)
    return pd.DataFrame(
        {
            "layer": list(counts),
            "joules_per_layer": fitted.params[1:],
            "low": interval[1:, 0],
            "high": interval[1:, 1],
            "p": fitted.pvalues[1:],
            "residual_df": freedom,
        }
    )


def mixed_model(
    frame: pd.DataFrame, unit: Sequence[str], counts: Sequence[str], confidence: float
) -> pd.DataFrame | None:
    """Return what one more layer costs by a mixed model; None where it does not converge.

    Fixed effects of the counts, and a random intercept for each architecture. Its intervals are
    those of the normal distribution, which are too narrow for few architectures.
    """
    from scipy.stats import norm
    from statsmodels.regression.mixed_linear_model import MixedLM

    counted = frame[list(counts)].to_numpy(float)
    design = np.column_stack([np.ones(len(frame)), counted])
    scale = float(frame[ENERGY].std()) or 1.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            groups = frame.groupby(list(unit)).ngroup()
            energy = frame[ENERGY].to_numpy(float) / scale
            fitted = MixedLM(energy, design, groups=groups.to_numpy()).fit(reml=True)
            errors = fitted.bse_fe
        except (np.linalg.LinAlgError, ValueError):
            return None
    if not fitted.converged or not np.isfinite(errors).all():
        return None
    z = float(norm.ppf(0.5 + confidence / 2.0))
    rows = []
    for place, name in enumerate(counts, start=1):
        middle, error = float(fitted.fe_params[place]), float(errors[place])
        rows.append(
            {
                "layer": name,
                "joules_per_layer": middle * scale,
                "low": (middle - z * error) * scale,
                "high": (middle + z * error) * scale,
                "p": float(fitted.pvalues[place]),
            }
        )
    return pd.DataFrame(rows)


def can_draw_clusters(means: pd.DataFrame, factors: Sequence[str]) -> bool:
    """Tell whether each cell of the design has several architectures to draw from."""
    return bool((means.groupby(list(factors)).size() >= _ENOUGH_PER_CELL).all())


def cluster_bootstrap(
    means: pd.DataFrame,
    factors: Sequence[str],
    counts: Sequence[str],
    resamples: int,
    confidence: float,
    seed: int,
) -> pd.DataFrame:
    """Return what one more layer costs, with intervals over architectures drawn in each cell."""
    generator = np.random.default_rng(seed)
    cells = [group.index.to_numpy() for _, group in means.groupby(list(factors))]
    design = np.column_stack([np.ones(len(means)), means[list(counts)].to_numpy(float)])
    energy = means[ENERGY].to_numpy(float)
    found = np.empty((resamples, len(counts)))
    for row in range(resamples):
        drawn = np.concatenate([generator.choice(cell, len(cell)) for cell in cells])
        found[row] = np.linalg.lstsq(design[drawn], energy[drawn], rcond=None)[0][1:]
    middle = np.linalg.lstsq(design, energy, rcond=None)[0][1:]
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(found, [tail, 1.0 - tail], axis=0)
    return pd.DataFrame(
        {"layer": list(counts), "joules_per_layer": middle, "low": low, "high": high}
    )


def predicted_energy(means: pd.DataFrame, features: Sequence[str]) -> pd.DataFrame:
    """Predict each architecture's energy from the others: leave one architecture out.

    A linear regression on the features, beside the mean of the others.

    Returns:
        For each architecture: its energy, the prediction, and that of the mean, in joules.
    """
    from sklearn.linear_model import LinearRegression
    from sklearn.model_selection import LeaveOneOut, cross_val_predict

    design = means[list(features)].to_numpy(float)
    scale = np.abs(design).max(axis=0)
    design = design / np.where(scale > 0, scale, 1.0)
    energy = means[ENERGY].to_numpy(float)
    predicted = cross_val_predict(LinearRegression(), design, energy, cv=LeaveOneOut())
    others = (energy.sum() - energy) / (len(energy) - 1)
    table = means.drop(columns=[ENERGY])
    return table.assign(energy_joules=energy, predicted_joules=predicted, mean_of_others=others)
