"""Which layers use the energy."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from greensweep.analysis.anova import (
    assumptions,
    factorial_anova,
    kruskal_wallis,
    post_hoc,
    quantiles,
)
from greensweep.analysis.architectures import (
    RESERVED,
    architecture_means,
    cluster_bootstrap,
    joules_per_layer,
    mixed_model,
    predicted_energy,
    with_sizes,
)
from greensweep.analysis.layer_factors import SIZES, with_factors
from greensweep.analysis.result import Result
from greensweep.config.schema_analysis import LayersConfig
from greensweep.decision.sentences import percent_text
from greensweep.energy.units import energy_span_text, joules_text
from greensweep.errors import AnalysisError, plural
from greensweep.sources.table import ENERGY, RunTable

_ROUNDING = 1e-9
_MOST = 1e30  # of a factor or feature: the squares of larger ones may overflow


def explain_layers(runs: RunTable, config: LayersConfig) -> Result:
    """Tell which layers use the energy: by runs, as the paper did, and by architectures.

    The paper's ANOVA (Yarally et al. 2023, RQ2) takes each run for an independent
    observation. Runs of one architecture are not: beside it stands everything that the
    architectures themselves say.

    Raises:
        AnalysisError: the design cannot be analysed; the message names the factor or cell at fault.
    """
    config, stand_ins = with_factors(runs, config)
    factors, architecture, features = (
        _named(runs, config, option) for option in ("factors", "architecture", "features")
    )
    frame, left_out = _complete(runs, {*factors, *architecture, *features})
    unit = architecture or factors
    numeric = [name for name in factors if pd.api.types.is_numeric_dtype(frame[name])]
    if not features:
        features = with_sizes(frame, unit, factors, SIZES) if numeric == factors else factors
    order = min(config.order or len(factors), len(factors))
    by_runs = factorial_anova(frame, ENERGY, factors, order)
    means = architecture_means(frame, unit, [*factors, *features])
    tables = {
        "anova": by_runs,
        "post_hoc": post_hoc(frame, ENERGY, factors, config.confidence),
        "kruskal_wallis": kruskal_wallis(frame, ENERGY, factors),
        "quantiles": quantiles(frame, ENERGY, factors),
        "architectures": means,
    }
    notes = ["Levene's test is the one by medians (Brown and Forsythe)."]
    warnings = list(runs.warnings)
    if len(means) < len(frame):
        warnings.append(
            f"the p-values over runs treat {len(frame)} runs as independent, but only the "
            f"{len(means)} architectures are: go by the figures over architectures"
        )
    figures: dict[str, object] = {
        "runs": len(frame),
        "architectures": len(means),
        **assumptions(frame, ENERGY, factors, config.seed),
    }
    attributed = _attributed(frame, unit)
    if attributed is not None:
        tables["attributed"] = attributed
        notes.append(
            "Attributed energy is the training energy shared out by the time that layers took."
        )
    answers = [_by_runs(by_runs)]
    freedom = len(means) - 1 - sum(means[name].nunique() - 1 for name in factors)
    if freedom > 0:
        tables["anova_architectures"] = factorial_anova(means, ENERGY, factors, 1)
        figures["architecture_residual_df"] = float(freedom)
        notes.append(
            f"Over architectures, main effects only: {len(means)} means leave "
            f"{plural(freedom, 'residual degree')} of freedom."
        )
    else:
        notes.append(
            f"No test with architectures as the unit: {len(means)} of them leave no residual "
            f"beside the levels of {', '.join(factors)}."
        )
    if numeric and len(means) > len(numeric) + 1:
        per_layer = joules_per_layer(means, numeric, config.confidence)
        tables["joules_per_layer"] = per_layer
        answers.insert(0, _by_architectures(per_layer, len(means)))
        mixed = mixed_model(frame, unit, numeric, config.confidence)
        if mixed is None:
            notes.append("The mixed model with architecture as random effect does not converge.")
        else:
            tables["mixed_model"] = mixed
            if not mixed["architecture_deviation_joules"].any():
                notes.append(
                    "The mixed model finds a variance of 0 between architectures: its figures are "
                    "those of a regression over runs."
                )
            notes.append(
                "The mixed model's intervals are those of the normal distribution: too narrow for "
                f"{len(means)} architectures."
            )
        fewest = int(means.groupby(factors).size().min())  # architectures
        if fewest > 1:
            tables["cluster_bootstrap"] = cluster_bootstrap(
                means, factors, numeric, config.resamples, config.confidence, config.seed
            )
            notes.append(
                f"The cluster bootstrap draws from {fewest} architectures in a cell at the fewest: "
                f"its intervals are {np.sqrt(1 - 1 / fewest):.2f} times as wide as they should be."
            )
        else:
            notes.append(
                "No cluster bootstrap: some cell of the design has one architecture only, which "
                "cannot be drawn otherwise."
            )
    texts = [name for name in features if not pd.api.types.is_numeric_dtype(means[name])]
    if texts:
        notes.append(f"No prediction from {', '.join(texts)}: a regression needs numbers.")
    elif len(means) > len(features) + 2:
        predictions = predicted_energy(means, features)
        tables["predictions"] = predictions
        figures |= _errors(predictions)
        answers.append(_by_prediction(figures, features))
    return Result(
        name="layers",
        answers=answers,
        tables=tables,
        figures=figures,
        notes=[*notes, *stand_ins],
        warnings=warnings,
        runs=replace(runs, left_out={**runs.left_out, **left_out}),
    )


def _named(runs: RunTable, config: LayersConfig, option: str) -> list[str]:
    """Return the columns that an option names, each once, as they are called in the tables."""
    names = list(dict.fromkeys(getattr(config, option)))
    runs.require(names, f"analysis.{option}")
    if ENERGY in names:
        raise AnalysisError(f"analysis.{option} names {ENERGY}, which is what is explained")
    return [_renamed(name) for name in names]


def _renamed(name: str) -> str:
    return f"{name} (column)" if name in RESERVED else name


def _complete(runs: RunTable, names: Collection[str]) -> tuple[pd.DataFrame, dict[str, int]]:
    """Return the finished runs that have a value in all of these columns, and how many have not."""
    finished = runs.finished.rename(columns=_renamed)
    left_out: dict[str, int] = {}
    for name in sorted(names):
        values = finished[name]
        if values.dtype == object:
            values = finished[name] = values.astype(str).where(values.notna())
        lacking = values.isna()
        if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
            lacking |= values.abs() > _MOST
        if lacking.any():
            left_out[f"{name} is missing, or infinite"] = int(lacking.sum())
            finished = finished[~lacking]
    if finished.empty:
        raise AnalysisError(f"no run of {runs.source} has a value in all of {', '.join(names)}")
    truths = {name: _as_truths(finished[name]) for name in names}
    return finished.assign(**truths).reset_index(drop=True), left_out


def _as_truths(values: "pd.Series[Any]") -> "pd.Series[Any]":
    """Return the texts True and False, as MLflow has them, as what they mean: numbers."""
    truths = values.astype(str).str.lower()
    return truths.eq("true") if truths.isin(["true", "false"]).all() else values


def _attributed(frame: pd.DataFrame, unit: Sequence[str]) -> pd.DataFrame | None:
    """Return each architecture's mean attributed joules by layer type, where runs carry them."""
    prefix, suffix = "layer_energy/", "_joules"
    names = [
        str(name) for name in frame if str(name).startswith(prefix) and frame[name].notna().any()
    ]
    if not names:
        return None
    figures = frame[names].apply(pd.to_numeric, errors="coerce")
    known = frame.assign(**{name: figures[name] for name in names}).dropna(subset=names, how="all")
    means = known.groupby(list(unit))[names].mean().reset_index()
    long = means.melt(list(unit), names, "layer_type", ENERGY).dropna(subset=[ENERGY])
    long["layer_type"] = long["layer_type"].str.removeprefix(prefix).str.removesuffix(suffix)
    long["share"] = long[ENERGY] / long.groupby(list(unit))[ENERGY].transform("sum")
    return long.sort_values([*unit, ENERGY], ascending=[*[True] * len(unit), False]).reset_index(
        drop=True
    )


