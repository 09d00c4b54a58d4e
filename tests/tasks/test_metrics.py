"""Metrics are scikit-learn's figures of what was predicted; one that is undefined is none."""

import logging
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from greensweep.config.metrics import METRICS, Metric, choose_metrics, directed_metric, read_metric
from greensweep.errors import ConfigError
from greensweep.tasks import Scores

# Three images of class a, two of b, one of c; one a is taken for b, and c for a.
CLASSES = ["a", "b", "c"]
TARGETS = np.array([0, 0, 0, 1, 1, 2])
PROBABILITIES = np.array(
    [
        [0.7, 0.2, 0.1],
        [0.6, 0.1, 0.3],
        [0.2, 0.5, 0.3],
        [0.1, 0.8, 0.1],
        [0.3, 0.4, 0.3],
        [0.5, 0.3, 0.2],
    ]
)
# Two labels of four images: the first is ranked well, but for one that is below a half.
LABELS = np.array([[1, 0], [1, 1], [0, 0], [0, 1]], dtype=np.float32)
LABEL_PROBABILITIES = np.array([[0.9, 0.2], [0.4, 0.6], [0.3, 0.7], [0.1, 0.8]])
VALUES, PREDICTED = np.array([1.0, 2.0, 4.0]), np.array([1.0, 3.0, 2.0])

# By hand: one against the rest, each class's pairs of a positive and a negative in the right order.
AUROC = np.mean([(3 + 3 + 1) / 9, (4 + 3) / 8, 2 / 5])
BY_HAND = {
    "classes": {
        "accuracy": 4 / 6,
        "balanced_accuracy": np.mean([2 / 3, 1.0, 0.0]),
        "macro_f1": np.mean([4 / 6, 4 / 5, 0.0]),
        "weighted_f1": (3 * 4 / 6 + 2 * 4 / 5) / 6,
        "recall_per_class": {"a": 2 / 3, "b": 1.0, "c": 0.0},
        "auroc": AUROC,
        "log_loss": -np.mean(np.log([0.7, 0.6, 0.2, 0.8, 0.4, 0.2])),
    },
    "labels": {
        "macro_f1": np.mean([2 / 3, 4 / 5]),
        "weighted_f1": np.mean([2 / 3, 4 / 5]),  # either label holds twice
        "recall_per_class": {"a": 1 / 2, "b": 1.0},
        "auroc": np.mean([1.0, 3 / 4]),
        "average_precision": np.mean([1.0, (1 + 2 / 3) / 2]),
    },
    "values": {"rmse": math.sqrt(5 / 3), "mae": 1.0, "r2": 1 - 5 / (14 / 3)},
}
GIVEN = {
    "classes": (TARGETS, PROBABILITIES),
    "labels": (LABELS, LABEL_PROBABILITIES),
    "values": (VALUES, PREDICTED),
}


def computed(kind: Any, metrics: list[Metric], *given: np.ndarray) -> dict[str, float | None]:
    names = {"classes": CLASSES, "labels": CLASSES[:2], "values": []}[kind]
    scores = Scores(metrics, kind, names)
    return scores.compute(*(given or GIVEN[kind]), accuracy=4 / 6, split="validation")


@pytest.mark.parametrize(
    ("kind", "name", "expected"),
    [(kind, name, value) for kind, each in BY_HAND.items() for name, value in each.items()],
)
def test_a_metric_is_what_its_definition_gives_by_hand(
    kind: str, name: str, expected: float | dict[str, float]
) -> None:
    found = computed(kind, [METRICS[name]])
    if isinstance(expected, dict):
        expected = {f"{name}/{each}": value for each, value in expected.items()}
    else:
        expected = {name: expected}
    assert found == pytest.approx(expected)


def test_of_two_classes_the_second_one_is_ranked() -> None:
    targets = np.array([0, 1, 0, 1])
    second = np.array([0.1, 0.4, 0.6, 0.9])
    given = targets, np.stack([1 - second, second], axis=1)
    found = computed("classes", [METRICS["auroc"], METRICS["average_precision"]], *given)
    assert found == pytest.approx({"auroc": 3 / 4, "average_precision": (1 + 2 / 3) / 2})


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_keeps_to_its_range_and_gets_better_in_its_direction(name: str) -> None:
    metric = METRICS[name]
    for kind in metric.of:
        targets, guessed = GIVEN[kind]
        known = 0.98 * (np.eye(3)[targets] if kind == "classes" else targets) + 0.01
        scores = Scores([metric], kind, CLASSES[: guessed.shape[-1]] if guessed.ndim > 1 else [])
        worse = scores.compute(targets, guessed, accuracy=0.5, split="validation")
        better = scores.compute(targets, known, accuracy=1.0, split="validation")
        assert worse.keys() == better.keys()
        for figure in worse:
            low, high = worse[figure], better[figure]
            assert low is not None and high is not None
            assert metric.low <= low <= metric.high and metric.low <= high <= metric.high
            assert high == low or metric.is_better(high, low), (figure, low, high)
        assert worse != better


