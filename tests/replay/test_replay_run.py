"""A replayed run: what it reports, leaves and records."""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Finished
from tables import CURVES, write

from greensweep.config.schema import TrainConfig
from greensweep.config.store import load_run_config
from greensweep.errors import ConfigError, StudyError, TrialEnded
from greensweep.nested import to_json
from greensweep.record.reporting import Progress
from greensweep.record.result import RunResult, read_result
from greensweep.runs.replay.run import replay_once
from greensweep.runs.replay.source import replay_model
from greensweep.tracking.tracker import MemoryTracker

Cli = Callable[..., Finished]
Compose = Callable[..., TrainConfig]
Results = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def curves(config: Compose, tmp_path: Path) -> Callable[..., TrainConfig]:
    """A run of the curves: `curves("training.epochs=2")`."""
    path = write(tmp_path, CURVES)

    def composed(*overrides: str) -> TrainConfig:
        return config(
            "training=replay",
            f"replay.table={path}",
            "training.epochs=3",
            "optimizer.learning_rate=0.1",
            *overrides,
        )

    return composed


def run(config: TrainConfig, folder: Path, **arguments: Any) -> tuple[RunResult, MemoryTracker]:
    tracker = MemoryTracker(run_id="7")
    replay_once(config, folder / "run", tracker=tracker, **arguments)
    return read_result(folder / "run"), tracker


def test_a_recorded_test_accuracy_is_never_called_a_validation_accuracy(
    curves: Compose, tmp_path: Path
) -> None:
    result, tracker = run(curves("select_on=test"), tmp_path)
    assert (result.test_accuracy, result.validation_accuracy) == (0.7, None)
    assert result.selected_on_test
    assert [point.metrics["accuracy"] for point in result.history] == [0.5, 0.7, 0.6]
    assert tracker.history[1] == (
        2,
        {"test/accuracy": 0.7, "energy/epoch_joules": 15.0, "energy/cumulative_joules": 25.0},
    )
    assert tracker.tags["selected_on_test"] == "true"


def test_the_units_of_the_recorded_figures_may_be_told(
    config: Compose, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path, "learning_rate acc cost seconds\n0.1 90 0.001 1\n0.01 0.5 0.002 1")
    asked = config(
        "training=replay", f"replay.table={tmp_path}/runs.csv", "replay.columns.accuracy=acc",
        "replay.columns.energy=cost", "replay.columns.energy_unit=MWh",
        "replay.columns.accuracy_unit=percent", "optimizer.learning_rate=0.1",
        "replay.options=[optimizer.learning_rate]",
    )  # fmt: skip
    with pytest.raises(StudyError, match=r"W in the median run, .* replay\.columns\.energy_unit"):
        run(asked, tmp_path)
    asked.replay.columns.energy_unit = "Wh"
    result, _ = run(asked, tmp_path)
    assert (result.validation_accuracy, result.energy_joules) == (0.9, pytest.approx(3.6))
    asked.replay.columns.energy_unit = "mWh"
    run(asked, tmp_path)
    assert "less than a machine trains on: is replay.columns.energy_unit right?" in caplog.text


def test_a_replayed_run_may_be_told_by_its_last_epoch(curves: Compose, tmp_path: Path) -> None:
    result, _ = run(curves("training.keep=last"), tmp_path)
    assert (result.validation_accuracy, result.best_epoch, result.epochs) == (0.6, 3, 3)


def test_a_curve_is_replayed_epoch_by_epoch(curves: Compose, tmp_path: Path) -> None:
    reports: list[Progress] = []
    result, tracker = run(curves(), tmp_path, report=reports.append, trial=3, overrides=["a=1"])
    assert reports == [
        Progress(1, 0.5, 10.0, 10.0, 3, seconds=1.0),
        Progress(2, 0.7, 25.0, 25.0, 3, seconds=2.5),
        Progress(3, 0.6, 45.0, 45.0, 3, seconds=4.0),
    ]
    assert (result.status, result.error) == ("finished", None)
    assert (result.validation_accuracy, result.best_epoch, result.epochs) == (0.7, 2, 3)
    assert (result.energy_joules, result.energy_spent_joules, result.seconds) == (45.0, 45.0, 4.0)
    assert result.energy_kwh == pytest.approx(45 / 3.6e6)
    assert result.energy_quality == "replayed"
    assert result.energy_measured_share == 0.0
    assert result.energy_components["cpu"].joules == 45.0
    assert result.energy_components["cpu"].source == "replay"
    assert [point.energy_joules for point in result.history] == [10.0, 15.0, 20.0]
    assert [point.seconds for point in result.history] == [1.0, 1.5, 1.5]
    assert (result.trial, result.overrides, result.mlflow_run_id) == (3, ("a=1",), "7")
    assert (result.checkpoint, result.device, result.flops) == (None, None, None)
    assert result.layers == {}
    assert tracker.status == "FINISHED"
    assert tracker.history[1] == (
        2,
        {"validation/accuracy": 0.7, "energy/epoch_joules": 15.0, "energy/cumulative_joules": 25.0},
    )
    assert tracker.metrics["energy/training_joules"] == 45.0
    assert tracker.tags["replay.outside"] == "false"
    assert {path.name for path in tracker.files} == {"config.yaml", "result.json"}


