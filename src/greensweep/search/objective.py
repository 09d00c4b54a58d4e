"""What a search is for: the values that a run returns to its sweeper."""

from collections.abc import Sequence
from pathlib import Path

from greensweep.config import load_run_config, schema
from greensweep.errors import StudyError
from greensweep.result import CONFIG_FILE, RunResult

_JOULES_PER_KILOJOULE = 1000.0


def objective_values(
    objective: schema.ObjectiveConfig, result: RunResult
) -> float | tuple[float, ...]:
    """Return the objective's value, or values, of a finished run.

    accuracy: the accuracy that selects, on the validation split unless `select_on=test`. pareto:
    that and training joules. priced: that less `price_per_kilojoule` for each kilojoule of
    training.

    Raises:
        StudyError: the run has no figure that the objective needs.
    """
    accuracy, joules = result.accuracy, result.energy_joules
    if accuracy is None:
        split = "test" if result.selected_on_test else "validation"
        raise StudyError(f"the run has no {split} accuracy to search for")
    if objective.name == "accuracy":
        return accuracy
    if joules is None:
        raise StudyError(f"objective={objective.name} needs energy, and this run has no figure")
    if isinstance(objective, schema.PricedConfig):
        return accuracy - objective.price_per_kilojoule * joules / _JOULES_PER_KILOJOULE
    return accuracy, joules


def values_of_run(directory: Path, result: RunResult) -> Sequence[float]:
    """Return the objective's values of a run that is told by its folder alone.

    Raises:
        GreensweepError: its config is missing, or a figure that the objective needs.
    """
    objective = load_run_config(directory / CONFIG_FILE).objective
    values = objective_values(objective, result)
    return values if isinstance(values, tuple) else (values,)
