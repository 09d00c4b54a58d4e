"""Consistency between options: what no single range can say."""

import math
import re
from collections.abc import Iterator
from typing import Any

from greensweep.config.chosen_metrics import metrics_of, unfit
from greensweep.config.metrics import METRICS
from greensweep.config.schema import (
    LARGEST_SEED,
    EvaluateConfig,
    PredictConfig,
    SgdConfig,
    TrainConfig,
)
from greensweep.config.schema_energy import (
    CalibrationConfig,
    CodeCarbonConfig,
    EnergyConfig,
    MachineEnergyConfig,
)
from greensweep.config.schema_task import ClassificationConfig, MultilabelConfig, TaskConfig
from greensweep.errors import ConfigError


def consistency_faults(config: Any) -> Iterator[str]:
    """Yield one sentence per pair of options that contradict each other."""
    energy = getattr(config, "energy", None)
    if isinstance(energy, EnergyConfig):
        yield from _energy_faults(energy)
    if isinstance(config, EvaluateConfig | PredictConfig):
        yield from _device_faults("device", config.device)
    if isinstance(config, TrainConfig):
        yield from _device_faults("training.device", config.training.device)
        yield from _optimizer_faults(config)
        yield from _task_faults(config.task, config.training.label_smoothing)
        yield from _metric_faults(config)
        yield from _repeat_faults(config)
        yield from _replay_faults(config)
        yield from _objective_faults(config)


def _energy_faults(energy: EnergyConfig) -> Iterator[str]:
    if energy.country is not None and energy.grams_co2e_per_kwh is not None:
        yield (
            "energy.country and energy.grams_co2e_per_kwh both state the grid: set one of them "
            "to null"
        )
    if energy.region is not None and energy.country is None:
        yield (
            f"energy.region={energy.region} needs energy.country, got null: "
            "set energy.country=USA, say"
        )
    if isinstance(energy, MachineEnergyConfig):
        yield from _gpu_faults(energy.gpus)
    if isinstance(energy, CodeCarbonConfig):
        yield from _calibration_faults(energy.calibration)
        if energy.tracking_mode == "process" and energy.calibration.idle_watts is not None:
            yield (
                "energy.calibration is of the whole machine, but energy.tracking_mode=process: "
                "set energy.tracking_mode=machine"
            )


def _gpu_faults(gpus: Any) -> Iterator[str]:
    named = gpus if isinstance(gpus, list) else [gpus]
    if gpus not in (None, "all") and not all(
        type(each) is int or (isinstance(each, str) and each.startswith("GPU-")) for each in named
    ):
        yield (
            "energy.gpus must be all, null, or a list of numbers and UUIDs as nvidia-smi -L shows "
            f"them, got {gpus}: set energy.gpus=[0], say"
        )


def _calibration_faults(calibration: CalibrationConfig) -> Iterator[str]:
    idle, load = calibration.idle_watts, calibration.load_watts
    if (idle is None) != (load is None):
        missing = "idle_watts" if idle is None else "load_watts"
        yield (
            "energy.calibration needs both idle_watts and load_watts: set "
            f"energy.calibration.{missing} too"
        )
    elif idle is not None and load is not None and load <= idle:
        yield (
            f"energy.calibration.load_watts must be above idle_watts, got {load:g} and {idle:g}: "
            "measure with all cores busy"
        )


def _device_faults(name: str, device: str) -> Iterator[str]:
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", device):
        yield (
            f"{name} must be auto, cpu, cuda, or one of several GPUs as in cuda:1, got {device}: "
            f"set {name}=auto"
        )


def _optimizer_faults(config: TrainConfig) -> Iterator[str]:
    optimizer = config.optimizer
    if isinstance(optimizer, SgdConfig) and optimizer.nesterov and optimizer.momentum == 0:
        yield "optimizer.nesterov needs momentum, got 0: set optimizer.momentum=0.9"
    if config.layer_energy and config.training.accumulate > 1:
        yield (
            "layer_energy=true samples steps of one batch, but training.accumulate="
            f"{config.training.accumulate} takes one step of several: set layer_energy=false"
        )


def _task_faults(task: TaskConfig, label_smoothing: float) -> Iterator[str]:
    if isinstance(task, ClassificationConfig | MultilabelConfig):
        weights = task.class_weights
        if weights not in (None, "balanced") and not (
            isinstance(weights, list)
            and all(type(each) in (int, float) and 0 <= each < math.inf for each in weights)
            and any(weights)
        ):
            yield (
                "task.class_weights must be balanced, null, or a list of numbers from 0, of which "
                f"some are above it, got {weights}: set task.class_weights=balanced"
            )
        if weights is not None and task.loss is not None:
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
        metrics, objective = metrics_of(config)
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
    opposite = "minimize" if objective.direction == "maximize" else "maximize"
    if given == opposite:
        better = "lower" if given == "maximize" else "higher"
        way_out = "leave objective.direction out"
        if objective.name not in METRICS:
            way_out += f", or set metrics=[{{target: {objective.function}, direction: {given}}}]"
        yield (
            f"objective.direction={given}, but {objective.name} is better the {better} it is: "
            f"{way_out}"
        )
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
    if config.seed <= LARGEST_SEED < config.seed + config.repeats - 1:
        yield (
            f"the seeds of repeats={config.repeats} go from seed={config.seed} beyond "
            f"{LARGEST_SEED}: set a smaller seed"
        )


def _replay_faults(config: TrainConfig) -> Iterator[str]:
    if config.replay is None:
        return
    if config.repeats > 1:
        yield (
            f"repeats={config.repeats} asks for several seeds, but training=replay answers all "
            "alike: set repeats=1"
        )
    if config.layer_energy:
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