def test_it_says_where_its_figures_are_from(curves: Compose, tmp_path: Path) -> None:
    config = curves("optimizer.learning_rate=0.5", "replay.component=gpu")
    result, tracker = run(config, tmp_path)
    said = "optimizer.learning_rate=0.5 lies outside of the recorded 0.01 to 0.1"
    assert to_json(result.replayed) == {
        "table": str(tmp_path / "runs.csv"),
        "method": "nearest",
        "where": {},
        "line": 2,
        # The space of the run has a logarithmic learning rate: log(5) of log(10).
        "distance": pytest.approx(0.69897),
        "outside": True,
        "fault": said,
    }
    assert tracker.tags["replay.outside"] == "true"
    assert list(result.energy_components) == ["gpu"]
    assert load_run_config(tmp_path / "run" / "config.yaml") == config


def test_outside_may_be_refused(curves: Compose, tmp_path: Path) -> None:
    config = curves("optimizer.learning_rate=0.5", "replay.outside=refuse")
    with pytest.raises(StudyError) as refused:
        run(config, tmp_path)
    result = read_result(tmp_path / "run")
    assert str(refused.value) == result.error
    assert result.error == (
        f"{tmp_path / 'runs.csv'} does not answer this run, since optimizer.learning_rate=0.5 "
        "lies outside of the recorded 0.01 to 0.1: search what was recorded, or set "
        "replay.outside=mark"
    )
    assert (result.status, result.energy_joules, result.energy_quality) == (
        "failed",
        None,
        "unmeasured",
    )
    assert result.replayed
    assert result.replayed.outside


@pytest.mark.parametrize("status", ["pruned", "stopped"])
def test_an_ended_trial_cost_what_it_had_reached(
    curves: Compose, tmp_path: Path, status: Any
) -> None:
    def judge(progress: Progress) -> None:
        if progress.epoch == 2:
            raise TrialEnded(status, "no good")

    with pytest.raises(TrialEnded):
        run(curves(), tmp_path, report=judge)
    result = read_result(tmp_path / "run")
    assert (result.status, result.error) == (status, "no good")
    assert (result.energy_joules, result.energy_spent_joules, result.seconds) == (25.0, 25.0, 2.5)
    assert (result.epochs, len(result.history), result.validation_accuracy) == (2, 2, 0.7)


