"""`result.json`: what one version writes, others read."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from greensweep.config.schema import TrainConfig
from greensweep.energy import ScriptedMeter
from greensweep.record.result import RunResult, find_result, read_result, write_result
from greensweep.record.summaries import (
    ComponentSummary,
    HistoryPoint,
    Inference,
    LayerEnergySummary,
    PhaseSummary,
    RepeatRun,
    Replayed,
    Spread,
)
from greensweep.runs.repeats import run_repeats
from greensweep.tracking.tracker import MemoryTracker

WHOLE = RunResult(
    status="finished",
    error=None,
    model="m",
    dataset="d",
    seed=3,
    metrics={"validation": {"macro_f1": 0.5, "auroc": None}},
    energy_components={"cpu": ComponentSummary(4.0, 3.0, "rapl", "measured", 0.1)},
    energy_phases={"training": PhaseSummary(4.0, None, 2.0, "measured")},
    inference=Inference(1.0, 0.1, 2.0, 640, 32, "measured"),
    layer_energy=LayerEnergySummary(key="time", joules={"conv": 4.0}, shares={"conv": 1.0}),
    history=(
        HistoryPoint(1, 2.0, "test", {"loss": 1.0, "accuracy": 0.5, "macro_f1": None}, 1.0, 2.0),
        HistoryPoint(2, None, "test", {"loss": None, "accuracy": 0.6}, None, None, 3),
    ),
    flops_left_out=("aten::odd",),
    overrides=("seed=3",),
    repeats=2,
    repeat_runs=(RepeatRun(3, "finished", 0.5, metrics={"test": {"macro_f1": 0.1}}),),
    spread={"energy_joules": Spread(1.0, 2.0, 6.0)},
    replayed=Replayed("runs.csv", "nearest", {"epoch": 25}, 2, 0.7, outside=True, fault="far"),
)

# As version 0.3 left it, with less than is known now, and two things that nobody knows.
EARLIER: dict[str, Any] = {
    "status": "finished",
    "error": None,
    "model": "simple_cnn",
    "dataset": "digits",
    "seed": 0,
    "validation_accuracy": 0.9,
    "energy_joules": 4.0,
    "energy_components": {"cpu": {"joules": 4.0, "source": "rapl", "quality": "measured"}},
    "energy_phases": {"training": {"joules": 4.0, "seconds": 2.0, "quality": "measured"}},
    "inference": {},
    "layer_energy": {},
    "history": [
        {"epoch": 1, "train_loss": 2.0, "validation_loss": 1.0, "validation_accuracy": 0.9}
    ],
    "repeat_runs": [{"seed": 0, "status": "finished", "energy_joules": 4.0, "color": "red"}],
    "spread": {"validation_accuracy": {"std": 0.1, "low": 0.8, "high": 1.0}, "test_accuracy": {}},
    "replayed": {},
    "weather": {"is": "fine"},
}


@pytest.mark.parametrize("result", [WHOLE, RunResult("failed", "an error", "m", "d", 0)])
def test_a_result_is_read_as_it_was_written(result: RunResult, tmp_path: Path) -> None:
    write_result(result, tmp_path)
    assert read_result(tmp_path) == result


def test_names_and_nesting_are_those_of_the_contract(tmp_path: Path) -> None:
    kept = json.loads(write_result(WHOLE, tmp_path).read_text())
    assert kept["energy_components"]["cpu"] == {
        "joules": 4.0,
        "net_joules": 3.0,
        "source": "rapl",
        "quality": "measured",
        "uncertainty_joules": 0.1,
    }
    assert kept["inference"]["joules_per_1000"] == 1.0
    assert kept["layer_energy"]["joules"] == {"conv": 4.0}
    assert kept["spread"]["energy_joules"]["std"] == 1.0
    assert kept["metrics"]["validation"]["macro_f1"] == 0.5
    assert kept["history"] == [
        {
            "epoch": 1,
            "train_loss": 2.0,
            "test_loss": 1.0,
            "test_accuracy": 0.5,
            "test_macro_f1": None,
            "seconds": 1.0,
            "energy_joules": 2.0,
        },
        {
            "epoch": 2,
            "train_loss": None,
            "test_loss": None,
            "test_accuracy": 0.6,
            "seconds": None,
            "energy_joules": None,
            "energy_epochs": 3,
        },
    ]
    nothing = json.loads(write_result(RunResult("failed", "x", "m", "d", 0), tmp_path).read_text())
    parts = ("energy_components", "inference", "layer_energy", "spread", "replayed")
    assert [nothing[name] for name in parts] == [{}] * 5
    assert (nothing["history"], nothing["repeat_runs"]) == ([], [])


def test_a_result_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text(json.dumps(EARLIER))
    result = read_result(tmp_path)
    assert result.energy_components == {"cpu": ComponentSummary(4.0, None, "rapl", "measured")}
    assert result.energy_phases == {"training": PhaseSummary(4.0, None, 2.0, "measured")}
    assert (result.inference, result.layer_energy, result.replayed) == (None, None, None)
    assert result.history == (HistoryPoint(1, 2.0, metrics={"loss": 1.0, "accuracy": 0.9}),)
    assert result.repeat_runs == (RepeatRun(0, "finished", energy_joules=4.0),)
    assert result.spread == {"validation_accuracy": Spread(0.1, 0.8, 1.0)}
    assert result.objective_value == 0.9  # of before there were other metrics
    write_result(result, tmp_path)
    assert read_result(tmp_path) == result


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"energy_components": 3}, "3 stands where names and values were expected"),
        ({"energy_components": {"cpu": 4.0}}, "4.0 stands where ComponentSummary was expected"),
        ({"history": {"epoch": 1}}, "{'epoch': 1} stands where a list was expected"),
        ({"history": [[1, 2.0]]}, "[1, 2.0] stands where HistoryPoint was expected"),
        ({"spread": {"energy_joules": {"low": 1.0}}}, "missing 1 required positional argument"),
        ({"inference": "none"}, "'none' stands where Inference was expected"),
    ],
)
def test_what_is_no_result_is_left_out_and_said(
    changed: dict[str, Any], said: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "result.json").write_text(json.dumps(EARLIER | changed))
    assert find_result(tmp_path) is None
    assert said in caplog.text
    assert "is no result of a run" in caplog.text


def test_a_result_of_repeats_is_read_as_it_was_returned(
    config: Callable[..., TrainConfig], tmp_path: Path
) -> None:
    asked = config(
        *("training.epochs=2", "repeats=2", "layer_energy=true", "metrics=[macro_f1]"),
        *("dataset.train_limit=64", "inference.batch_size=64"),
    )
    meter = ScriptedMeter([(1.0, 2.0), (1.0, 7.0)])
    result = run_repeats(asked, tmp_path, meter=meter, tracker=MemoryTracker(), test=True)
    assert read_result(tmp_path) == result
    assert result.energy_components and result.energy_phases and result.history
    assert result.inference and result.layer_energy and result.spread and result.repeat_runs
