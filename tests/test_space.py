"""One declared space, written for each strategy."""

import csv
import math
from collections.abc import Callable

import pytest
from conftest import SHARED

from greensweep.config.schema import TrainConfig
from greensweep.errors import StudyError
from greensweep.study.space import read_space, search_params

SPACE = {
    "optimizer.learning_rate": {"low": 1e-4, "high": 1e-1, "log": True, "levels": 4},
    "optimizer.beta1": {"low": 0.1, "high": 0.9, "levels": 5},
    "training.epochs": {"low": 3, "high": 15, "integer": True, "levels": 3},
    "model.width": {"low": 8, "high": 512, "integer": True, "log": True, "levels": 4},
    "model.relu": {"choices": [False, True]},
    "training.device": {"choices": ["cpu", None]},
}


def test_samplers_get_continuous_ranges() -> None:
    assert search_params(SPACE, sampler_target="optuna.samplers.TPESampler", fixed_keys=()) == {
        "optimizer.learning_rate": "tag(log,interval(0.0001,0.1))",
        "optimizer.beta1": "interval(0.1,0.9)",
        "training.epochs": "range(3,16)",
        "model.width": "tag(log,interval(8,512))",
        "model.relu": "choice(false,true)",
        "training.device": "cpu,null",  # Hydra's choice(…) takes no null
    }


def test_a_grid_gets_levels_with_both_ends_evenly_spaced_on_their_scale() -> None:
    assert search_params(SPACE, sampler_target="optuna.samplers.GridSampler", fixed_keys=()) == {
        "optimizer.learning_rate": "choice(0.0001,0.001,0.01,0.1)",
        "optimizer.beta1": "choice(0.1,0.3,0.5,0.7,0.9)",
        "training.epochs": "choice(3,9,15)",
        "model.width": "choice(8,32,128,512)",
        "model.relu": "choice(false,true)",
        "training.device": "cpu,null",  # Hydra's choice(…) takes no null
    }


def test_what_the_command_line_fixes_is_not_searched() -> None:
    params = search_params(
        SPACE,
        sampler_target="optuna.samplers.GridSampler",
        fixed_keys=["training.epochs", "optimizer.beta1"],
    )
    assert set(params) == set(SPACE) - {"training.epochs", "optimizer.beta1"}


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        ({"low": 3, "high": 1}, "must have low at most high, got 3 > 1"),
        ({"low": 0, "high": 1, "log": True}, "low must be above 0, got 0"),
        ({"low": 0.5, "high": 2, "integer": True}, "must be whole, got 0.5 and 2"),
        ({"low": "a", "high": 2}, "must have numbers as low and high"),
        ({"low": 1}, "must have numbers as low and high, got 1 and None"),
        ({"low": 1, "high": 2, "steps": 1}, "does not know steps"),
        ({"low": 1, "high": 2, "levels": 0}, "at least 1 of levels, got 0"),
        ({"low": 1, "high": 2, "endpoint": 0.5}, "must have true or false as endpoint, got 0.5"),
        ({"low": 2, "high": 2, "endpoint": False}, "leaves nothing: low and high are both 2"),
        ({"choices": []}, "at least one value under choices"),
        (5, "must be {low, high} or {choices}, got 5"),
        ({"low": float("nan"), "high": 1}, "must have numbers"),
    ],
)
def test_a_malformed_dimension_is_refused(declared: object, said: str) -> None:
    with pytest.raises(StudyError, match=r"space: x\.y ") as refused:
        read_space({"x.y": declared})
    assert said in str(refused.value)


def test_all_malformed_dimensions_are_named_at_once() -> None:
    with pytest.raises(StudyError, match=r"space: a must.*; space: b must"):
        read_space({"a": {"low": 2, "high": 1}, "b": 3, "c": {"choices": [1]}})


def test_whole_ends_do_not_make_a_range_integer() -> None:
    space = {"a": {"low": 0, "high": 1}}
    assert search_params(space, sampler_target="TPESampler", fixed_keys=()) == {
        "a": "interval(0.0,1.0)"
    }


def test_a_grid_needs_levels() -> None:
    with pytest.raises(StudyError, match="a has no levels, which a grid needs"):
        search_params({"a": {"low": 1, "high": 2}}, sampler_target="GridSampler", fixed_keys=())


