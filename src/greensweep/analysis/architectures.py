"""Energy of layers with the architecture as the unit: its runs are not independent observations."""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from greensweep.analysis.searches import Figures
from greensweep.errors import AnalysisError
from greensweep.intervals import FEWEST_REPEATS
from greensweep.sources.table import ENERGY

# Columns of the tables here: a user's column may be called otherwise only.
RESERVED = ("number_of_runs", "layer_type", "share", "predicted_joules", "mean_of_others")

_TOLERANCE = 1e-8  # of ranks: columns that differ by less are taken for rounding
# Variances between architectures that a likelihood is looked up at, in units of that within.
_NONE, _SOME = 1e-8, tuple(np.geomspace(1e-4, 1e4, 9))


def separable_factors(counts: pd.DataFrame) -> tuple[list[str], dict[tuple[str, ...], list[str]]]:
    """Choose columns whose effects, level by level, can be separated; earlier ones first.

    Args:
        counts: one column per factor, in the order of preference, without missing values.

    Returns:
        The chosen columns, and which of them stand for which of the others, that vary with them.
    """
    rows = counts.drop_duplicates()
    kept: list[str] = []
    stand_for: dict[tuple[str, ...], list[str]] = {}
    for name in map(str, rows.columns):
        if _has_full_rank(_levels(rows, [*kept, name])):
            kept.append(name)
            continue
        alone = [each for each in kept if _go_together(rows[each], rows[name])]
        stand_for.setdefault(tuple(alone[:1] or kept), []).append(name)
    return kept, stand_for


def with_sizes(
    frame: pd.DataFrame, unit: Sequence[str], factors: Sequence[str], sizes: Sequence[str]
) -> list[str]:
    """Return the factors, and the sizes of architectures that a regression can separate from them.

    A size has to be there for all runs and the same in all runs of an architecture, and each
    column takes one more architecture than there are coefficients.
    """
    features = list(factors)
    groups = frame.groupby(list(unit))
    means = groups.first().reset_index()
    for name in sizes:
        usable = (
            name in frame
            and name not in features
            and bool(frame[name].notna().all())
            and bool((groups[name].nunique() == 1).all())
            and len(means) > len(features) + 3
        )
        if usable and _has_full_rank(means[[*features, name]].to_numpy(float)):
            features.append(name)
    return features


def _go_together(one: "pd.Series[Any]", other: "pd.Series[Any]") -> bool:
    """Tell whether either column's value says what the other's is."""
    pairs = len(set(zip(one, other, strict=True)))
    return pairs == one.nunique() == other.nunique()


def _levels(rows: pd.DataFrame, names: Sequence[str]) -> Figures:
    return pd.get_dummies(rows[list(names)].astype(str), drop_first=True).to_numpy(float)


