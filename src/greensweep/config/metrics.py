"""The metrics: what each is computed of, by whom, which direction is better, and its range.

This table is plain data, so that whoever asks for a metric's name or direction loads nothing else;
`greensweep.tasks.scores` computes them.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

Direction = Literal["maximize", "minimize"]
Targets = Literal["classes", "labels", "values"]
"""What is learnt: one class of several, any of several labels, or numbers."""

_OF_SPLIT = re.compile(r"(validation|val|test|train)[_/](.+)")
_LABELS = {
    "macro_f1": "macro F1",
    "weighted_f1": "weighted F1",
    "auroc": "AUROC",
    "rmse": "RMSE",
    "mae": "MAE",
    "r2": "R²",
}

_CLASSES: tuple[Targets, ...] = ("classes",)
_VALUES: tuple[Targets, ...] = ("values",)
_CATEGORIES: tuple[Targets, ...] = ("classes", "labels")


@dataclass(frozen=True)
class Metric:
    """What a run can be judged by.

    Attributes:
        name: under which results hold it.
        function: import path of what computes it, given targets and predictions.
        direction: in which it is better.
        low, high: its range.
        of: kinds of targets that it is defined for.
        given: what the function gets beside the targets. `decisions`: the likeliest class, or 0
            and 1 for each label. `probabilities`: of each class or label, beside targets of 0 and
            1 in the same shape; of two classes, the second one's alone. `predictions`: what the
            task predicts, as it is.
        arguments: further ones of the function.
        per_class: it returns a figure for each class or label.
    """

    name: str
    function: str
    direction: Direction = "maximize"
    low: float = 0.0
    high: float = 1.0
    of: tuple[Targets, ...] = (*_CATEGORIES, *_VALUES)
    given: Literal["decisions", "probabilities", "predictions"] = "predictions"
    arguments: Mapping[str, Any] = field(default_factory=dict)
    per_class: bool = False

    def is_better(self, value: float | None, than: float | None) -> bool:
        """Tell whether a value is better than another one; None is worse than any."""
        if value is None or than is None:
            return value is not None
        return value > than if self.direction == "maximize" else value < than

    @property
    def label(self) -> str:
        """What people call it: macro F1, validation RMSE; one of one's own as its function."""
        of_split = _OF_SPLIT.fullmatch(self.name)
        split, name = of_split.groups() if of_split else ("", self.name)
        if name not in METRICS:
            return self.name
        return f"{split} {_LABELS.get(name, name.replace('_', ' '))}".lstrip()

    @property
    def best_words(self) -> str:
        """What the best of several is: the most accurate, the best by RMSE."""
        return "the most accurate" if self.name == "accuracy" else f"the best by {self.label}"

    @property
    def is_share(self) -> bool:
        """Its range is 0 to 1."""
        return (self.low, self.high) == (0.0, 1.0)

    @property
    def range(self) -> float | None:
        """How far its ends are apart; None where it has not both."""
        return self.high - self.low if math.isfinite(self.high - self.low) else None

    @property
    def worst_score(self) -> float:
        """The score at the bad end of its range."""
        return self.low if self.direction == "maximize" else -self.high

    @property
    def best_score(self) -> float:
        """The score at the good end of its range."""
        return self.high if self.direction == "maximize" else -self.low

    def score(self, value: Any) -> Any:
        """Return a value, or a column of them, as a score, of which more is better; or back."""
        return value if self.direction == "maximize" else -value

    def text(self, value: float | None) -> str:
        """Return a value with 4 digits, behind the point where it lies between 0 and 1."""
        if value is None:
            return "-"
        is_small = self.is_share or value == 0 or 0.001 <= abs(value) <= 1
        return f"{value:.4f}" if is_small else f"{value:.4g}"


def capitalised(label: str) -> str:
    """Return a label as a sentence begins with it: RMSE and the name of a function stay."""
    return label if "_" in label else label[0].upper() + label[1:]


def _metric(name: str, function: str, of: tuple[Targets, ...], **options: Any) -> Metric:
    return Metric(name, f"sklearn.metrics.{function}", of=of, **options)


_NAN = {"zero_division": math.nan}

METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        _metric("accuracy", "accuracy_score", _CLASSES, given="decisions"),
        _metric("balanced_accuracy", "balanced_accuracy_score", _CLASSES, given="decisions"),
        _metric(
            "macro_f1", "f1_score", _CATEGORIES, given="decisions",
            arguments={"average": "macro", **_NAN},
        ),
        _metric(
            "weighted_f1", "f1_score", _CATEGORIES, given="decisions",
            arguments={"average": "weighted", **_NAN},
        ),
        _metric(
            "recall_per_class", "recall_score", _CATEGORIES, given="decisions", per_class=True,
            arguments={"average": None, **_NAN},
        ),
        _metric("auroc", "roc_auc_score", _CATEGORIES, given="probabilities"),
        _metric("average_precision", "average_precision_score", _CATEGORIES, given="probabilities"),
        _metric(
            "log_loss", "log_loss", _CLASSES, given="probabilities", direction="minimize",
            high=math.inf,
        ),
        _metric("rmse", "root_mean_squared_error", _VALUES, direction="minimize", high=math.inf),
        _metric("mae", "mean_absolute_error", _VALUES, direction="minimize", high=math.inf),
        _metric("r2", "r2_score", _VALUES, low=-math.inf),
    )
}  # fmt: skip


def metric_called(name: str, direction: Direction | None = None) -> Metric | None:
    """Return the metric that a table or a result names; None where its direction is not known.

    Args:
        name: of `METRICS`, of one's own, or with a prefix, as in val_rmse.
        direction: that stands beside it.
    """
    endings = (each for each in METRICS.values() if re.search(f"[_/]{each.name}$", name))
    metric = METRICS.get(name) or next(endings, None)
    if metric is None and direction is None:
        return None
    metric = metric or Metric(name, "", low=-math.inf, high=math.inf)
    return replace(metric, name=name, direction=direction or metric.direction)


def directed_metric(name: str, direction: Direction) -> Metric:
    """Return the metric of that name, in the direction that a result states beside it."""
    found = metric_called(name, direction)
    assert found is not None
    return found
