"""Consistency between the parts of a run's configuration: what no part can say alone."""

from collections.abc import Iterator

from greensweep.config.metrics import METRICS, direction_fault, unfit
from greensweep.config.schema import LARGEST_SEED, TrainConfig
from greensweep.errors import ConfigError


def run_faults(config: TrainConfig) -> Iterator[str]:
    """Yield one sentence per pair of options that contradict each other."""
    yield from _task_faults(config)
    yield from _metric_faults(config)
    yield from _repeat_faults(config)
    yield from _layer_faults(config)
    yield from _objective_faults(config)


def _task_faults(config: TrainConfig) -> Iterator[str]:
    task, label_smoothing = config.task, config.training.label_smoothing
    if task.loss is not None and getattr(task, "class_weights", None) is not None:
        yield (
            "task.class_weights weighs the task's own loss, and task.loss is another one: set "
            "one of them to null"
        )
    if label_smoothing and task.loss is not None:
        yield (
            "training.label_smoothing is of the task's own loss, and task.loss is another one: "
            "set training.label_smoothing=0 or task.loss=null"
        )
    if label_smoothing and task.reads in ("labels", "values"):
        yield (
            f"training.label_smoothing={label_smoothing:g} is of classes, which task={task.name} "
            "has none of: set training.label_smoothing=0"
        )


def _metric_faults(config: TrainConfig) -> Iterator[str]:
    try:
        metrics, objective = config.chosen_metrics()
    except ConfigError as fault:
        yield str(fault)
        return
    reads = config.task.reads
    if reads is not None:
        yield from filter(None, (unfit(metric, reads) for metric in metrics))
    if objective.per_class:
        yield (
            f"objective.metric={objective.name} has a figure for each class, and trials are "
            "compared by one: set another objective.metric"
        )
    directions = config.objective.direction
    given = directions[0] if isinstance(directions, list) and directions else directions
    if opposed := direction_fault("objective.direction", objective, given):
        own = f", or set metrics=[{{target: {objective.function}, direction: {given}}}]"
        yield opposed + ("" if objective.name in METRICS else own)
    if config.replay is not None and objective.name != "accuracy":
        yield (
            f"objective.metric={objective.name} is measured by training, and training=replay gives "
            "accuracy alone: set objective.metric=accuracy"
        )


def _repeat_faults(config: TrainConfig) -> Iterator[str]:
    if config.training.resume and config.repeats > 1:
        yield (
            f"training.resume=true goes on with one training, and repeats={config.repeats}: set "
            "repeats=1"
        )
    if config.replay is not None and config.repeats > 1:
        yield (
            f"repeats={config.repeats} asks for several seeds, but training=replay answers all "
            "alike: set repeats=1"
        )
    if config.seed <= LARGEST_SEED < config.seed + config.repeats - 1:
        yield (
            f"the seeds of repeats={config.repeats} go from seed={config.seed} beyond "
            f"{LARGEST_SEED}: set a smaller seed"
        )


def _layer_faults(config: TrainConfig) -> Iterator[str]:
    if config.layer_energy and config.training.accumulate > 1:
        yield (
            "layer_energy=true samples steps of one batch, but training.accumulate="
            f"{config.training.accumulate} takes one step of several: set layer_energy=false"
        )
    if config.layer_energy and config.replay is not None:
        yield (
            "layer_energy=true samples training steps, but training=replay takes none: "
            "set layer_energy=false"
        )


def _objective_faults(config: TrainConfig) -> Iterator[str]:
    objective = config.objective
    unmetered = config.energy.name == "unmetered" and config.replay is None
    if objective.name in ("pareto", "priced") and unmetered:
        yield (
            f"objective={objective.name} needs energy, but energy=unmetered: "
            "set energy=codecarbon or objective=accuracy"
        )
    # Pareto has two values, validation accuracy and energy; the others have one.
    is_pareto, given = objective.name == "pareto", objective.direction
    directions = given if is_pareto else [given]
    if (
        not isinstance(directions, list)
        or len(directions) != (2 if is_pareto else 1)
        or any(direction not in ("minimize", "maximize") for direction in directions)
    ):
        usual = "[maximize,minimize]" if is_pareto else "maximize"
        yield (
            "objective.direction must be minimize or maximize for each value of "
            f"objective={objective.name}, got {given}: set objective.direction={usual}"
        )
