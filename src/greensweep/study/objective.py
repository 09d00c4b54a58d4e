"""What a search is for: the values that a run returns to its sweeper."""

from greensweep.config import schema
from greensweep.errors import StudyError
from greensweep.result import RunResult

_JOULES_PER_KILOJOULE = 1000.0


def objective_values(
    objective: schema.ObjectiveConfig, result: RunResult
) -> float | tuple[float, ...]:
    """Return the objective's value, or values, of a finished run.

    accuracy: validation accuracy. pareto: validation accuracy and training joules. priced:
    validation accuracy less `price_per_kilojoule` for each kilojoule of training.

    Raises:
        StudyError: the run has no figure that the objective needs.
    """
    accuracy, joules = result.validation_accuracy, result.energy_joules
    if accuracy is None:
        raise StudyError("the run has no validation accuracy to search for")
    if objective.name == "accuracy":
        return accuracy
    if joules is None:
        raise StudyError(f"objective={objective.name} needs energy, and this run has no figure")
    if isinstance(objective, schema.PricedConfig):
        return accuracy - objective.price_per_kilojoule * joules / _JOULES_PER_KILOJOULE
    return accuracy, joules
