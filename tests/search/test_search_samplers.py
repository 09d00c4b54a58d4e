"""Strategies of our own: they know the price of a trial, and the scale of a range."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from searches import Search, spec

from greensweep.reporting import report

EI = ("greensweep.search.samplers.ExpectedImprovementPerJouleSampler", {"n_startup_trials": 6})
PLAIN_EI = (EI[0], {**EI[1], "cost_exponent": 0.0})
TPE = ("greensweep.search.samplers.ScaledTPESampler", {})
MIXED = {
    "rate": FloatDistribution(1e-5, 1e-1),
    "beta": FloatDistribution(0.1, 0.9),
    "layers": IntDistribution(1, 4),
    "kind": CategoricalDistribution(["relu", "tanh", "none"]),
}


def two_hills(params: Mapping[str, Any]) -> float:
    """Equal hills at 0.2 and at 0.8; a trial on the second costs nine times as much."""
    x = params["x"]
    height = max(1.0 - 25.0 * (x - 0.2) ** 2, 1.0 - 25.0 * (x - 0.8) ** 2, 0.0)
    report(epoch=1, accuracy=height, joules=100.0 if x < 0.5 else 900.0, epochs=1)
    return height


def joules_of_search(folder: Path, sampler: tuple[str, dict[str, Any]], seed: int) -> float:
    space = {"x": FloatDistribution(0.0, 1.0)}
    asked = spec(folder, 16, distributions=space, sampler=sampler, seed=seed)
    search = Search(asked, two_hills)
    search.run()
    assert search.study.best_value > 0.99
    return sum(100.0 if trial.params["x"] < 0.5 else 900.0 for trial in search.trials)


def test_of_two_equal_hills_the_cheaper_is_climbed(tmp_path: Path) -> None:
    per_joule = [joules_of_search(tmp_path / f"ei{seed}", EI, seed) for seed in range(2)]
    plain = [joules_of_search(tmp_path / f"plain{seed}", PLAIN_EI, seed) for seed in range(2)]
    assert sum(per_joule) < 0.8 * sum(plain)


@pytest.mark.parametrize("sampler", [EI, TPE], ids=["ei_per_joule", "scaled_tpe"])
def test_points_of_a_mixed_space_are_of_the_space(
    tmp_path: Path, sampler: tuple[str, dict[str, Any]]
) -> None:
    def task(params: Mapping[str, Any]) -> float:
        report(epoch=1, accuracy=0.5, joules=10.0 * params["layers"], epochs=1)
        if params["kind"] == "none":
            raise ValueError("no such kind")
        return float(params["beta"]) - abs(params["layers"] - 2)

    search = Search(spec(tmp_path, 14, distributions=MIXED, sampler=sampler), task)
    for _ in range(14):
        claim = search.take()
        assert 1e-5 <= claim.params["rate"] <= 1e-1
        assert 0.1 <= claim.params["beta"] <= 0.9
        assert claim.params["layers"] in (1, 2, 3, 4)
        assert claim.params["kind"] in ("relu", "tanh", "none")
        try:
            search.run_one(claim)
        except ValueError:
            assert search.trials[-1].state.name == "FAIL"
    assert search.study.best_params["layers"] == 2


@pytest.mark.parametrize("sampler", [EI, TPE], ids=["ei_per_joule", "scaled_tpe"])
def test_a_wide_range_is_searched_in_its_logarithm(
    tmp_path: Path, sampler: tuple[str, dict[str, Any]]
) -> None:
    space = {"rate": FloatDistribution(1e-5, 1e-1)}
    search = Search(spec(tmp_path, 4, distributions=space, sampler=sampler), lambda _: 0.5)
    search.run()
    assert sum(trial.params["rate"] < 1e-3 for trial in search.trials) == 2
    (tmp_path / "plain").mkdir()
    plain = (sampler[0], {**sampler[1], "log_decades": None})
    as_it_is = Search(
        spec(tmp_path / "plain", 4, distributions=space, sampler=plain), lambda _: 0.5
    )
    as_it_is.run()
    assert sum(trial.params["rate"] < 1e-3 for trial in as_it_is.trials) == 0


@pytest.mark.parametrize("sampler", [EI, TPE], ids=["ei_per_joule", "scaled_tpe"])
def test_a_search_that_is_cut_draws_the_same_points(
    tmp_path: Path, sampler: tuple[str, dict[str, Any]]
) -> None:
    def points(folder: Path, cut: int, seed: int = 3) -> list[dict[str, Any]]:
        space = {"x": FloatDistribution(0.0, 1.0), "y": FloatDistribution(1e-4, 1.0)}
        asked = spec(folder, 9, distributions=space, sampler=sampler, seed=seed)
        Search(asked, two_hills).run(cut)
        search = Search(asked, two_hills)
        search.run()
        return search.points()

    whole = points(tmp_path / "whole", 9)
    assert points(tmp_path / "cut", 7) == whole
    assert points(tmp_path / "early", 2) == whole
    assert points(tmp_path / "other", 9, seed=4) != whole
