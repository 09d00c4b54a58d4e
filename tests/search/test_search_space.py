"""Spaces of finitely many points, and options that are there with certain values of others."""

import math
from pathlib import Path
from typing import Any

import pytest
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.storages import InMemoryStorage
from searches import RANDOM, Search, kill, spec

from greensweep.errors import StudyError
from greensweep.search.records import counted
from greensweep.search.space import Space

OURS = "greensweep.search.samplers."
SAMPLERS = {
    "random": RANDOM,
    "tpe": ("optuna.samplers.TPESampler", {"n_startup_trials": 2}),
    "scaled_tpe": (f"{OURS}ScaledTPESampler", {"n_startup_trials": 2}),
    "ei_per_joule": (f"{OURS}ExpectedImprovementPerJouleSampler", {"n_startup_trials": 2}),
    "paper_gp": (f"{OURS}PaperGpSampler", {}),
    "gp": ("optuna.samplers.GPSampler", {"n_startup_trials": 3}),
    "nsgaii": ("optuna.samplers.NSGAIISampler", {"population_size": 2}),
    "qmc": ("optuna.samplers.QMCSampler", {}),
    "grid": ("optuna.samplers.GridSampler", {}),
}
FINITE: dict[str, BaseDistribution] = {
    "kind": CategoricalDistribution([None, "a"]),
    "width": IntDistribution(2, 6, step=2),
    "share": FloatDistribution(0.1, 0.3, step=0.1),
}
SGD_OR_ADAM: dict[str, BaseDistribution] = {
    "momentum": FloatDistribution(0.0, 0.9, step=0.3),
    "optimizer": CategoricalDistribution(["adam", "sgd"]),
    "beta": CategoricalDistribution([0.8, 0.9]),
}
WHEN = {"momentum": {"optimizer": ["sgd"]}, "beta": {"optimizer": ["adam"]}}


def value_of(params: Any) -> float:
    """Best, and drawn again and again by what learns, at one point."""
    return -abs(params.get("width", 4) - 4) - abs(params.get("momentum", 0.9) - 0.3)


def search(folder: Path, n_trials: int, **changes: Any) -> Search:
    return Search(spec(folder, n_trials, **changes), value_of, InMemoryStorage())


def tried(found: Search) -> list[str]:
    return [str(sorted(trial.params.items())) for trial in counted(found.trials)]


@pytest.mark.parametrize("name", SAMPLERS)
def test_no_point_is_tried_twice_and_a_wholly_tried_space_ends_the_search(
    tmp_path: Path, name: str
) -> None:
    found = search(tmp_path, 100, sampler=SAMPLERS[name], distributions=FINITE)
    assert found.run() is None
    assert len(set(tried(found))) == len(tried(found)) == 18


@pytest.mark.timeout(60)
@pytest.mark.parametrize("seed", range(8))
def test_the_last_point_is_found_in_the_middle_of_ranges_too(tmp_path: Path, seed: int) -> None:
    """It was not with seed 7: steps that grew with each try all ended at the ends of a range."""
    ranges: dict[str, BaseDistribution] = {
        "width": IntDistribution(0, 4),
        "kind": CategoricalDistribution(["x", "y"]),
        "share": FloatDistribution(0.0, 0.2, step=0.1),
    }
    found = search(tmp_path, 100, sampler=SAMPLERS["qmc"], distributions=ranges, seed=seed)

    assert found.run() is None


@pytest.mark.parametrize("name", SAMPLERS)
def test_an_option_is_drawn_only_where_it_is_there(tmp_path: Path, name: str) -> None:
    found = search(
        tmp_path, 100, sampler=SAMPLERS[name], distributions=SGD_OR_ADAM, conditions=WHEN
    )
    found.run()
    assert len(set(tried(found))) == len(tried(found)) == 6
    for trial in found.trials:
        of_it = {"adam": "beta", "sgd": "momentum"}[trial.params["optimizer"]]
        assert set(trial.params) == {"optimizer", of_it}


@pytest.mark.parametrize("name", ["ei_per_joule", "scaled_tpe", "tpe"])
def test_a_strategy_learns_an_option_that_is_not_always_there(tmp_path: Path, name: str) -> None:
    def task(params: Any) -> float:
        return -1.0 if "momentum" not in params else -abs(params["momentum"] - 0.7)

    space = {**SGD_OR_ADAM, "momentum": FloatDistribution(0.0, 1.0)}
    asked = spec(tmp_path, 30, sampler=SAMPLERS[name], distributions=space, conditions=WHEN, seed=1)
    found = Search(asked, task, InMemoryStorage())
    found.run()
    last = [trial.params.get("momentum", 9.0) for trial in found.trials[20:]]
    assert sum(abs(momentum - 0.7) < 0.1 for momentum in last) >= 4


