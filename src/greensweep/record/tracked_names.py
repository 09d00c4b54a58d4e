"""A run's result under the names that MLflow shows."""

import posixpath
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import accumulate
from typing import Any

from greensweep.nested import dotted
from greensweep.record.result import RunResult
from greensweep.record.summaries import HistoryPoint, Inference
from greensweep.secrets.data import masked

TRAINING_JOULES = "energy/training_joules"
UNCERTAINTY_JOULES = "energy/uncertainty_joules"
CUMULATIVE_JOULES = "energy/cumulative_joules"  # of training, until an epoch
_FORMER_JOULES = "energy/total_joules"  # its name in earlier versions, and of its spread
_SPREAD_NAMES = {"energy_joules": TRAINING_JOULES, "energy_net_joules": "energy/net_joules"}


def tracked_params(config: Mapping[str, Any], result: RunResult) -> dict[str, str]:
    """Return a run's options by dotted names, as text without secrets."""
    params = {_valid(name): str(value) for name, value in dotted(masked(config)).items()}
    params["objective.metric"] = result.objective_metric
    if params.get("objective.name") == "accuracy":  # the choice of one metric, whichever that is
        params["objective.name"] = result.objective_metric
    return params


def tracked_metrics(result: RunResult) -> dict[str, float]:
    """Return a run's figures under the names that MLflow shows; unknown ones are left out."""
    low, high = result.objective_interval or (None, None)
    inference, layers = result.inference or Inference(), result.layer_energy
    named: dict[str, float | None] = {
        "validation/accuracy": result.validation_accuracy,
        "test/accuracy": result.test_accuracy,
        TRAINING_JOULES: result.energy_joules,
        _FORMER_JOULES: result.energy_joules,  # for one version more, for queries of one's own
        "energy/net_joules": result.energy_net_joules,
        "energy/idle_joules": result.energy_idle_joules,
        "energy/charged_joules": result.energy_charged_joules,
        "energy/spent_joules": result.energy_spent_joules,
        "energy/kwh": result.energy_kwh,
        UNCERTAINTY_JOULES: result.energy_uncertainty_joules,
        "energy/gap_joules": result.energy_gap_joules,
        "energy/measured_share": result.energy_measured_share,
        "energy/neighbours": result.energy_neighbours if result.energy_contended else None,
        "objective/low": low,
        "objective/high": high,
        "inference/joules_per_1000": inference.joules_per_1000,
        "inference/seconds_per_1000": inference.seconds_per_1000,
        "emissions/kg": result.emissions_kg,
        "emissions/spent_kg": result.emissions_spent_kg,
        "training/seconds": result.seconds,
        "training/epochs": float(result.epochs),
        "model/parameters": result.parameters,
        "model/flops": result.flops,
    }
    for split, figures in result.metrics.items():
        named |= {tracked_name(split, name): value for name, value in figures.items()}
    for component, energy in result.energy_components.items():
        named[f"energy/{component}_joules"] = energy.joules
    for phase, spent in result.energy_phases.items():
        named[f"phases/{phase}_joules"] = spent.joules
        named[f"phases/{phase}_seconds"] = spent.seconds
    for kind, joules in ((layers and layers.joules) or {}).items():
        named[f"layer_energy/{kind}_joules"] = joules
    for name, spread in result.spread.items():
        split, _, figure = name.partition("_")
        shown = _SPREAD_NAMES.get(name) or tracked_name(split, figure)
        named |= {f"{shown}_{statistic}": value for statistic, value in asdict(spread).items()}
    for kind, count in result.layers.items():
        named[f"layers/{kind}"] = count
    return {name: float(value) for name, value in named.items() if value is not None}


def present_name(metric: str) -> str:
    """Return what a metric is called that an earlier version may have logged.

    >>> present_name("energy/total_joules_std"), present_name("energy/spent_joules")
    ('energy/training_joules_std', 'energy/spent_joules')
    """
    if not metric.startswith(_FORMER_JOULES):
        return metric
    return metric.replace(_FORMER_JOULES, TRAINING_JOULES, 1)


def tracked_tags(result: RunResult) -> dict[str, str]:
    """Return what describes a run in words, as MLflow tags."""
    layers = result.layer_energy
    named = {
        "status": result.status,
        "error": result.error,
        "model": result.model,
        "dataset": result.dataset,
        "device": result.device,
        "capture": result.capture,
        "energy.quality": result.energy_quality,
        "energy.basis": result.energy_basis,
        "energy.comparable": None if result.energy_comparable else "false",
        "energy.contended": "true" if result.energy_contended else None,
        "energy.contended_by": result.energy_contended_by,
        "energy.key": result.energy_key,
        "layer_energy.quality": layers.quality if layers else None,
        "layer_energy.key": layers.key if layers else None,
        "emissions.grid": result.emissions_grid,
        "objective.metric": result.objective_metric,
        "objective.direction": result.objective_direction,
        "selected_on_test": "true" if result.selected_on_test else None,
        "replay.outside": str(result.replayed.outside).lower() if result.replayed else None,
    }
    for component, energy in result.energy_components.items():
        named[f"energy.source.{component}"] = energy.source
        named[f"energy.quality.{component}"] = energy.quality
    for phase, spent in result.energy_phases.items():
        # The run's own stands for the phases that share it, which nearly always all do.
        if spent.joules is not None and spent.quality != result.energy_quality:
            named[f"phases.quality.{phase}"] = spent.quality
    return {name: value for name, value in named.items() if value is not None}


def history_metrics(
    point: HistoryPoint, cumulative_joules: float | None = None
) -> dict[str, float]:
    """Return a point of `RunResult.history` under the names that MLflow shows.

    Args:
        cumulative_joules: of the training until then.
    """
    named = {
        "train/loss": point.train_loss,
        **{tracked_name(point.split, name): value for name, value in point.metrics.items()},
        "energy/epoch_joules": point.energy_joules,
        CUMULATIVE_JOULES: cumulative_joules,
        **{tracked_name(*_split_of(name)): value for name, value in point.others.items()},
    }
    return {name: value for name, value in named.items() if value is not None}


def tracked_history(history: Sequence[HistoryPoint]) -> list[dict[str, float]]:
    """Return a whole history likewise; energy adds up as long as that of each epoch is known."""
    sums = accumulate(
        (point.energy_joules for point in history),
        lambda total, joules: None if total is None or joules is None else total + joules,
    )
    return [*map(history_metrics, history, sums)]


def tracked_name(split: str, metric: str) -> str:
    """Return the name of a metric on a split."""
    return _valid(f"{split}/{metric}")


def _valid(name: str) -> str:
    """Return a name that MLflow takes: those of classes, or of a program's options, may not be."""
    path = posixpath.normpath(re.sub(r"[^\w/ .-]", "_", name)).strip("/.")
    return path[:250] or "_"


def _split_of(name: str) -> tuple[str, str]:
    """Part `train_accuracy` into train and accuracy; what names no split is of training."""
    split, _, metric = name.partition("_")
    return (split, metric) if split in ("train", "test") and metric else ("train", name)