def _errors(predictions: pd.DataFrame) -> dict[str, object]:
    energy = predictions[ENERGY].to_numpy(float)
    error = np.abs(predictions["predicted_joules"].to_numpy(float) - energy)
    by_mean = np.abs(predictions["mean_of_others"].to_numpy(float) - energy)
    return {
        "prediction_mean_error_joules": float(error.mean()),
        "prediction_mean_error_share": float((error / energy).mean()) if energy.all() else np.nan,
        "mean_of_others_error_joules": float(by_mean.mean()),
    }


def _by_runs(table: pd.DataFrame) -> str:
    terms = table.iloc[:-1]
    first = terms.sort_values("eta_sq").iloc[-1]
    return (
        f"Over runs, {first['term']} explains {percent_text(first['eta_sq'])} of the variance of "
        "energy (η², Type III)."
    )


def _by_architectures(per_layer: pd.DataFrame, architectures: int) -> str:
    figures = per_layer[["joules_per_layer", "low", "high"]].to_numpy(float)
    parts = [
        f"{_span(*own)} for one more of {layer}"
        for layer, own in zip(per_layer["layer"], figures, strict=True)
    ]
    return f"Over {architectures} architectures: {'; '.join(parts)}."


def _span(joules: float, low: float, high: float) -> str:
    if np.isnan(low):
        return f"{joules_text(joules, digits=2)} (too few architectures for an interval)"
    return energy_span_text(joules, low, high)


def _by_prediction(figures: dict[str, object], features: Sequence[str]) -> str:
    errors = (figures["prediction_mean_error_joules"], figures["mean_of_others_error_joules"])
    # Of an exact fit only rounding is left.
    least = _ROUNDING * max(map(float, map(str, errors)))
    own, mean = (
        joules_text(each if each > least else 0.0, digits=3)
        for each in map(float, map(str, errors))
    )
    return (
        f"A regression on {', '.join(features)} misses the energy of an architecture that it has "
        f"not seen by {own} in the mean; the mean of the others misses it by {mean}."
    )
