"""Which metrics a run computes, and by which of them it is selected."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from greensweep.config.metrics import METRICS, Metric, Targets
from greensweep.config.schema import TrainConfig
from greensweep.errors import ConfigError, unknown


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


def metrics_of(config: TrainConfig) -> tuple[list[Metric], Metric]:
    """Return the metrics of a run, and the one of them that it is selected by.

    Raises:
        ConfigError: as `choose_metrics`.
    """
    return choose_metrics(config.metrics, config.task.default_metrics, config.objective.metric)


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
