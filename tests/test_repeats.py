"""Repeats: one configuration, several seeds, told as a mean with its spread."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import Finished
from mlflow import MlflowClient

from greensweep.config.schema import TrainConfig
from greensweep.energy import EnergyReading, ScriptedMeter, UnmeteredMeter
from greensweep.errors import TrainingError
from greensweep.intervals import mean_interval
from greensweep.record.result import read_result
from greensweep.record.summaries import Spread
from greensweep.runs.repeats import run_repeats
from greensweep.search.folders import trial_directories
from greensweep.study.trials import read_trials
from greensweep.tracking.tracker import MemoryTracker

Cli = Callable[..., Finished]
Compose = Callable[..., TrainConfig]
QUICK = ("training.epochs=2", "tracking=local", "inference.seconds=0")


def repeats_of(folder: Path) -> list[dict[str, Any]]:
    paths = sorted(folder.glob("repeats/*/result.json"))
    return [json.loads(path.read_text()) for path in paths]


def test_figures_are_means_and_costs_are_sums(config: Compose, tmp_path: Path) -> None:
    tracker = MemoryTracker()
    result = run_repeats(
        config(*QUICK, "repeats=3", "seed=5"),
        tmp_path,
        meter=ScriptedMeter([(1.0, 2.0), (1.0, 7.0), (1.0, 3.0), (1.0, 11.0), (1.0, 5.0)]),
        tracker=tracker,
        test=True,
    )
    runs = repeats_of(tmp_path)
    assert [run["seed"] for run in runs] == [5, 6, 7]
    assert result.repeats == 3
    for name in ("validation_accuracy", "test_accuracy", "energy_joules", "seconds"):
        assert getattr(result, name) == pytest.approx(sum(run[name] for run in runs) / 3)
    assert result.energy_spent_joules == sum(run["energy_spent_joules"] for run in runs)
    assert result.energy_phases["training"].joules == pytest.approx(3 * result.energy_joules)
    assert result.energy_components["cpu"].joules == pytest.approx(result.energy_joules)
    assert [run.energy_joules for run in result.repeat_runs] == [
        run["energy_joules"] for run in runs
    ]
    assert len({run["validation_accuracy"] for run in runs}) > 1  # the seeds did differ
    assert [point.epoch for point in result.history] == [1, 2]
    assert result.history[1].metrics["accuracy"] == pytest.approx(
        sum(run["history"][1]["validation_accuracy"] for run in runs) / 3
    )
    best = max(runs, key=lambda run: run["validation_accuracy"])
    assert result.checkpoint == best["checkpoint"]
    assert read_result(tmp_path) == result
    assert [child.name for child in tracker.children] == [f"run, repeat {i}" for i in range(3)]
    assert tracker.metrics["energy/training_joules"] == result.energy_joules


class KnowsIdle(ScriptedMeter):
    """A meter that knows the idle power, 1 W, in some of the runs that it is started for."""

    def __init__(self, *knowing: bool) -> None:
        super().__init__([(1.0, 4.0)])
        self._knowing, self._knows = iter(knowing), False

    def start(self) -> None:
        super().start()
        self._knows = next(self._knowing)

    def lap(self, computes: bool = True) -> EnergyReading:
        lap = super().lap()
        net = 3.0 if self._knows else None
        return replace(lap, components={"cpu": replace(lap.components["cpu"], net_joules=net)})


@pytest.mark.parametrize("knowing", [(True, True), (True, False), (False, True)])
def test_net_energy_is_that_of_all_repeats_or_not_known(
    config: Compose, tmp_path: Path, knowing: tuple[bool, bool]
) -> None:
    result = run_repeats(
        config(*QUICK, "repeats=2"),
        tmp_path,
        meter=KnowsIdle(*knowing),
        tracker=MemoryTracker(),
        test=False,
    )
    known = all(knowing)
    assert result.energy_phases["training"].joules == 16.0  # of two repeats, of two epochs each
    assert result.energy_phases["training"].net_joules == (12.0 if known else None)
    assert result.energy_net_joules == (6.0 if known else None)
    assert result.energy_components["cpu"].net_joules == (6.0 if known else None)


def test_the_interval_is_students_for_the_mean_within_the_range(
    config: Compose, tmp_path: Path
) -> None:
    result = run_repeats(
        config(*QUICK, "repeats=3", "training.epochs=1"),
        tmp_path,
        meter=UnmeteredMeter(),
        tracker=MemoryTracker(),
        test=False,
    )
    values = [run.validation_accuracy for run in result.repeat_runs]
    mean = sum(values) / 3
    deviation = (sum((value - mean) ** 2 for value in values) / 2) ** 0.5
    spread = result.spread["validation_accuracy"]
    assert spread.std == pytest.approx(deviation)
    assert (spread.low, spread.high) == pytest.approx(
        mean_interval(mean, spread.std, 3, (0.0, 1.0))
    )
    assert "energy_joules" not in result.spread  # nothing was metered
    assert "test_accuracy" not in result.spread  # nothing was tested


def test_one_repeat_is_a_plain_run_without_a_spread(config: Compose, tmp_path: Path) -> None:
    result = run_repeats(
        config(*QUICK), tmp_path, meter=UnmeteredMeter(), tracker=MemoryTracker(), test=False
    )
    assert (result.repeats, result.repeat_runs, result.spread) == (1, (), {})
    assert not (tmp_path / "repeats").exists()


def test_a_repeat_that_fails_fails_the_run_and_keeps_what_all_cost(
    config: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from greensweep.runs import setup

    seeds = []

    def train(*arguments: Any, seed: int, **options: Any) -> Any:
        seeds.append(seed)
        if seed == 1:
            raise TrainingError("the training loss became nan in epoch 1")
        return real(*arguments, seed=seed, **options)

    real = setup.Training
    monkeypatch.setattr(setup, "Training", train)
    tracker = MemoryTracker()
    with pytest.raises(TrainingError, match="became nan"):
        run_repeats(
            config(*QUICK, "repeats=3"),
            tmp_path,
            meter=ScriptedMeter([(1.0, 4.0)]),
            tracker=tracker,
            test=False,
        )
    assert seeds == [0, 1]
    result = read_result(tmp_path)
    assert result.status == "failed"
    assert result.error == ("repeat 2 of 3 failed: the training loss became nan in epoch 1")
    runs = repeats_of(tmp_path)
    assert [run["status"] for run in runs] == ["finished", "failed"]
    assert result.energy_spent_joules == sum(run["energy_spent_joules"] for run in runs)
    assert result.energy_joules == runs[0]["energy_joules"]
    assert tracker.status == "FAILED"


def test_in_a_sweep_repeats_are_grandchildren_and_trials_are_still_trials(
    cli: Cli, tmp_path: Path
) -> None:
    ended = cli(
        "train.py", "-m", "hydra/sweeper=optuna", "hydra.sweep.dir=sweep", "warmup=0",
        "hydra.sweeper.n_trials=2", "training.epochs=2", "repeats=2", "inference.seconds=0",
    )  # fmt: skip
    assert ended.status == 0, ended.errors
    trials = read_trials(tmp_path / "sweep")
    assert [trial.number for trial in trials] == [0, 1]
    assert len(trial_directories(tmp_path / "sweep")) == 2
    client = MlflowClient(f"sqlite:///{tmp_path}/mlruns/mlflow.db")
    runs = {run.info.run_id: run for run in client.search_runs(["1"])}
    assert len(runs) == 1 + 2 + 4
    for trial in trials:
        trial_id = trial.result.mlflow_run_id
        below = [r for r in runs.values() if r.data.tags.get("mlflow.parentRunId") == trial_id]
        assert {r.info.run_id for r in below} == {
            run.mlflow_run_id for run in trial.result.repeat_runs
        }
        assert {r.data.params["seed"] for r in below} == {"0", "1"}
        mean = sum(r.data.metrics["validation/accuracy"] for r in below) / 2
        assert runs[trial_id].data.metrics["validation/accuracy"] == pytest.approx(mean)
        std = runs[trial_id].data.metrics["validation/accuracy_std"]
        assert std == trial.result.spread["validation_accuracy"].std
    # The winner's repeats are all tested, and their mean is the trial's; nothing else is kept.
    study = json.loads((tmp_path / "sweep" / "study.json").read_text())
    for trial in trials:
        weights = sorted((tmp_path / "sweep").glob(f"{trial.number}/repeats/*/model.pt"))
        tested = [run.test_accuracy for run in trial.result.repeat_runs]
        if trial.number in study["pareto_trials"]:
            assert len(weights) == 2
            assert trial.result.test_accuracy == pytest.approx(sum(tested) / 2)
            stored = runs[trial.result.mlflow_run_id].data.metrics["test/accuracy"]
            assert stored == trial.result.test_accuracy
        else:
            assert (weights, tested, trial.result.test_accuracy) == ([], [None, None], None)


def test_the_search_sees_the_mean(config: Compose, tmp_path: Path) -> None:
    from greensweep.study.planned import objective_values

    parsed = config(*QUICK, "repeats=2", "training.epochs=1", "objective=pareto")
    result = run_repeats(
        parsed, tmp_path, meter=ScriptedMeter([(1.0, 4.0)]), tracker=MemoryTracker(), test=False
    )
    values = [run.validation_accuracy for run in result.repeat_runs]
    assert objective_values(parsed.objective, result) == (pytest.approx(sum(values) / 2), 4.0)


def test_repeats_that_could_not_reach_their_server_are_sent_below_their_run(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from greensweep.study.upload import upload

    ended = cli("train.py", *QUICK, "training.epochs=1", "repeats=2", "hydra.run.dir=run")
    assert ended.status == 0, ended.errors
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/later.db")
    assert len(upload(tmp_path / "run")) == 3
    client = MlflowClient(f"sqlite:///{tmp_path}/later.db")
    trial = read_result(tmp_path / "run")
    below = [
        run.info.run_id
        for run in client.search_runs(["1"])
        if run.data.tags.get("mlflow.parentRunId") == trial.mlflow_run_id
    ]
    assert len(below) == 2
    assert upload(tmp_path / "run") == []


def test_a_run_says_that_its_figures_are_means(config: Compose, tmp_path: Path) -> None:
    from greensweep.study.sentences import run_line

    result = run_repeats(
        config(*QUICK, "repeats=2", "training.epochs=1"),
        tmp_path,
        meter=ScriptedMeter([(1.0, 4.0)]),
        tracker=MemoryTracker(),
        test=False,
    )
    assert run_line(result).endswith("means of 2 repeats")  # which have no interval
    fixed = replace(
        result,
        repeats=3,
        validation_accuracy=0.5,
        energy_joules=40.0,
        spread={
            "validation_accuracy": Spread(std=0.1, low=0.4, high=0.6),
            "energy_joules": Spread(std=1.0, low=38.0, high=42.0),
        },
    )
    assert "validation accuracy 0.5000 (0.4000 to 0.6000)" in run_line(fixed)
    assert "training energy 40 J (38 to 42) gross (replayed)" in run_line(fixed)
    assert run_line(fixed).endswith("means of 3 repeats with 95 % intervals")
