"""What is learnt: the task, and the metrics and the class that belong to it."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from omegaconf import MISSING

from greensweep.config.groups import Group
from greensweep.config.metrics import Targets
from greensweep.config.options import option


@dataclass
class TaskConfig(Group):
    """What all tasks have in common.

    Attributes:
        implementation: import path of the class in `greensweep.tasks`.
        reads: kind of its targets; None where the class says it.
        default_metrics: by which it is judged unless `metrics` says otherwise, the first one first.
    """

    implementation: ClassVar[str | None] = None
    reads: ClassVar[Targets | None] = None
    default_metrics: ClassVar[tuple[str, ...]] = ()

    name: Any = option(MISSING, doc="name of the task")
    loss: str | None = option(
        None,
        doc="import path of a loss of your own: a function of outputs and targets that returns the "
        "mean over a batch, or a class of such, torch.nn.HuberLoss say",
    )


def _are_weights(weights: Any) -> bool:
    return weights in (None, "balanced") or (
        isinstance(weights, list)
        and all(type(each) in (int, float) and 0 <= each < math.inf for each in weights)
        and any(weights)
    )


_WEIGHTS = (
    "balanced, null, or a list of numbers from 0, of which some are above it",
    _are_weights,
)


@dataclass
class ClassificationConfig(TaskConfig, choice="classification"):
    """One class of several for each input, by cross-entropy."""

    implementation = "greensweep.tasks.classification.Classification"
    reads = "classes"
    default_metrics = ("accuracy",)

    name: Literal["classification"] = "classification"
    class_weights: Any = option(
        None,
        doc="weight of each class in the loss: a list of numbers, or balanced, by which each class "
        "weighs as much as any other, however rare",
        must=_WEIGHTS,
        example="balanced",
    )


@dataclass
class MultilabelConfig(TaskConfig, choice="multilabel"):
    """Any number of labels for each input, by binary cross-entropy."""

    implementation = "greensweep.tasks.multilabel.Multilabel"
    reads = "labels"
    default_metrics = ("average_precision",)

    name: Literal["multilabel"] = "multilabel"
    class_weights: Any = option(
        None,
        doc="weight of each label where it holds: a list of numbers, or balanced, by which a label "
        "weighs as much where it holds as where it does not",
        must=_WEIGHTS,
        example="balanced",
    )


@dataclass
class RegressionConfig(TaskConfig, choice="regression"):
    """One number or several for each input, by the mean squared error."""

    implementation = "greensweep.tasks.regression.Regression"
    reads = "values"
    default_metrics = ("rmse",)

    name: Literal["regression"] = "regression"
    standardise: bool = option(
        True, doc="learn targets of mean 0 and deviation 1; predictions are in the targets' unit"
    )


@dataclass
class CustomTaskConfig(TaskConfig, choice="custom"):
    name: Literal["custom"] = "custom"
    target: str = option(MISSING, doc="import path of a class of greensweep.tasks.Task")
    kwargs: dict[str, Any] = option(dict, doc="further arguments of that class")