@pytest.mark.parametrize("name", ["auroc", "average_precision", "log_loss"])
def test_a_metric_of_a_split_with_one_class_is_none_and_told_once(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    probabilities = np.array([[0.2, 0.8], [0.6, 0.4]])
    scores = Scores([METRICS[name]], "classes", ["a", "b"])
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            given = np.zeros(2, dtype=np.int64), probabilities
            assert scores.compute(*given, accuracy=0.5, split="validation") == {name: None}
    (told,) = [record.getMessage() for record in caplog.records]
    assert told.startswith(f"{name} is undefined on the validation split (")
    assert told.endswith("): it is null there.") and "nan" not in told


def test_a_class_that_the_split_lacks_has_no_recall_and_others_keep_theirs() -> None:
    found = computed("classes", [METRICS["recall_per_class"]], TARGETS[:5], PROBABILITIES[:5])
    expected = {"recall_per_class/a": 2 / 3, "recall_per_class/b": 1.0, "recall_per_class/c": None}
    assert found == pytest.approx(expected)


def test_no_prediction_is_asked_for_where_accuracy_is_enough() -> None:
    assert not Scores([METRICS["accuracy"]], "classes", CLASSES).need_predictions
    assert Scores([METRICS["auroc"]], "classes", CLASSES).need_predictions


def test_a_metric_of_other_targets_is_refused() -> None:
    """As a task of one's own may read, which the configuration does not know."""
    with pytest.raises(ConfigError, match="accuracy is no metric of values, which the task learns"):
        Scores([METRICS["accuracy"]], "values")


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The module of a user's own metrics."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own_metrics.py").write_text(
        "def sure(targets, predictions):\n"
        "    return predictions[range(len(targets)), targets].min()\n"
        "def broken(targets, predictions):\n"
        "    raise KeyError('weights')\n"
        "def nothing(targets, predictions):\n"
        "    return float('nan')\n"
    )
    return "own_metrics"


def test_a_function_of_ones_own_gets_targets_and_probabilities(own: str) -> None:
    assert computed("classes", [read_metric(f"{own}.sure")]) == {"sure": 0.2}


@pytest.mark.parametrize(
    ("name", "why"), [("broken", "KeyError: 'weights'"), ("nothing", "it is nan")]
)
def test_a_function_of_ones_own_that_fails_costs_its_own_figure_alone(
    own: str, name: str, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    found = computed("classes", [read_metric(f"{own}.{name}"), METRICS["balanced_accuracy"]])
    assert found == pytest.approx({name: None, "balanced_accuracy": 5 / 9})
    assert f"{name} is undefined on the validation split ({why}): it is null" in caplog.text


def test_metrics_are_chosen_by_name_and_the_objectives_is_among_them() -> None:
    metrics, objective = choose_metrics(["auroc", "log_loss"], ["accuracy"], "log_loss")
    assert [each.name for each in metrics] == ["auroc", "log_loss"]
    assert (objective.name, objective.direction) == ("log_loss", "minimize")
    metrics, objective = choose_metrics(["auroc"], ["accuracy"], None)
    assert [each.name for each in metrics] == ["auroc", "accuracy"]
    assert objective.name == "accuracy"
    own = {"target": "mine.loss", "direction": "minimize"}
    for wanted in ("loss", "mine.loss"):
        _, objective = choose_metrics([own], ["accuracy"], wanted)
        assert (objective.name, objective.direction) == ("loss", "minimize")


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (["acuracy"], "metrics: no metric is called 'acuracy': did you mean accuracy"),
        ([{"target": "mine.f", "direction": "up"}], "got {'target': 'mine.f', 'direction': 'up'}"),
        ([{"target": "f"}], "metrics: a function of your own is my_package.my_metric, or {target"),
        (["mine.f", "yours.f"], "metrics has f more than once: give each its own name"),
    ],
)
def test_what_is_no_metric_is_refused(asked: list[Any], said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        choose_metrics(asked, ["accuracy"], None)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("direction", "value", "than", "better"),
    [
        ("maximize", 0.2, 0.1, True),
        ("maximize", 0.1, 0.1, False),
        ("minimize", 0.2, 0.1, False),
        ("minimize", 0.1, 0.2, True),
        ("minimize", None, 0.2, False),
        ("maximize", 0.1, None, True),
        ("maximize", None, None, False),
    ],
)
def test_better_is_by_the_direction_and_none_is_worse_than_any(
    direction: Any, value: float | None, than: float | None, better: bool
) -> None:
    assert Metric("m", "a.m", direction=direction).is_better(value, than) is better


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("macro_f1", "macro F1"),
        ("validation_rmse", "validation RMSE"),
        ("val_balanced_accuracy", "val balanced accuracy"),
        ("my_rmse", "my_rmse"),
    ],
)
def test_a_metric_is_called_as_people_call_it(name: str, label: str) -> None:
    assert directed_metric(name, "minimize").label == label