def test_an_interrupted_run_says_where(curves: Compose, tmp_path: Path) -> None:
    def interrupt(progress: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(curves(), tmp_path, report=interrupt)
    result = read_result(tmp_path / "run")
    assert (result.status, result.error) == ("stopped", "interrupted in epoch 2")
    assert result.energy_joules == 10.0


def test_patience_ends_a_curve_as_it_ends_a_training(curves: Compose, tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    path.write_text(path.read_text().replace("0.70", "0.40"))
    result, _ = run(curves("training.patience=1"), tmp_path)
    assert (result.epochs, result.best_epoch, result.energy_joules) == (2, 1, 25.0)


def test_a_table_is_read_once_until_it_changes(
    curves: Compose, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    one = replay_model(curves())
    other = replay_model(curves("optimizer.learning_rate=0.02", "seed=5", "training.epochs=1"))
    assert other is one
    assert replay_model(curves("replay.radius=1")) is not one
    lines = [text for text in caplog.messages if "(nearest)" in text]
    assert len(lines) == 2
    assert lines[0] == (
        f"{tmp_path / 'runs.csv'} answers with 2 recorded configurations by "
        "optimizer.learning_rate (nearest); each left out in turn, they err by 30 points of "
        "accuracy and 35 % of the joules (root mean squares)."
    )
    # The epochs of a curve are told apart.
    assert "The table does not distinguish runs by training.batch_size: " in caplog.messages[1]
    path = tmp_path / "runs.csv"
    path.write_text(path.read_text().replace("0.1,3,0.60,45", "0.1,3,0.60,450"))
    assert replay_model(curves()).answer({"optimizer.learning_rate": 0.1}).joules == 450.0


def test_what_is_not_told_apart_is_warned_of_once(
    config: Compose, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write(
        tmp_path,
        """
        learning_rate epsilon seed model accuracy energy_joules
        0.1           1e-8    0    a     0.5      1
        0.2           1e-7    1    b     0.6      2
        """,
    )
    for _ in range(2):
        replay_model(config("training=replay", f"replay.table={path}", "space=default"))
    assert [each.message for each in caplog.records if each.levelname == "WARNING"] == [
        "The table does not distinguish runs by training.batch_size, training.epochs: searching "
        "that makes no difference.",
        "The rows used differ in epsilon, model too, which the answers mix: keep one value by "
        "replay.where, or name the option in replay.options.",
    ]


def test_an_option_that_the_run_lacks_is_refused(config: Compose, tmp_path: Path) -> None:
    path = write(tmp_path, "gamma accuracy energy_joules\n1 0.5 1")
    made = config("training=replay", f"replay.table={path}", "replay.options=[optimizer.gamma]")
    with pytest.raises(ConfigError, match=r"^replay\.options names optimizer\.gamma, but no optio"):
        run(made, tmp_path)
    assert read_result(tmp_path / "run").status == "failed"


def test_a_logarithm_of_what_the_table_lacks_is_refused(curves: Compose) -> None:
    with pytest.raises(StudyError, match=r"^replay\.log: no dimension is called 'training\.batch"):
        replay_model(curves("replay.log=[training.batch_size]"))


def test_the_choice_of_a_group_may_distinguish_runs(config: Compose, tmp_path: Path) -> None:
    path = write(tmp_path, "optimizer accuracy energy_joules\nadam 0.5 1\nsgd 0.6 2")
    asked = ("training=replay", f"replay.table={path}", "replay.options=[optimizer]")
    result, _ = run(config(*asked, "optimizer=sgd"), tmp_path)
    assert result.replayed is not None
    assert (result.validation_accuracy, result.replayed.outside) == (0.6, False)


def test_options_inside_of_free_arguments_are_found(config: Compose, tmp_path: Path) -> None:
    path = write(tmp_path, "width accuracy energy_joules\n8 0.5 1\n16 0.6 2")
    made = config(
        "training=replay",
        f"replay.table={path}",
        "replay.options=[model.kwargs.width]",
        "model=custom",
        "model.target=mine.Net",
        "+model.kwargs.width=15",
    )
    assert run(made, tmp_path)[0].energy_joules == 2.0


def test_a_sweep_is_replayed_without_metering_or_testing(
    cli: Cli, results: Results, tmp_path: Path
) -> None:
    rows = [f"{10 ** (-4 + index / 10):.6g} {index / 40} {100 + index}" for index in range(31)]
    path = write(tmp_path, "\n".join(["learning_rate accuracy energy_joules", *rows]))
    done = cli(
        "train.py",
        "-m",
        "training=replay",
        f"replay.table={path}",
        "replay.log=[optimizer.learning_rate]",
        "optimizer.learning_rate=0.011,0.034,0.09",
        "hydra.sweep.dir=sweep",
    )
    assert done.status == 0, done.errors
    found = results("sweep")
    assert [each["status"] for each in found] == ["finished"] * 3
    lines = path.read_text().splitlines()
    for each in found:
        rate, accuracy, joules = lines[each["replayed"]["line"] - 1].split(",")
        assert each["validation_accuracy"] == float(accuracy)
        assert each["energy_joules"] == float(joules)
        assert each["test_accuracy"] is None
        asked = float(
            dict(text.split("=") for text in each["overrides"])["optimizer.learning_rate"]
        )
        assert float(rate) == pytest.approx(asked, rel=0.13)
    study = json.loads((tmp_path / "sweep" / "study.json").read_text())
    assert study["energy_spent_joules"] == sum(each["energy_joules"] for each in found)
    assert study["energy_quality"] == "replayed"
    assert study["energy_reference_joules"] is None
    assert study["energy_test_joules"] is None
    assert not (tmp_path / "sweep" / "reference_job.json").exists()
    import mlflow

    client = mlflow.MlflowClient("sqlite:///mlruns/mlflow.db")
    recorded = client.get_run(found[2]["mlflow_run_id"]).data
    assert recorded.metrics["energy/training_joules"] == found[2]["energy_joules"]
    assert recorded.tags["replay.outside"] == "false"
    assert recorded.params["replay.table"] == str(path)


def test_a_forgotten_training_replay_is_named(cli: Cli) -> None:
    done = cli("train.py", "replay.table=runs.csv")
    assert done.status == 1
    assert done.errors.splitlines()[-1] == (
        "Error: replay.table says how runs are replayed, but none is: set training=replay too"
    )
