"""What each task learns and predicts, and how it is built from the configuration."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import (
    binary_cross_entropy_with_logits,
    cross_entropy,
    huber_loss,
    mse_loss,
)

from greensweep.config import schema_task
from greensweep.config.schema import TrainConfig
from greensweep.data import Splits, TensorSplit
from greensweep.errors import ConfigError
from greensweep.tasks import Task, build_task, imbalance, targets_of
from greensweep.tasks.classification import Classification
from greensweep.tasks.multilabel import Multilabel
from greensweep.tasks.regression import Regression

CPU = torch.device("cpu")
CLASSES = torch.tensor([0, 0, 0, 0, 1, 1, 2, 0])  # of class 0 there are 5, of 1 two, of 2 one
OUTPUTS = torch.randn(8, 3, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([[1.0, 0.0], [1.0, 1.0], [1.0, 0.0], [0.0, 0.0]])

Compose = Callable[..., TrainConfig]


def splits_of(targets: Tensor, classes: tuple[str, ...] = ()) -> Splits:
    split = TensorSplit(torch.zeros(len(targets), 1, 1, 1), targets)
    return Splits(split, split, split, classes)


def built(config: schema_task.TaskConfig, targets: Tensor, classes: str = "", **how: Any) -> Task:
    return build_task(config, splits_of(targets, tuple(classes)), CPU, **how)


# --- classification -----------------------------------------------------------------------------


def test_classification_lowers_cross_entropy_and_predicts_probabilities() -> None:
    task = built(schema_task.ClassificationConfig(), CLASSES, "abc", label_smoothing=0.2)
    assert task.outputs == 3
    smooth = cross_entropy(OUTPUTS, CLASSES, label_smoothing=0.2)
    assert torch.equal(task.loss(OUTPUTS, CLASSES), smooth)
    # A split is judged without smoothing.
    total = cross_entropy(OUTPUTS, CLASSES, reduction="sum")
    assert torch.equal(task.total_loss(OUTPUTS, CLASSES), total)
    assert torch.equal(task.predict(OUTPUTS), OUTPUTS.softmax(dim=1))
    assert task.correct(OUTPUTS, OUTPUTS.argmax(dim=1)).item() == 8


def test_balanced_weights_give_every_class_the_same_part_of_the_loss() -> None:
    config = schema_task.ClassificationConfig(class_weights="balanced")
    task = built(config, CLASSES, "abc")
    losses = cross_entropy(OUTPUTS, CLASSES, reduction="none")
    of_class = [losses[CLASSES.eq(each)].mean() for each in range(3)]
    assert task.loss(OUTPUTS, CLASSES).item() == pytest.approx(torch.stack(of_class).mean().item())
    assert torch.equal(
        task.total_loss(OUTPUTS, CLASSES), cross_entropy(OUTPUTS, CLASSES, reduction="sum")
    )


def test_a_class_without_training_data_leaves_balanced_weights_finite() -> None:
    config = schema_task.ClassificationConfig(class_weights="balanced")
    assert built(config, CLASSES, "abcd").loss(torch.zeros(8, 4), CLASSES).isfinite()


def test_listed_weights_are_those_of_the_loss() -> None:
    config = schema_task.ClassificationConfig(class_weights=[1, 2.5, 0])
    expected = cross_entropy(OUTPUTS, CLASSES, weight=torch.tensor([1, 2.5, 0]))
    assert torch.equal(built(config, CLASSES, "abc").loss(OUTPUTS, CLASSES), expected)


def test_weights_for_other_classes_than_there_are_are_refused() -> None:
    config = schema_task.ClassificationConfig(class_weights=[1, 2])
    with pytest.raises(ConfigError) as refused:
        built(config, CLASSES, "abc")
    assert str(refused.value) == (
        "task.class_weights has 2 weights, and the data set 3 classes: give one for each, in "
        "their order, or set task.class_weights=balanced"
    )


# --- several labels -----------------------------------------------------------------------------


def test_multilabel_lowers_binary_cross_entropy_of_each_label() -> None:
    outputs = OUTPUTS[:4, :2]
    task = built(schema_task.MultilabelConfig(), LABELS, "ab")
    mean = binary_cross_entropy_with_logits(outputs, LABELS)
    assert torch.equal(task.loss(outputs, LABELS), mean)
    assert task.total_loss(outputs, LABELS).item() == pytest.approx(4 * mean.item())
    assert torch.equal(task.predict(outputs), outputs.sigmoid())
    assert task.correct(outputs, LABELS) is None


def test_balanced_labels_weigh_as_much_where_they_hold_as_where_they_do_not() -> None:
    task = built(schema_task.MultilabelConfig(class_weights="balanced"), LABELS, "ab")
    outputs = OUTPUTS[:4, :2]
    expected = binary_cross_entropy_with_logits(
        outputs, LABELS, pos_weight=torch.tensor([1 / 3, 3 / 1])
    )
    assert torch.equal(task.loss(outputs, LABELS), expected)


# --- numbers ------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(6,), (6, 1), (6, 2)])
def test_regression_learns_standardised_targets_and_predicts_in_their_unit(
    shape: tuple[int, ...],
) -> None:
    targets = 100 + 7 * torch.randn(shape, generator=torch.Generator().manual_seed(1))
    task = built(schema_task.RegressionConfig(), targets)
    assert task.outputs == (shape[1] if len(shape) > 1 else 1)
    perfect = (targets - targets.mean(dim=0)) / targets.std(dim=0, correction=0)
    outputs = perfect.reshape(6, -1)
    assert task.loss(outputs, targets).item() == pytest.approx(0, abs=1e-9)
    assert torch.allclose(task.predict(outputs), targets)
    # To answer the mean costs the targets' own variance.
    assert task.loss(torch.zeros_like(outputs), targets).item() == pytest.approx(1, rel=1e-5)


def test_regression_may_learn_targets_as_they_are() -> None:
    targets = torch.tensor([1.0, 2.0, 6.0])
    task = built(schema_task.RegressionConfig(standardise=False), targets)
    outputs = torch.tensor([[1.0], [1.0], [3.0]])
    assert torch.equal(task.loss(outputs, targets), mse_loss(outputs[:, 0], targets))
    assert torch.equal(task.predict(outputs), outputs[:, 0])


def test_targets_that_are_all_alike_can_be_learnt() -> None:
    targets = torch.full((4,), 3.0)
    task = built(schema_task.RegressionConfig(), targets)
    assert task.loss(torch.zeros(4, 1), targets).item() == 0
    assert torch.equal(task.predict(torch.zeros(4, 1)), targets)


# --- losses and tasks of one's own --------------------------------------------------------------


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A user's own module of tasks and losses."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own_tasks.py").write_text(
        "from torch.nn.functional import huber_loss\n"
        "from greensweep.tasks import Task\n"
        "def hinge(outputs, targets):\n"
        "    best = outputs.gather(1, targets[:, None])\n"
        "    return (1 + outputs - best).clamp_min(0).mean()\n"
        "class Interval(Task):\n"
        "    targets = 'values'\n"
        "    def __init__(self, training_targets, size, *, width=1.0):\n"
        "        super().__init__(training_targets, size)\n"
        "        self.width = width\n"
        "    @property\n"
        "    def outputs(self):\n"
        "        return 2 * self.size\n"
        "    def loss(self, outputs, targets):\n"
        "        return huber_loss(outputs.mean(dim=1), targets, delta=self.width)\n"
        "    def predict(self, outputs):\n"
        "        return outputs.mean(dim=1)\n"
        "class Silent(Interval):\n"
        "    targets = 'words'\n"
        "number = 3\n"
    )
    return "own_tasks"


def test_a_loss_of_ones_own_is_trained_and_evaluated(own: str) -> None:
    config = schema_task.ClassificationConfig(loss=f"{own}.hinge")
    task = built(config, CLASSES, "abc")
    best = OUTPUTS.gather(1, CLASSES[:, None])
    expected = (1 + OUTPUTS - best).clamp_min(0).mean()
    assert torch.equal(task.loss(OUTPUTS, CLASSES), expected)
    assert torch.equal(task.total_loss(OUTPUTS, CLASSES), 8 * expected)


def test_a_loss_may_be_a_class_of_torchs() -> None:
    config = schema_task.RegressionConfig(loss="torch.nn.HuberLoss", standardise=False)
    targets, outputs = torch.tensor([0.0, 5.0]), torch.tensor([[0.5], [1.0]])
    task = built(config, targets)
    assert torch.equal(task.loss(outputs, targets), huber_loss(outputs[:, 0], targets))


def test_a_task_of_ones_own_says_what_it_reads_and_how_many_outputs_it_needs(own: str) -> None:
    config = schema_task.CustomTaskConfig(target=f"{own}.Interval", kwargs={"width": 2.0})
    assert targets_of(config) == "values"
    task = built(config, torch.tensor([1.0, 2.0]))
    assert task.outputs == 2
    outputs, targets = torch.tensor([[1.0, 3.0], [9.0, 9.0]]), torch.tensor([2.0, 4.0])
    assert torch.equal(task.predict(outputs), torch.tensor([2.0, 9.0]))
    expected = huber_loss(torch.tensor([2.0, 9.0]), targets, delta=2.0)
    assert torch.equal(task.loss(outputs, targets), expected)


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("own_tasks.hinge", "task.target=own_tasks.hinge must be a class of greensweep.tasks.Task"),
        ("own_tasks.Silent", "task.target=own_tasks.Silent does not say what it reads: write"),
        ("own_tasks.Intervall", "no name in own_tasks is called 'Intervall': did you mean Inter"),
        ("own_tasks.qqqq", "no name in own_tasks is called 'qqqq': there are Interval, Silent"),
        ("Interval", "task.target=Interval is no import path"),
    ],
)
def test_what_is_no_task_is_refused(own: str, target: str, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        targets_of(schema_task.CustomTaskConfig(target=target))
    assert said in str(refused.value)


def test_arguments_that_a_task_does_not_take_are_one_sentence(own: str) -> None:
    config = schema_task.CustomTaskConfig(target=f"{own}.Interval", kwargs={"wide": 2.0})
    with pytest.raises(
        ConfigError, match=r"own_tasks.Interval cannot be built \(TypeError: .*wide"
    ):
        built(config, torch.tensor([1.0, 2.0]))


def test_a_loss_that_is_no_function_is_refused(own: str) -> None:
    config = schema_task.RegressionConfig(loss=f"{own}.number")
    with pytest.raises(ConfigError, match=r"task\.loss=own_tasks\.number is no function"):
        built(config, torch.tensor([1.0, 2.0]))


def test_a_task_of_classes_of_ones_own_has_accuracy_by_its_predictions() -> None:
    class Opposite(Task):
        targets = "classes"

        def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
            return outputs.mean()

        def predict(self, outputs: Tensor) -> Tensor:
            return (-outputs).softmax(dim=1)

    task = Opposite(CLASSES, 3)
    right = task.correct(OUTPUTS, OUTPUTS.argmin(dim=1))
    assert right is not None and right.item() == 8


# --- the configuration --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "kind", "reads", "metric", "direction"),
    [
        ("classification", Classification, "classes", "accuracy", "maximize"),
        ("multilabel", Multilabel, "labels", "average_precision", "maximize"),
        ("regression", Regression, "values", "rmse", "minimize"),
    ],
)
def test_a_task_comes_with_its_class_its_targets_and_its_metric(
    config: Compose, name: str, kind: type[Task], reads: str, metric: str, direction: str
) -> None:
    parsed = config(f"task={name}")
    assert targets_of(parsed.task) == reads == kind.targets
    assert parsed.task.default_metrics[0] == metric
    assert parsed.objective.direction == direction
    targets = {"classes": CLASSES, "labels": LABELS, "values": LABELS[:, 0]}[reads]
    assert isinstance(built(parsed.task, targets, "" if reads == "values" else "abc"), kind)


# --- one class with most of the data ------------------------------------------------------------


@pytest.mark.parametrize(
    ("counts", "is_told"),
    [((60, 40), False), ((74, 26), False), ((75, 25), True), ((50, 25, 25), True)],
)
def test_one_class_with_most_of_the_data_is_told_with_the_way_out(
    counts: tuple[int, ...], is_told: bool
) -> None:
    labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    told = imbalance(labels, tuple("abc"[: len(counts)]))
    assert (told is not None) is is_told
    if told is not None:
        assert told.startswith(f"{counts[0]}% of the training data are of class 'a', so that")
        assert "objective.metric=balanced_accuracy" in told
