"""What a search is for: the values that a run returns to its sweeper."""

from greensweep.config import schema
from greensweep.errors import StudyError
from greensweep.record.result import RunResult

_JOULES_PER_KILOJOULE = 1000.0


def objective_values(
    objective: schema.ObjectiveConfig, result: RunResult
) -> float | tuple[float, ...]:
    """Return the objective's value, or values, of a finished run.

    accuracy: the metric that selects, accuracy unless `objective.metric` says otherwise, on the
    validation split unless `select_on=test`. pareto: that and training joules. priced: that, made
    worse by `price_per_kilojoule` for each kilojoule of training.

    Raises:
        StudyError: the run has no figure that the objective needs.
    """
    value, joules = result.objective_value, result.energy_joules
    if value is None:
        split = "test" if result.selected_on_test else "validation"
        raise StudyError(f"the run has no {split} {result.objective_metric} to search for")
    if objective.name == "accuracy":
        return value
    if joules is None:
        raise StudyError(f"objective={objective.name} needs energy, and this run has no figure")
    if isinstance(objective, schema.PricedConfig):
        price = objective.price_per_kilojoule * joules / _JOULES_PER_KILOJOULE
        return value - price if result.objective_direction == "maximize" else value + price
    return value, joules
