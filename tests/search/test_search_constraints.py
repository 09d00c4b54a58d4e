"""What is wrong with a constraint is told before anything is trained."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from greensweep.config.schema import TrainConfig
from greensweep.errors import MissingFigure
from greensweep.nested import dotted
from greensweep.record.result import RunResult
from greensweep.record.summaries import ComponentSummary, Inference, Spread
from greensweep.search.constraint_errors import constraint_errors
from greensweep.search.constraints import broken_by
from greensweep.search.records import Outcome
from greensweep.study.planned import PlannedTraining

Compose = Callable[..., TrainConfig]


def faults(given: dict[str, Any], run: TrainConfig | None) -> list[str]:
    return list(constraint_errors(dotted(given), run and PlannedTraining(run)))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"max_accuracy": 80},
            "must be from 0 to 1, as accuracy is, got 80: set max_accuracy: 0.8",
        ),
        ({"min_validation_accuracy": 1.5}, "must be from 0 to 1"),
        ({"max_energy_measured_share": 3}, "must be from 0 to 1"),
        ({"max_spread.validation_accuracy.std": -1}, "must be at least 0"),
        ({"max_seconds": float("nan")}, "max_seconds must be finite, got nan"),
        ({"min_accuracy": float("-inf")}, "min_accuracy must be finite, got -inf"),
        ({"max_seconds": -5}, "max_seconds must be at least 0, as seconds is, got -5"),
        ({"max_joules_per_run": -1}, "must be at least 0, as spent_joules is"),
        ({"max_size": 0}, "no run keeps max_size=0, as parameters is above that"),
        ({"max_seconds": 0.0}, "no run keeps max_seconds=0"),
        ({"max_epochs": 0}, "no run keeps max_epochs=0"),
        ({"max_joules_per_run": 0}, "no run keeps max_joules_per_run=0"),
        ({"max_energy_kwh": -0.0}, "no run keeps max_energy_kwh=0"),
        ({"min_latency": -1}, "must be at least 0, as inference.seconds_per_1000 is"),
        ({"max_seconds": True}, "max_seconds must be a number, got True"),
        ({"max_seconds": "10"}, "max_seconds must be a number, got '10'"),
        ({"max_seconds": None}, "max_seconds must be a number, got None"),
        ({"max_seconds": [1]}, "max_seconds must be a number, got [1]"),
        ({"max_seconds": {}}, "max_seconds must be a number, got {}"),
        ({"speed": 3}, "takes max_NAME or min_NAME"),
        ({"max_": 3}, "takes max_NAME or min_NAME"),
        ({"max_acuracy": 1}, "no figure is called 'acuracy': did you mean accuracy"),
        ({"max_latancy": 1}, "did you mean latency"),
        ({"max_xyz": 1}, "no figure is called 'xyz': there are accuracy, joules, spent_joules"),
        ({"max_xyz": 1}, "inference.seconds_per_1000"),
        ({"max_xyz": 1}, "latency, size"),
        ({"max_seed": 1}, "no figure is called 'seed'"),
        ({"max_inference": {"seconds": 1}}, "did you mean inference.seconds_per_1000"),
        ({"min_seconds": 9, "max_time": 3}, "nothing keeps both min_seconds=9 and max_time=3"),
        ({"max_emissions_kg": 1}, "no figure of emissions_kg: set energy.country=NLD"),
        ({"max_energy_net_joules": 1}, "set energy.baseline=measure"),
        ({"min_test_accuracy": 0.5}, "bound validation_accuracy, since a search does not see"),
        ({"max_latency": 1}, "no figure of inference.seconds_per_1000: set inference.seconds=0.1"),
        ({"max_spread.validation_accuracy.std": 0.1}, "set repeats=3"),
    ],
)
def test_a_bound_that_means_nothing_is_named(
    config: Compose, given: dict[str, Any], said: str
) -> None:
    (fault,) = faults(given, config("inference.seconds=0"))
    assert fault.startswith("hydra.sweeper.constraints")
    assert said in fault


def test_each_of_several_faults_is_named(config: Compose) -> None:
    assert len(faults({"max_seconds": -5, "max_xyz": 1, "speed": 3}, config())) == 3


@pytest.mark.parametrize(
    ("constraint", "options"),
    [
        ("max_emissions", ["energy.country=NLD"]),
        ("max_emissions_kg", ["energy.grams_co2e_per_kwh=300"]),
        ("min_energy_net_joules", ["energy.baseline=measure"]),
        ("min_test_accuracy", ["select_on=test"]),
        ("min_validation_macro_f1", ["objective.metric=macro_f1"]),
        ("min_validation_accuracy", ["objective.metric=macro_f1"]),
        ("max_validation_rmse", ["task=regression"]),
        ("max_spread.energy_joules.std", ["repeats=2"]),
        ("max_inference.joules_per_1000", []),
        ("max_latency", []),
        ("max_size", []),
        ("max_energy_components.cpu.joules", []),
        ("max_energy_constant_share", []),
    ],
)
def test_a_bound_on_what_runs_have_is_none(
    config: Compose, constraint: str, options: list[str]
) -> None:
    assert faults({constraint: 0.5}, config(*options)) == []


@pytest.mark.parametrize(
    ("given", "options", "way_out"),
    [
        ({"min_validation_macro_f1": 0.5}, [], "add macro_f1 to metrics"),
        ({"min_validation_accuracy": 0.5}, ["task=regression"], "bound validation_rmse"),
        ({"min_accuracy": 0.5}, ["task=regression"], "bound validation_rmse"),
        ({"max_test_rmse": 5}, ["task=regression"], "bound validation_rmse, since a search does"),
        ({"min_validation_auroc": 2}, ["objective.metric=auroc"], "must be from 0 to 1"),
        ({"max_validation_mae": -1}, ["task=regression"], "must be at least 0"),
    ],
)
def test_a_bound_on_a_metric_that_runs_lack_is_named(
    config: Compose, given: dict[str, Any], options: list[str], way_out: str
) -> None:
    (fault,) = faults(given, config(*options))
    assert way_out in fault


def test_a_metric_below_zero_may_be_bounded_there(config: Compose) -> None:
    run = config("task=regression", "metrics=[rmse,r2]")
    assert faults({"min_validation_r2": -0.5}, run) == []


def test_a_bound_of_0_is_none_where_runs_keep_it(config: Compose) -> None:
    given = {"min_size": 0, "max_flops": 0, "max_energy_components.gpu.joules": 0}
    assert faults(given, config()) == []


def test_net_joules_may_be_bounded_below_zero(config: Compose) -> None:
    assert faults({"max_energy_net_joules": -5.0}, config("energy.baseline=measure")) == []


@pytest.mark.parametrize("name", ["size", "flops", "latency", "trainable_parameters"])
def test_a_replayed_run_has_no_figure_that_its_table_does_not_hold(
    config: Compose, name: str
) -> None:
    (fault,) = faults({f"max_{name}": 5}, config("training=replay", "replay.table=runs.csv"))
    assert "train instead of training=replay" in fault


def test_an_own_program_may_be_bound_by_whatever_it_reports() -> None:
    known = {"max_time": 5, "min_accuracy": 0.5, "max_energy": 5, "min_macro_f1": 0.8}
    own = {"max_mape": 12, "min_val_margin": -3, "max_latency": 5}
    assert faults(known | own, None) == []
    (fault,) = faults({"max_joule_per_run": 5}, None)
    assert "did you mean joules_per_run" in fault
    (fault,) = faults({"min_val_macro_f1": 80}, None)
    assert "min_val_macro_f1 must be from 0 to 1" in fault


@pytest.mark.parametrize(
    "figure",
    [
        "parameters",
        "inference.joules_per_1000",
        "inference.seconds_per_1000",
        "energy_components.cpu.joules",
        "spread.energy_joules.std",
        "validation_rmse",
    ],
)
def test_a_bound_is_held_against_the_figure_of_its_name_in_the_result(
    figure: str, tmp_path: Path
) -> None:
    result = RunResult(
        *("finished", None, "m", "d", 0),
        parameters=5,
        metrics={"validation": {"rmse": 5.0}},
        inference=Inference(joules_per_1000=5.0, seconds_per_1000=5.0),
        energy_components={"cpu": ComponentSummary(5.0)},
        spread={"energy_joules": Spread(5.0, 4.0, 6.0)},
    )
    bounds = {f"max_{figure}": 3.0, f"min_{figure}": 3.0}
    broken = broken_by(bounds, Outcome("finished"), result)
    assert broken == {f"max_{figure}": 2.0, f"min_{figure}": -2.0}
    without = RunResult("finished", None, "m", "d", 0)
    with pytest.raises(MissingFigure, match=f"bounds {figure}"):
        broken_by(bounds, Outcome("finished"), without)
