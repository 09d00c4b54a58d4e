"""The metrics of a run: by epoch, in its result, and as what its epochs are chosen by."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Finished

from greensweep.config.schema import TrainConfig
from greensweep.energy import ScriptedMeter, UnmeteredMeter
from greensweep.errors import ConfigError, DataError, StudyError
from greensweep.record.reporting import Progress
from greensweep.record.result import RunResult, read_result
from greensweep.record.tracked_names import tracked_metrics
from greensweep.runs import kept_model
from greensweep.runs.once import run_once
from greensweep.runs.repeats import run_repeats
from greensweep.study.planned import objective_values
from greensweep.study.sentences import run_line
from greensweep.tracking.tracker import MemoryTracker

Cli = Callable[..., Finished]
Compose = Callable[..., TrainConfig]

QUICK = (
    "training.epochs=2", "dataset.train_limit=200", "tracking=local", "energy=unmetered",
    "inference.seconds=0",
)  # fmt: skip
# A rate at which figures get worse again before the end.
ROUGH = (*QUICK, "training.epochs=4", "optimizer.learning_rate=0.03")


def run(config: TrainConfig, folder: Path, **options: Any) -> RunResult:
    given: dict[str, Any] = {"meter": UnmeteredMeter(), "tracker": MemoryTracker(), "test": True}
    return run_once(config, folder, **{**given, **options})


def along(result: RunResult, name: str) -> list[float]:
    return [value for point in result.history if (value := point.to_json()[name]) is not None]


def test_metrics_are_told_by_epoch_and_kept_of_validation_and_test(
    config: Compose, tmp_path: Path
) -> None:
    tracker = MemoryTracker()
    asked = config(*QUICK, "metrics=[balanced_accuracy,log_loss,recall_per_class]")
    result = run(asked, tmp_path, tracker=tracker)
    assert read_result(tmp_path) == result
    assert list(result.metrics) == ["validation", "test"]
    names = ["balanced_accuracy", "log_loss", *(f"recall_per_class/{n}" for n in range(10))]
    for split, figures in result.metrics.items():
        assert list(figures) == [*names, "accuracy"]
        assert figures["accuracy"] == getattr(result, f"{split}_accuracy")
        for name in figures:
            assert tracker.metrics[f"{split}/{name}"] == figures[name]
    kept = result.history[(result.best_epoch or 0) - 1]
    for name, value in result.metrics["validation"].items():
        assert kept.metrics[name] == value
    # What the loop's own loss is, too: the two are computed apart.
    assert result.metrics["validation"]["log_loss"] == pytest.approx(kept.metrics["loss"])
    recalls = [result.metrics["test"][name] for name in names[2:]]
    assert result.metrics["test"]["balanced_accuracy"] == pytest.approx(np.mean(recalls))
    shown = [metrics["validation/log_loss"] for _, metrics in tracker.history]
    assert shown == along(result, "validation_log_loss")
    line = run_line(result)
    assert f"validation log loss {result.metrics['validation']['log_loss']:.4g}" in line
    assert "recall" not in line


def test_without_other_metrics_a_run_has_accuracy_alone(config: Compose, tmp_path: Path) -> None:
    result = run(config(*QUICK), tmp_path)
    assert result.metrics == {
        "validation": {"accuracy": result.validation_accuracy},
        "test": {"accuracy": result.test_accuracy},
    }
    assert (result.objective_metric, result.objective_direction) == ("accuracy", "maximize")
    assert result.objective_value == result.validation_accuracy


@pytest.mark.parametrize(
    ("metric", "best", "direction"),
    [("log_loss", min, "minimize"), ("balanced_accuracy", max, "maximize")],
)
def test_the_objectives_metric_chooses_the_epoch_and_is_what_the_search_gets(
    config: Compose,
    tmp_path: Path,
    metric: str,
    best: Callable[[list[float]], float],
    direction: str,
) -> None:
    reports: list[Progress] = []
    asked = config(*ROUGH, f"objective.metric={metric}")
    result = run(asked, tmp_path, report=reports.append)
    reached = along(result, f"validation_{metric}")
    assert best(reached) != reached[-1], "the last epoch must not be the best"
    assert result.best_epoch == 1 + reached.index(best(reached))
    assert result.metrics["validation"][metric] == best(reached) == result.objective_value
    assert (result.objective_metric, result.objective_direction) == (metric, direction)
    assert [each.objective_value for each in reports if each.epoch] == reached
    assert {each.metric for each in reports} == {metric}
    assert objective_values(asked.objective, result) == best(reached)
    # The kept weights are those of that epoch.
    tested = kept_model.evaluate_checkpoint(Path(result.checkpoint or ""), UnmeteredMeter())
    assert tested.test.metrics[metric] == pytest.approx(result.metrics["test"][metric])


@pytest.mark.parametrize(("objective", "name"), [("accuracy", "log_loss"), ("pareto", "pareto")])
def test_params_name_the_metric_that_is_the_objective(
    config: Compose, tmp_path: Path, objective: str, name: str
) -> None:
    options = (f"objective={objective}", "objective.metric=log_loss", "energy=codecarbon")
    tracker = MemoryTracker()
    run(config(*QUICK, *options, "training.epochs=1"), tmp_path, tracker=tracker)
    assert tracker.params["objective.name"] == name
    assert tracker.params["objective.metric"] == "log_loss"


def test_patience_counts_by_the_objectives_metric(config: Compose, tmp_path: Path) -> None:
    patient = (*ROUGH, "training.epochs=30", "training.patience=1", "objective.metric=log_loss")
    result = run(config(*patient), tmp_path)
    reached = along(result, "validation_log_loss")
    assert result.epochs == (result.best_epoch or 0) + 1 < 30
    assert reached[-1] >= reached[-2] == min(reached)


def test_a_price_makes_a_minimised_metric_larger(config: Compose, tmp_path: Path) -> None:
    asked = config("objective=priced", "objective.metric=log_loss")
    assert asked.objective.direction == "minimize"
    result = RunResult(
        "finished", None, "m", "d", 0, energy_joules=2000.0, objective_metric="log_loss",
        objective_direction="minimize", metrics={"validation": {"log_loss": 0.5}},
    )  # fmt: skip
    assert objective_values(asked.objective, result) == pytest.approx(0.5 + 0.01 * 2)
    pareto = config("objective=pareto", "objective.metric=log_loss")
    assert pareto.objective.direction == ["minimize", "minimize"]
    assert objective_values(pareto.objective, result) == (0.5, 2000.0)


def test_a_run_without_the_metric_that_is_searched_for_says_so(config: Compose) -> None:
    result = RunResult("finished", None, "m", "d", 0, objective_metric="auroc")
    with pytest.raises(StudyError, match="the run has no validation auroc to search for"):
        objective_values(config("objective.metric=auroc").objective, result)


@pytest.fixture
def one_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    """A data set of two classes, of which the validation split has one, and 9 of 10 are."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "one_class.py").write_text(
        "import numpy as np\n"
        "def splits():\n"
        "    images = np.random.default_rng(0).integers(0, 256, (40, 4, 4), dtype=np.uint8)\n"
        "    labels = (np.arange(40) % 10 == 0).astype(int)\n"
        "    seen = images[labels == 0]\n"
        "    return {'train': (images, labels), 'test': (images, labels),\n"
        "            'validation': (seen, np.zeros(len(seen), int)), 'classes': ['dog', 'cat']}\n"
    )
    return (
        "dataset=custom", "dataset.target=one_class.splits", "model=dense_linear",
        "training.batch_size=8", "training.epochs=2", "tracking=local", "inference.seconds=0",
    )  # fmt: skip


