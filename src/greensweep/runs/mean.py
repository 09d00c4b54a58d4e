"""The mean of a run's repeats, and how far it can be trusted."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from scipy.stats import t as student_t

from greensweep.energy import joined, shared_quality, sum_joules
from greensweep.record.result import RunResult

_CONFIDENCE = 0.95
_SPREAD = ("validation_accuracy", "test_accuracy", "energy_joules", "energy_net_joules")
_MEANS = (
    "validation_accuracy",
    "test_accuracy",
    "energy_joules",
    "energy_net_joules",
    "energy_idle_joules",
    "energy_charged_joules",
    "energy_kwh",
    "energy_measured_share",
    "energy_constant_share",
    "emissions_kg",
    "seconds",
)
_LISTED = (
    "seed",
    "status",
    "validation_accuracy",
    "test_accuracy",
    "metrics",
    "energy_joules",
    "mlflow_run_id",
    "checkpoint",
)


def mean_result(runs: Sequence[RunResult], whole: RunResult, repeats: int) -> RunResult:
    """Return the means of finished runs, and what all of them cost.

    Phases add up over all runs, unfinished ones included, and with them `energy_spent_joules`
    and gaps.

    Args:
        whole: what is known of the run that they are repeats of.
        repeats: how many were asked for.
    """
    done = [run for run in runs if run.status == "finished"]
    sample = next(iter(done or runs), whole)
    means: dict[str, Any] = {name: _mean_of(done, name) for name in _MEANS}
    best = _best(done)
    return replace(
        sample,
        seed=whole.seed,
        trial=whole.trial,
        overrides=whole.overrides,
        provenance=whole.provenance,
        **means,
        metrics=_mean_metrics(done),
        energy_spent_joules=sum_joules(run.energy_spent_joules for run in runs),
        energy_uncertainty_joules=_mean_uncertainty(
            [run.energy_uncertainty_joules for run in done]
        ),
        energy_gap_joules=sum_joules(run.energy_gap_joules for run in runs),
        gap_seconds=sum(run.gap_seconds for run in runs),
        energy_components=_components(done),
        energy_quality=shared_quality(
            run.energy_quality for run in done if run.energy_joules is not None
        ),
        energy_basis=joined(run.energy_basis for run in done if run.energy_basis) or None,
        energy_comparable=all(run.energy_comparable for run in done),
        energy_contended=any(run.energy_contended for run in done),
        energy_contended_by=joined(
            (run.energy_contended_by for run in done if run.energy_contended_by), by=", "
        )
        or None,
        energy_neighbours=max((run.energy_neighbours for run in done), default=0),
        energy_key=next((run.energy_key for run in done if run.energy_key), None),
        energy_phases=_phases(runs),
        inference=_mean_mapping([run.inference for run in done]),
        layer_energy=_mean_mapping([run.layer_energy for run in done]),
        epochs=round(_mean_of(done, "epochs") or 0),
        best_epoch=None,
        history=_mean_history(done),
        checkpoint=None if best is None else best.checkpoint,
        repeats=repeats,
        repeat_runs=tuple({name: getattr(run, name) for name in _LISTED} for run in runs),
        spread=_spreads(done),
    )


def with_test_metrics(result: RunResult, runs: Sequence[RunResult]) -> RunResult:
    """Return a run of repeats with the test accuracies and metrics that its repeats got later."""
    listed = {run.seed: run for run in runs}
    return replace(
        result,
        test_accuracy=_mean_of(runs, "test_accuracy"),
        metrics=_mean_metrics(runs),
        repeat_runs=tuple(
            {**each, "test_accuracy": run.test_accuracy, "metrics": run.metrics}
            if (run := listed.get(each["seed"]))
            else {**each, "test_accuracy": None}
            for each in result.repeat_runs
        ),
        spread={
            **result.spread,
            **{name: each for name, each in _spreads(runs).items() if name.startswith("test_")},
        },
    )


def _best(runs: Sequence[RunResult]) -> RunResult | None:
    """Return the run that is best by the metric that the search goes by."""
    known = [(value, run) for run in runs if (value := run.objective_value) is not None]
    if not known:
        return next(iter(runs), None)
    best = max if known[0][1].objective_direction == "maximize" else min
    return best(known, key=lambda each: each[0])[1]


def _mean_metrics(runs: Sequence[RunResult]) -> dict[str, dict[str, float | None]]:
    splits = dict.fromkeys(split for run in runs for split in run.metrics)
    return {
        split: {
            name: _mean([run.metrics.get(split, {}).get(name) for run in runs])
            for name in dict.fromkeys(name for run in runs for name in run.metrics.get(split, {}))
        }
        for split in splits
    }


def _spreads(runs: Sequence[RunResult]) -> dict[str, dict[str, float]]:
    """Return the spread of accuracies, metrics and energies over runs, where these have two."""
    figures: dict[str, list[float | None]] = {
        name: [getattr(run, name) for run in runs] for name in _SPREAD
    }
    for split, names in _mean_metrics(runs).items():
        for name in names:
            figures[f"{split}_{name}"] = [run.metrics.get(split, {}).get(name) for run in runs]
    return {name: spread for name, each in figures.items() if (spread := _spread(each))}


def _mean_of(runs: Sequence[RunResult], name: str) -> float | None:
    """Return the mean of one figure, or None where a run has none."""
    return _mean([getattr(run, name) for run in runs])


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known and len(known) == len(values) else None


def _mean_uncertainty(values: Sequence[float | None]) -> float | None:
    """Return that of a mean of independent figures, or None where one is not known."""
    known = [value for value in values if value is not None]
    return math.hypot(*known) / len(known) if known and len(known) == len(values) else None


def _spread(figures: Sequence[float | None]) -> dict[str, float]:
    """Standard deviation, and the interval of the mean by Student's t, for unknown variance."""
    values = [value for value in figures if value is not None]
    if len(values) < 2:
        return {}
    mean, deviation = statistics.fmean(values), statistics.stdev(values)
    quantile = float(student_t.ppf(0.5 + _CONFIDENCE / 2, df=len(values) - 1))
    margin = quantile * deviation / math.sqrt(len(values))
    return {"std": deviation, "low": mean - margin, "high": mean + margin}


