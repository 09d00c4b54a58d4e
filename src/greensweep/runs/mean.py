"""The mean of a run's repeats, and how far it can be trusted."""

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from greensweep.config.metrics import metric_called
from greensweep.energy import joined, shared_quality, sum_joules
from greensweep.energy.reading import sum_where_all
from greensweep.intervals import mean_interval
from greensweep.record.result import RunResult
from greensweep.record.summaries import (
    ComponentSummary,
    HistoryPoint,
    Inference,
    LayerEnergySummary,
    PhaseSummary,
    RepeatRun,
    Spread,
    summary_of,
)

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

T = TypeVar("T")


def mean_result(runs: Sequence[RunResult], whole: RunResult, repeats: int) -> RunResult:
    """Return the means of finished runs, and what all of them cost.

    Phases add up over all runs, unfinished ones included, and with them `energy_spent_joules`,
    its emissions, and gaps.

    Args:
        whole: what is known of the run that they are repeats of.
        repeats: how many were asked for.
    """
    done = [run for run in runs if run.status == "finished"]
    sample = next(iter(done or runs), whole)
    best = max(done, key=lambda run: run.score, default=None)
    return replace(
        sample,
        seed=whole.seed,
        trial=whole.trial,
        overrides=whole.overrides,
        provenance=whole.provenance,
        mlflow_run_id=whole.mlflow_run_id,
        mlflow_incomplete=whole.mlflow_incomplete,
        **_means(done, *_MEANS),
        metrics=_mean_metrics(done),
        energy_spent_joules=sum_joules(run.energy_spent_joules for run in runs),
        emissions_spent_kg=sum_joules(run.emissions_spent_kg for run in runs),
        energy_uncertainty_joules=_mean_uncertainty(
            [run.energy_uncertainty_joules for run in done]
        ),
        energy_gap_joules=sum_joules(run.energy_gap_joules for run in runs),
        gap_seconds=sum(run.gap_seconds for run in runs),
        energy_components=_by_name([run.energy_components for run in done], _mean_component),
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
        energy_phases=_by_name([run.energy_phases for run in runs], _sum_of_phases),
        inference=_mean_inference([run.inference for run in done]),
        layer_energy=_mean_layer_energy([run.layer_energy for run in done]),
        epochs=round(_mean([run.epochs for run in done]) or 0),
        best_epoch=None,
        # Of the epochs that all runs have.
        history=tuple(map(_mean_point, zip(*(run.history for run in done), strict=False))),
        checkpoint=None if best is None else best.checkpoint,
        repeats=repeats,
        repeat_runs=tuple(summary_of(RepeatRun, run) for run in runs),
        spread=_spreads(done),
    )


def _all_known(values: Sequence[T | None]) -> list[T]:
    """Return the values, or none of them where one is not known."""
    known = [value for value in values if value is not None]
    return known if len(known) == len(values) else []


def _mean(values: Sequence[float | None]) -> float | None:
    """Return the mean, or None where a value is not known."""
    known = _all_known(values)
    return statistics.fmean(known) if known else None


def _means(parts: Sequence[object], *names: str) -> dict[str, Any]:
    """Return the means of some figures, each None where a part has none."""
    return {name: _mean([getattr(part, name) for part in parts]) for name in names}


def _mean_uncertainty(values: Sequence[float | None]) -> float | None:
    """Return that of a mean of independent figures, or None where one is not known."""
    known = _all_known(values)
    return math.hypot(*known) / len(known) if known else None


def _by_name(parts: Sequence[Mapping[str, T]], merge: Callable[[Sequence[T]], T]) -> dict[str, T]:
    """Merge what stands under one name, in those that have it."""
    names = dict.fromkeys(name for each in parts for name in each)
    return {name: merge([each[name] for each in parts if name in each]) for name in names}


def _mean_by_name(
    parts: Sequence[Mapping[str, float | None]], absent: float | None = None
) -> dict[str, Any]:
    """Return the mean of what stands under one name; without `absent`, None where one has none."""
    names = dict.fromkeys(name for each in parts for name in each)
    return {name: _mean([each.get(name, absent) for each in parts]) for name in names}


def _mean_metrics(runs: Sequence[RunResult]) -> dict[str, dict[str, float | None]]:
    splits = dict.fromkeys(split for run in runs for split in run.metrics)
    return {split: _mean_by_name([run.metrics.get(split, {}) for run in runs]) for split in splits}


def _spreads(runs: Sequence[RunResult]) -> dict[str, Spread]:
    """Return the spread of accuracies, metrics and energies over runs, where these have two."""
    figures: dict[str, list[float]] = {}
    for run in runs:
        own = {name: getattr(run, name) for name in _SPREAD}
        for split, metrics in run.metrics.items():
            own |= {f"{split}_{name}": value for name, value in metrics.items()}
        for name, value in own.items():
            if value is not None:
                figures.setdefault(name, []).append(value)
    return {name: _spread(name, values) for name, values in figures.items() if len(values) > 1}


def _spread(name: str, values: Sequence[float]) -> Spread:
    mean, deviation = statistics.fmean(values), statistics.stdev(values)
    metric = metric_called(name.partition("_")[2], None)
    ends = (-math.inf, math.inf) if metric is None else (metric.low, metric.high)
    if name == "energy_joules":  # of the idle machine net energy may be less
        ends = (0.0, math.inf)
    return Spread(deviation, *(mean_interval(mean, deviation, len(values), ends) or (None, None)))


def _mean_component(parts: Sequence[ComponentSummary]) -> ComponentSummary:
    return ComponentSummary(
        **_means(parts, "joules", "net_joules"),
        source=joined(part.source for part in parts),
        quality=shared_quality(part.quality for part in parts),
        uncertainty_joules=_mean_uncertainty([part.uncertainty_joules for part in parts]),
    )


def _sum_of_phases(parts: Sequence[PhaseSummary]) -> PhaseSummary:
    return PhaseSummary(
        joules=sum_joules(part.joules for part in parts),
        net_joules=sum_where_all(part.net_joules for part in parts),
        seconds=sum(part.seconds for part in parts),
        quality=shared_quality(part.quality for part in parts if part.joules is not None),
    )


def _mean_inference(parts: Sequence[Inference | None]) -> Inference | None:
    known = _all_known(parts)
    figures = ("joules_per_1000", "uncertainty_joules_per_1000", "seconds_per_1000")
    return replace(known[0], **_means(known, *figures)) if known else None


def _mean_layer_energy(parts: Sequence[LayerEnergySummary | None]) -> LayerEnergySummary | None:
    known = _all_known(parts)
    if not known:
        return None
    joules = _all_known([part.joules for part in known])
    figures = ("step_seconds", "plain_step_seconds", "cost_joules", "cost_seconds")
    return replace(
        known[0],
        # A layer type that a run does not have takes nothing there.
        joules=_mean_by_name(joules, absent=0.0) if joules else None,
        shares=_mean_by_name([part.shares for part in known], absent=0.0),
        **_means(known, *figures),
    )


def _mean_point(points: Sequence[HistoryPoint]) -> HistoryPoint:
    figures = ("train_loss", "seconds", "energy_joules", "energy_epochs")
    metrics = _mean_by_name([point.metrics for point in points])
    return replace(points[0], metrics=metrics, **_means(points, *figures))
