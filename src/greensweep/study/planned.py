"""Our runs as a search knows them: before they run, and by what they return to it."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from greensweep.config.schema import ObjectiveConfig, PricedConfig, TrainConfig
from greensweep.config.schema_energy import UnmeteredConfig
from greensweep.config.schema_tracking import TrackingConfig
from greensweep.config.store import parse_run
from greensweep.errors import StudyError, plural
from greensweep.record.result import RunResult
from greensweep.search.constraints import METRIC_FIGURES
from greensweep.search.planned_run import Input
from greensweep.study.forecast import flops_of_run, seconds_of_run

_JOULES_PER_KILOJOULE = 1000.0


@dataclass(frozen=True)
class PlannedTraining:
    """A run of `src/train.py`, which is a `greensweep.search.planned_run.PlannedRun`."""

    config: TrainConfig

    @property
    def size(self) -> str:
        repeats, epochs = self.config.repeats, self.config.training.epochs
        trained = plural(epochs, "epoch")
        return f"{repeats} repeats of {trained}" if repeats > 1 else trained

    @property
    def is_metered(self) -> bool:
        config = self.config
        return config.replay is not None or not isinstance(config.energy, UnmeteredConfig)

    @property
    def any_gpus(self) -> int:
        training = self.config.training
        if self.config.replay is not None or training.device not in ("auto", "cuda"):
            return 0
        from torch import version  # to ask torch.cuda would start CUDA here

        return training.devices if training.device == "cuda" or version.cuda is not None else 0

    @property
    def inputs(self) -> Sequence[Input]:
        run = self.config
        read = {
            **_paths(run.dataset, "dataset."),
            **_paths(run.training, "training."),
            **_paths(run.energy, "energy."),
            **(_paths(run.replay, "replay.") if run.replay is not None else {}),
        }
        made = {"dataset.cache", *(["dataset.root"] if getattr(run.dataset, "download", 0) else [])}
        return [Input(name, Path(path), name in made) for name, path in read.items()]

    @property
    def tracking(self) -> TrackingConfig:
        return self.config.tracking

    def missing(self, figure: str) -> str | None:
        run, replayed = self.config, self.config.replay is not None
        if replayed and figure.startswith(("inference.", "parameters", "trainable", "flops")):
            return "train instead of training=replay"
        if figure.startswith("inference.") and run.inference.seconds == 0:
            return "set inference.seconds=0.1"
        if figure.startswith("spread.") and run.repeats == 1:
            return "set repeats=3"
        if figure == "energy_net_joules" and (
            replayed or getattr(run.energy, "baseline", "none") != "measure"
        ):
            return "set energy.baseline=measure"
        grid = run.energy.country, run.energy.grams_co2e_per_kwh
        if figure == "emissions_kg" and grid == (None, None):
            return "set energy.country=NLD, say"
        if figure == "accuracy":  # of whichever split selects
            return self._missing_metric(figure, figure)
        metric = METRIC_FIGURES.get(figure.removeprefix("spread.").removesuffix(".std"))
        if metric is not None:
            return self._missing_metric(metric.name, figure)
        return None

    def _missing_metric(self, name: str, figure: str) -> str | None:
        run = self.config
        metrics, objective = run.chosen_metrics()
        has_classes = run.task.reads in (None, "classes")  # whose accuracy is always computed
        if name not in {each.name for each in metrics} and not (name == "accuracy" and has_classes):
            if name == "accuracy":
                return f"bound validation_{objective.name}"
            return f"add {name} to metrics"
        if "test_" in figure and run.select_on != "test":
            return f"bound validation_{name}, since a search does not see the test split"
        if run.replay is not None and run.select_on == "test" and figure.startswith("validation_"):
            return f"bound test_{name}"
        return None

    def values(self, result: RunResult) -> Sequence[float]:
        values = objective_values(self.config.objective, result)
        return values if isinstance(values, tuple) else (values,)

    def flops(self) -> float | None:
        return flops_of_run(self.config)

    def seconds(self) -> float | None:
        return None if self.config.replay is not None else seconds_of_run(self.config)


def _paths(options: Any, prefix: str) -> dict[str, str]:
    """Return the options that name files and folders, and are set."""
    paths = [each.name for each in fields(options) if each.metadata.get("path")]
    return {f"{prefix}{name}": given for name in paths if (given := getattr(options, name))}


def planned_run(config: DictConfig) -> PlannedTraining | None:
    """Return the run that a composed configuration describes; None of another program's.

    Raises:
        ConfigError: it is wrong.
    """
    run = parse_run(config)
    return None if run is None else PlannedTraining(run)


def objective_values(objective: ObjectiveConfig, result: RunResult) -> float | tuple[float, ...]:
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
    if isinstance(objective, PricedConfig):
        price = objective.price_per_kilojoule * joules / _JOULES_PER_KILOJOULE
        return value - price if result.objective_direction == "maximize" else value + price
    return value, joules