def test_points_that_other_workers_run_are_not_drawn(tmp_path: Path) -> None:
    found = search(tmp_path, 18, sampler=RANDOM, distributions=FINITE)
    taken = [found.take() for _ in range(18)]
    assert len({str(reserved.params) for reserved in taken}) == 18
    assert found.queue.reserve() is None


def test_a_point_whose_trial_died_is_run_again_and_by_nobody_else(tmp_path: Path) -> None:
    found = Search(spec(tmp_path, 18, sampler=RANDOM, distributions=FINITE), value_of)
    kill(found, found.take())
    found.run()
    assert len(set(tried(found))) == len(tried(found)) == 18
    assert len(found.trials) == 19


def test_what_a_point_to_start_from_leaves_open_is_drawn_anew(tmp_path: Path) -> None:
    points = [{"kind": "a"}] * 1 + [{"kind": "a", "width": 2}, {"kind": "a", "width": 2.0}]
    found = search(tmp_path, 18, sampler=RANDOM, distributions=FINITE, enqueue=points)
    found.run()
    assert len(set(tried(found))) == 18
    assert [trial.params["kind"] for trial in found.trials[:2]] == ["a", "a"]


def test_a_cheaper_run_of_a_point_is_no_second_one(tmp_path: Path) -> None:
    found = search(
        tmp_path,
        100,
        sampler=(f"{OURS}MultiFidelitySampler", {}),
        distributions={"width": IntDistribution(1, 3)},
        fidelities=(("training.epochs=1",),),
    )
    found.run()
    assert sorted(trial.params["width"] for trial in found.trials) == [1, 1, 2, 2, 3, 3]


def test_a_space_with_a_continuous_range_never_runs_out() -> None:
    ranges = {**FINITE, "rate": FloatDistribution(0.0, 1.0)}
    assert Space(ranges).size == math.inf
    assert not Space(ranges).may_repeat
    below_sgd = Space({**SGD_OR_ADAM, "momentum": FloatDistribution(0.0, 1.0)}, WHEN)
    assert below_sgd.size == math.inf
    assert below_sgd.may_repeat, "adam's points are few"


def test_points_are_counted_without_what_is_not_there() -> None:
    space = Space(SGD_OR_ADAM, WHEN)
    points = [space.point(index) for index in range(int(space.size))]
    assert points == [
        {"optimizer": "adam", "beta": 0.8},
        {"optimizer": "adam", "beta": 0.9},
        *({"optimizer": "sgd", "momentum": momentum} for momentum in (0.0, 0.3, 0.6, 0.9)),
    ]
    assert len({space.key(point) for point in points}) == 6
    assert space.key({"optimizer": "adam", "momentum": 0.3}) is None
    assert space.key({"optimizer": "adam", "beta": 0.7}) is None


def test_steps_have_the_decimals_that_they_were_written_with() -> None:
    space = Space(FINITE)
    assert space.levels["share"] == [0.1, 0.2, 0.3]
    assert space.in_steps({"kind": "a", "share": 0.1 + 2 * 0.1})["share"] == 0.3
    assert space.key({"kind": "a", "width": 2, "share": 0.1 + 2 * 0.1}) == space.key(
        {"kind": "a", "width": 2, "share": 0.3}
    )


def test_a_point_with_an_option_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="momentum is searched only with certain values of opt"):
        search(
            tmp_path,
            9,
            distributions=SGD_OR_ADAM,
            conditions=WHEN,
            enqueue=[{"optimizer": "adam", "momentum": 0.3}],
        )


def test_a_point_may_leave_open_what_its_option_needs(tmp_path: Path) -> None:
    found = search(
        tmp_path, 9, distributions=SGD_OR_ADAM, conditions=WHEN, enqueue=[{"momentum": 0.3}]
    )
    params = found.take().params
    assert params.get("momentum") == (0.3 if params["optimizer"] == "sgd" else None)


def test_other_conditions_are_another_search(tmp_path: Path) -> None:
    asked = {"distributions": SGD_OR_ADAM, "conditions": WHEN}
    Search(spec(tmp_path, 1, **asked), value_of)
    Search(spec(tmp_path, 1, **asked), value_of)
    with pytest.raises(StudyError, match=r"searched something else .*conditions was"):
        Search(spec(tmp_path, 1, distributions=SGD_OR_ADAM), value_of)


def test_a_budget_forecasts_trials_that_lack_options(tmp_path: Path) -> None:
    from greensweep.search.cost_model import CostModel

    found = search(tmp_path, 6, sampler=RANDOM, distributions=SGD_OR_ADAM, conditions=WHEN)
    found.run()
    model = CostModel(found.spec.space, found.trials, lambda trial: 1.0 + len(trial.params))
    forecast = model.of_trial({"optimizer": "sgd", "momentum": 0.3})
    assert forecast == pytest.approx(3.0)