def test_an_undefined_metric_is_null_and_an_undefined_objective_ends_the_run_at_once(
    config: Compose, tmp_path: Path, one_class: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    asked = config(*one_class, "energy=unmetered", "metrics=[auroc]")
    result = run(asked, tmp_path / "beside")
    assert result.metrics["validation"]["auroc"] is None
    assert result.metrics["test"]["auroc"] is not None
    told = [r.getMessage() for r in caplog.records if "auroc" in r.getMessage()]
    assert len(told) == 1 and told[0].startswith("auroc is undefined on the validation split (")
    wanted = replace(asked, objective=replace(asked.objective, metric="auroc"))
    with pytest.raises(DataError) as refused:
        run(wanted, tmp_path / "wanted", meter=ScriptedMeter([(1.0, 4.0)]))
    assert str(refused.value) == (
        "auroc is undefined on the validation split, so that no epoch can be chosen by it: set "
        "another objective.metric, or give the split more data"
    )
    left = read_result(tmp_path / "wanted")
    assert (left.status, left.error) == ("failed", str(refused.value))
    assert left.energy_joules == 4.0  # of the one epoch that was trained


def test_one_class_with_most_of_the_data_is_told_where_accuracy_is_the_objective(
    cli: Cli, one_class: tuple[str, ...]
) -> None:
    told = "90% of the training data are of class 'dog', so that predicting it always is as"
    ended = cli("train.py", *one_class, "energy=unmetered", "training.epochs=1")
    assert ended.status == 0 and told in ended.output + ended.errors
    assert "objective.metric=balanced_accuracy" in ended.output + ended.errors
    other = cli(
        "train.py", *one_class, "energy=unmetered", "objective.metric=balanced_accuracy",
        "training.epochs=1", "hydra.run.dir=other",
    )  # fmt: skip
    assert other.status == 0 and told not in other.output + other.errors


def test_repeats_have_the_means_of_all_metrics_and_the_spread_of_each(
    config: Compose, tmp_path: Path
) -> None:
    tracker = MemoryTracker()
    asked = config(*QUICK, "repeats=2", "objective.metric=log_loss", "model=dense_linear")
    result = run_repeats(
        asked, tmp_path, meter=UnmeteredMeter(), tracker=tracker, test=True
    )  # fmt: skip
    runs = [read_result(tmp_path / "repeats" / str(number)) for number in range(2)]
    for split in ("validation", "test"):
        values = [run.metrics[split]["log_loss"] or math.nan for run in runs]
        assert result.metrics[split]["log_loss"] == pytest.approx(np.mean(values))
        spread = result.spread[f"{split}_log_loss"]
        assert spread.std == pytest.approx(np.std(values, ddof=1))
        assert tracker.metrics[f"{split}/log_loss_std"] == spread.std
    best = min(runs, key=lambda run: run.objective_value or math.inf)
    assert result.checkpoint == best.checkpoint
    assert result.objective_value == result.metrics["validation"]["log_loss"]
    assert result.repeat_runs[1].metrics == runs[1].metrics


def test_names_of_classes_are_tracked_without_what_mlflow_refuses() -> None:
    metrics = {"test": {"recall_per_class/cat (wild), 1|2": 0.5}}
    result = RunResult("finished", None, "m", "d", 0, metrics=metrics)
    assert tracked_metrics(result)["test/recall_per_class/cat _wild__ 1_2"] == 0.5


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (
            ["metrics=[rmse]"],
            "rmse is no metric of classes, which the task learns: take accuracy, balanced",
        ),
        (["metrics=3"], "metrics: no metric is called '3'"),
        (
            ["objective.metric=recall_per_class"],
            "objective.metric=recall_per_class has a figure for each class",
        ),
        (
            ["objective.metric=log_loss", "objective.direction=maximize"],
            "objective.direction=maximize, but log_loss is better the lower it is: leave "
            "objective.direction out",
        ),
        (
            ["objective.metric=mine.f", "objective.direction=minimize"],
            "leave objective.direction out, or set metrics=[{target: mine.f, direction: minimize}]",
        ),
        (
            ["task=custom", "task.target=mine.Task"],
            "a task of your own has no metric of its own: set metrics=[accuracy], say",
        ),
        (
            ["task.class_weights=[1,-2]"],
            "task.class_weights must be balanced, null, or a list of numbers from 0, of which some "
            "are above it, got [1, -2]",
        ),
        (["task.class_weights=[0,0]"], "some are above it, got [0, 0]"),
        (
            ["task.class_weights=balanced", "task.loss=mine.loss"],
            "task.class_weights weighs the task's own loss, and task.loss is another one",
        ),
        (
            ["task=regression", "training.label_smoothing=0.1"],
            "training.label_smoothing=0.1 is of classes, which task=regression has none of",
        ),
        (
            ["training=replay", "replay.table=runs.csv", "objective.metric=auroc"],
            "objective.metric=auroc is measured by training, and training=replay gives accuracy "
            "alone",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_options_of_metrics_that_contradict_each_other_are_refused(
    config: Compose, overrides: list[str], said: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        config(*overrides)
    assert said in str(refused.value)


def test_a_single_metric_needs_no_list(config: Compose) -> None:
    metrics, _ = config("metrics=auroc").chosen_metrics()
    assert [each.name for each in metrics] == ["auroc", "accuracy"]
    own = config("metrics={target: mine.loss, direction: minimize}", "objective.metric=loss")
    assert own.objective.direction == "minimize"


def test_the_direction_of_a_search_is_that_of_its_metric(config: Compose) -> None:
    assert config().objective.direction == "maximize"
    assert config("objective.metric=log_loss").objective.direction == "minimize"
    own = "metrics=[{target: mine.loss, direction: minimize}]"
    assert config(own, "objective.metric=loss").objective.direction == "minimize"
    assert config("task=regression").objective.direction == "minimize"
    assert config("task=regression", "metrics=[r2]").objective.direction == "minimize"  # rmse's
    assert config("task=regression", "objective.metric=r2").objective.direction == "maximize"
