"""What Optuna's own tools, optuna-dashboard say, show of a search, in words and with units."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna

from greensweep.record.result import RunResult
from greensweep.search.records import Outcome, ended_as
from greensweep.search.spec import SearchSpec
from greensweep.secrets.data import masked
from greensweep.tracking.mlflow_places import known_run_page

_TRAINING_ENERGY = "training energy J"


def shown_outcome(outcome: Outcome) -> dict[str, Any]:
    """Return how a trial ended and what it cost, as user attributes; none of what is unknown."""
    return _known(
        {
            "status": ended_as(outcome),
            "error": outcome.error,
            _TRAINING_ENERGY: outcome.joules,
            "energy of all phases J": outcome.spent_joules,
            "energy quality": outcome.quality,
        }
    )


def shown_result(result: RunResult | None, sweep: Path) -> dict[str, Any]:
    """Return a run's metric and its page in MLflow likewise.

    Args:
        sweep: the folder of the sweep.
    """
    if result is None:
        return {}
    run_id = result.mlflow_run_id
    return _known(
        {
            result.objective_label: result.objective_value,
            "MLflow run": None if run_id is None else known_run_page(sweep, run_id),
        }
    )


def _known(figures: Mapping[str, Any]) -> dict[str, Any]:
    known = {name: value for name, value in figures.items() if value is not None}
    shown: dict[str, Any] = masked(known)
    return shown


def objective_names(label: str, objectives: int, *, energy: bool, priced: bool) -> list[str]:
    """Return what the objectives of a search are called.

    >>> objective_names("validation accuracy", 2, energy=True, priced=False)
    ['validation accuracy', 'training energy J']

    Args:
        label: of the metric that is the first one.
        energy: the second one is the energy of training.
        priced: a price of that energy is taken off the metric.
    """
    others = [f"objective {number}" for number in range(2, objectives + 1)]
    first = f"{label} less the price of energy" if priced else label
    return [first, *([_TRAINING_ENERGY] if energy else others)]


def name_objectives(spec: SearchSpec, study: optuna.Study, result: RunResult) -> None:
    """Name the objectives of a study, once: by the metric that a run of it goes by."""
    if study.metric_names is None:
        study.set_metric_names(
            objective_names(
                result.objective_label,
                len(spec.directions),
                energy=spec.weighs_energy,
                priced=bool(spec.price_per_kilojoule),
            )
        )