def test_one_level_and_narrow_integer_ranges() -> None:
    grid = {"a": {"low": 1, "high": 2, "levels": 1}, "b": {"low": 1, "high": 2, "integer": True,
            "levels": 9}}  # fmt: skip
    assert search_params(grid, sampler_target="GridSampler", fixed_keys=()) == {
        "a": "choice(1.0)", "b": "choice(1,2)",
    }  # fmt: skip


OPEN = {
    "a": {"low": 0.1, "high": 1.0, "levels": 5, "endpoint": False},
    "b": {"low": 1, "high": 16, "log": True, "levels": 4, "endpoint": False},
    "c": {"low": 1, "high": 9, "integer": True, "levels": 4, "endpoint": False},
    "d": {"low": 1, "high": 3, "integer": True, "levels": 9, "endpoint": False},
}


def test_without_its_endpoint_a_range_has_every_value_below_high() -> None:
    below_one, below_sixteen = math.nextafter(1.0, 0.0), math.nextafter(16.0, 0.0)
    assert search_params(OPEN, sampler_target="TPESampler", fixed_keys=()) == {
        "a": f"interval(0.1,{below_one!r})",
        "b": f"tag(log,interval(1.0,{below_sixteen!r}))",
        "c": "range(1,9)",  # Hydra's, which leaves 9 out
        "d": "range(1,3)",
    }


def test_without_its_endpoint_a_grid_takes_equal_steps_that_would_end_at_high() -> None:
    assert search_params(OPEN, sampler_target="GridSampler", fixed_keys=()) == {
        "a": "choice(0.1,0.28,0.46,0.64,0.82)",
        "b": "choice(1.0,2.0,4.0,8.0)",
        "c": "choice(1,3,5,7)",
        "d": "choice(1,2)",
    }


@pytest.mark.parametrize(("space", "count"), [("paper", "3"), ("paper_five", "5")])
def test_the_papers_grid_is_that_of_its_recorded_trials(
    config: Callable[..., TrainConfig], space: str, count: str
) -> None:
    table = SHARED / "paper" / "rq1_strategies.csv"
    if not table.is_file():
        pytest.skip("the paper's tables are not here")
    with table.open() as lines:
        rows = [row for row in csv.DictReader(lines) if row["strategy"] == "grid"]
    rows = [row for row in rows if row["n_hyperparameters"] == count]
    dimensions = read_space(config(f"space={space}").space)
    assert len(dimensions) == int(count)
    for dimension in dimensions:
        recorded = {float(row[dimension.key.removeprefix("optimizer.")]) for row in rows}
        assert dimension.grid() == sorted(recorded)


def test_the_log_spaces_of_the_paper_differ_by_the_scale_of_the_learning_rate_alone(
    config: Callable[..., TrainConfig],
) -> None:
    for name in ("paper", "paper_five"):
        uniform, log = (config(f"space={each}").space for each in (name, f"{name}_log"))
        assert log["optimizer.learning_rate"].pop("log") is True
        assert log == uniform


def test_texts_that_need_quotes_keep_them_for_the_stock_sweeper() -> None:
    space = {"a": {"choices": ["5", "true"]}, "b": {"choices": ["x", 5, True]}}
    assert search_params(space, sampler_target="TPESampler", fixed_keys=()) == {
        "a": "'5','true'",  # Hydra's choice(…) takes the quotes off
        "b": "choice(x,5,true)",
    }


def test_a_range_with_steps_ends_at_its_last_step() -> None:
    space = {"a": {"low": 0.1, "high": 0.45, "step": 0.1},
             "b": {"low": 32, "high": 128, "step": 32, "integer": True},
             "c": {"low": 1, "high": 3, "step": 1, "integer": True, "endpoint": False}}  # fmt: skip
    assert search_params(space, sampler_target="TPESampler", fixed_keys=()) == {
        "a": "range(0.1,0.5,0.1)", "b": "range(32,160,32)", "c": "range(1,3,1)",
    }  # fmt: skip
    assert search_params(space, sampler_target="GridSampler", fixed_keys=()) == {
        "a": "choice(0.1,0.2,0.3,0.4)", "b": "choice(32,64,96,128)", "c": "choice(1,2)",
    }  # fmt: skip
