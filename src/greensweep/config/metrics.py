"""The metrics: what each is computed of, in which direction it is better, and which a run computes.

The table is plain data, so that whoever asks for a name or a direction loads nothing else;
`greensweep.tasks.scores` computes them.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from greensweep.errors import ConfigError, rounded, unknown

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
        is_small = is_small and math.isfinite(value)
        return f"{value + 0.0:.4f}" if is_small else rounded(value, 4)


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


def direction_fault(option: str, metric: Metric | None, asked: object) -> str | None:
    """Say that an option asks for a metric in the direction in which it is worse.

    Args:
        metric: of the table, or whose direction is said elsewhere; None is better as is asked.
    """
    if metric is None or asked not in ("maximize", "minimize") or asked == metric.direction:
        return None
    better = "lower" if asked == "maximize" else "higher"
    return f"{option}={asked}, but {metric.name} is better the {better} it is: leave {option} out"


def directed_metric(name: str, direction: Direction) -> Metric:
    """Return the metric of that name, in the direction that a result states beside it."""
    found = metric_called(name, direction)
    assert found is not None
    return found


def read_metric(entry: Any) -> Metric:
    """Return the metric that an entry of the option `metrics` names.

    Args:
        entry: a name of the table; the import path of a function of one's own, (targets,
            predictions) to a number, which is maximised; or a mapping of `target`, that path, and
            `direction`.

    Raises:
        ConfigError: it is none of these.
    """
    given = {"target": entry} if isinstance(entry, str) and "." in entry else entry
    if isinstance(given, str) and given in METRICS:
        return METRICS[given]
    if not isinstance(given, Mapping):
        raise ConfigError(f"metrics: {unknown('metric', str(entry), METRICS)}")
    target = given.get("target")
    direction: Any = given.get("direction", "maximize")
    if (
        given.keys() - {"target", "direction"}
        or not isinstance(target, str)
        or "." not in target
        or direction not in ("maximize", "minimize")
    ):
        raise ConfigError(
            "metrics: a function of your own is my_package.my_metric, or {target: "
            f"my_package.my_metric, direction: minimize}}, got {dict(given)}"
        )
    return Metric(target.rpartition(".")[2], target, direction, low=-math.inf, high=math.inf)


def unfit(metric: Metric, targets: Targets) -> str | None:
    """Say that a metric is not for such targets, if so."""
    if targets in metric.of:
        return None
    fitting = ", ".join(name for name, each in METRICS.items() if targets in each.of)
    return f"{metric.name} is no metric of {targets}, which the task learns: take {fitting}"


def choose_metrics(
    asked: Any, default: Sequence[str], objective: str | None
) -> tuple[list[Metric], Metric]:
    """Return the metrics of a run, and the one of them that it is selected by.

    Args:
        asked: the option `metrics`: a list of what `read_metric` takes, or one of these; None is
            the task's own.
        default: the task's own.
        objective: the option `objective.metric`, which may name another one; None is the first of
            the task's own.

    Raises:
        ConfigError: one of them does not exist, none is given, or two have one name.
    """
    entries = default if asked is None else asked
    is_list = isinstance(entries, Sequence) and not isinstance(entries, str)
    metrics = [read_metric(entry) for entry in (entries if is_list else [entries])]
    wanted = objective or next(iter(default), None)
    if wanted is None and not metrics:
        raise ConfigError(
            "a task of your own has no metric of its own: set metrics=[accuracy], say"
        )
    found = [each for each in metrics if wanted in (None, each.name, each.function)]
    if not found:
        found = [read_metric(wanted)]
        metrics += found
    names = [each.name for each in metrics]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(f"metrics has {', '.join(twice)} more than once: give each its own name")
    return metrics, found[0]