def _has_full_rank(columns: Figures) -> bool:
    """Tell whether no column is a linear combination of the others and a constant."""
    centred = columns - columns.mean(axis=0)
    spread = centred.std(axis=0)
    if not (spread > 0).all():
        return False
    return bool(np.linalg.matrix_rank(centred / spread, tol=_TOLERANCE) == columns.shape[1])


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
        degrees of freedom that all of them rest on. The ends are missing where that is one: such
        an interval is 13 standard errors wide to either side.

    Raises:
        AnalysisError: there are no more architectures than coefficients.
    """
    from statsmodels.regression.linear_model import OLS

    freedom = len(means) - len(counts) - 1
    if freedom < 1:
        raise AnalysisError(
            f"{len(means)} architectures cannot separate {len(counts)} layer types: add "
            "architectures, or name fewer in analysis.factors"
        )
    design = _design(means, counts)
    if np.linalg.matrix_rank(design) < design.shape[1]:
        raise AnalysisError(
            f"{', '.join(counts)} rise and fall together in these architectures: leave one out of "
            "analysis.factors"
        )
    fitted = OLS(means[ENERGY].to_numpy(float), design).fit()
    interval = np.full((len(counts) + 1, 2), np.nan)
    if freedom >= FEWEST_REPEATS - 1:
        interval = fitted.conf_int(alpha=1.0 - confidence)
    table = _per_layer(counts, fitted.params, *interval.T)
    return table.assign(p=fitted.pvalues[1:], residual_df=freedom)


def _design(frame: pd.DataFrame, counts: Sequence[str]) -> Figures:
    """Return a constant and the counts, of shape (rows, 1 + counts)."""
    return np.column_stack([np.ones(len(frame)), frame[list(counts)].to_numpy(float)])


def _per_layer(counts: Sequence[str], *found: Figures) -> pd.DataFrame:
    """Return coefficients, and the ends of their intervals, of a constant and these counts."""
    columns = zip(("joules_per_layer", "low", "high"), found, strict=True)
    return pd.DataFrame({"layer": list(counts), **{name: each[1:] for name, each in columns}})


def mixed_model(
    frame: pd.DataFrame, unit: Sequence[str], counts: Sequence[str], confidence: float
) -> pd.DataFrame | None:
    """Return what one more layer costs by a mixed model; None where it does not converge.

    Fixed effects of the counts, and a random intercept for each architecture, by REML. Its
    intervals are those of the normal distribution, which are too narrow for few architectures.

    Returns:
        For each count: joules of one more, the ends of the interval and the p-value; and the
        deviation of the random intercept, in joules, which is 0 where architectures differ by no
        more than their runs do: the figures are those of a regression over runs then.
    """
    from scipy.stats import norm
    from statsmodels.regression.linear_model import OLS
    from statsmodels.regression.mixed_linear_model import MixedLM

    design = _design(frame, counts)
    scale = float(frame[ENERGY].std()) or 1.0
    energy = frame[ENERGY].to_numpy(float) / scale
    groups = frame.groupby(list(unit)).ngroup().to_numpy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            model = MixedLM(energy, design, groups=groups)
            fitted = model.fit(reml=True)
            if _is_most_likely_without_variance(model):
                pooled = OLS(energy, design).fit()
                middles, errors, deviation = pooled.params, pooled.bse, 0.0
            elif fitted.converged:
                middles, errors = fitted.fe_params, fitted.bse_fe
                deviation = float(np.sqrt(fitted.cov_re[0, 0]))
            else:
                return None
        except (np.linalg.LinAlgError, ValueError):
            return None
        if not np.isfinite(errors).all():
            return None
        p_values = 2.0 * norm.sf(np.abs(middles / errors))
    half = float(norm.ppf(0.5 + confidence / 2.0)) * errors
    ends = (scale * each for each in (middles, middles - half, middles + half))
    table = _per_layer(counts, *ends).assign(p=p_values[1:])
    return table.assign(architecture_deviation_joules=deviation * scale)


def _is_most_likely_without_variance(model: Any) -> bool:
    """Tell whether a fitted model's REML estimate of the variance between groups is 0.

    The optimiser of statsmodels ends before that edge of what is possible, and may take it for a
    failure to converge.
    """
    from statsmodels.regression.mixed_linear_model import MixedLMParams

    def likelihood(variance: float) -> float:
        start = np.zeros(model.k_fe)
        params = MixedLMParams.from_components(fe_params=start, cov_re=np.array([[variance]]))
        return float(model.loglike(params, profile_fe=True))

    return likelihood(_NONE) >= max(likelihood(each) for each in _SOME)


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
    design, energy = _design(means, counts), means[ENERGY].to_numpy(float)

    def fitted(rows: Any = slice(None)) -> Any:
        return np.linalg.lstsq(design[rows], energy[rows], rcond=None)[0]

    draws = [
        fitted(np.concatenate([generator.choice(cell, len(cell)) for cell in cells]))
        for _ in range(resamples)
    ]
    tail = (1.0 - confidence) / 2.0
    return _per_layer(counts, fitted(), *np.quantile(draws, [tail, 1.0 - tail], axis=0))


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