def _components(runs: Sequence[RunResult]) -> dict[str, Mapping[str, Any]]:
    names = dict.fromkeys(name for run in runs for name in run.energy_components)
    merged: dict[str, Mapping[str, Any]] = {}
    for name in names:
        parts = [run.energy_components[name] for run in runs if name in run.energy_components]
        merged[name] = {
            "joules": _mean([part["joules"] for part in parts]),
            "source": joined(part["source"] for part in parts),
            "quality": shared_quality(part["quality"] for part in parts),
            "net_joules": _mean([part["net_joules"] for part in parts]),
            "uncertainty_joules": _mean_uncertainty(
                [part.get("uncertainty_joules") for part in parts]
            ),
        }
    return merged


def _phases(runs: Sequence[RunResult]) -> dict[str, Mapping[str, Any]]:
    names = dict.fromkeys(name for run in runs for name in run.energy_phases)
    summed: dict[str, Mapping[str, Any]] = {}
    for name in names:
        parts = [run.energy_phases[name] for run in runs if name in run.energy_phases]
        net = [part["net_joules"] for part in parts]
        summed[name] = {
            "joules": sum_joules(part["joules"] for part in parts),
            "net_joules": None if None in net else sum_joules(net),
            "seconds": sum(part["seconds"] for part in parts),
            "quality": shared_quality(
                part["quality"] for part in parts if part["joules"] is not None
            ),
        }
    return summed


def _mean_mapping(mappings: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return means of the figures, by name and nested; what is no figure is the first's."""
    if not mappings or not all(mappings):
        return {}
    merged: dict[str, Any] = {}
    for name in dict.fromkeys(name for mapping in mappings for name in mapping):
        values: list[Any] = [mapping.get(name) for mapping in mappings]
        if all(isinstance(value, Mapping) for value in values):
            merged[name] = _mean_mapping(values)
        elif all(isinstance(value, float) for value in values):
            merged[name] = _mean(values)
        else:
            merged[name] = values[0]
    return merged


def _mean_history(runs: Sequence[RunResult]) -> tuple[Mapping[str, float | None], ...]:
    """Return the means of the epochs that all runs have."""
    histories = [run.history for run in runs]
    return tuple(
        {name: _mean([point.get(name) for point in points]) for name in points[0]}
        for points in zip(*histories, strict=False)
    )
