"""A seed decides which trials are run, in which order, also when the search is cut in between."""

from pathlib import Path
from typing import Any

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from searches import RANDOM, TPE, Search, accuracy_of, joules_of, kill, spec

from greensweep.search.records import counted

CHOICES = {
    "rate": CategoricalDistribution([1e-4, 1e-3, 1e-2]),
    "width": CategoricalDistribution([1, 4, 8]),
    "kind": CategoricalDistribution(["a", "b"]),
}
SPACE = {
    "rate": FloatDistribution(1e-5, 1e-1, log=True),
    "width": IntDistribution(1, 8),
    "kind": CategoricalDistribution(["a", "b"]),
}

STRATEGIES: dict[str, dict[str, Any]] = {
    "tpe": {"sampler": TPE},
    "random": {"sampler": RANDOM},
    "gp": {"sampler": ("optuna.samplers.GPSampler", {"n_startup_trials": 4}), "n_trials": 8},
    "paper_gp": {"sampler": ("greensweep.search.samplers.PaperGpSampler", {}), "n_trials": 8},
    "qmc": {"sampler": ("optuna.samplers.QMCSampler", {"scramble": True})},
    "nsgaii": {
        "sampler": ("optuna.samplers.NSGAIISampler", {"population_size": 3}),
        "directions": ("maximize", "minimize"),
    },
    "grid": {
        "sampler": ("optuna.samplers.GridSampler", {}),
        "distributions": CHOICES,
    },
}
TRIALS = 10


def search(folder: Path, strategy: str, seed: int = 3, **changes: Any) -> Search:
    options = {"distributions": SPACE, "n_trials": TRIALS, **STRATEGIES[strategy], **changes}
    objectives = len(options.get("directions", "1"))

    def task(params: Any) -> Any:
        value = accuracy_of(params) + 0.01 * (params["kind"] == "a")
        return value if objectives == 1 else (value, joules_of(params))

    return Search(spec(folder, seed=seed, **options), task)


def points(found: Search) -> list[dict[str, Any]]:
    """The points that count, in the order of their trials."""
    return [dict(trial.params) for trial in counted(found.trials)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The points of a search that nothing disturbed."""
    known: dict[str, list[dict[str, Any]]] = {}

    def run(strategy: str) -> list[dict[str, Any]]:
        if strategy not in known:
            found = search(tmp_path_factory.mktemp(strategy), strategy)
            found.run()
            known[strategy] = points(found)
        return known[strategy]

    return run


# The first two stand for the others where the mechanism is the search's, not the strategy's.
NAMES = list(STRATEGIES)
FEW = [*NAMES[:2], *(pytest.param(each, marks=pytest.mark.slow) for each in NAMES[2:])]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_same_seed_runs_the_same_trials(tmp_path: Path, whole: Any, strategy: str) -> None:
    again = search(tmp_path / "again", strategy)
    again.run()
    assert points(again) == whole(strategy)
    assert len({str(point) for point in points(again)}) > 4


@pytest.mark.parametrize("strategy", FEW)
def test_another_seed_runs_others(tmp_path: Path, whole: Any, strategy: str) -> None:
    other = search(tmp_path / "other", strategy, seed=4)
    other.run(5)
    assert points(other) != whole(strategy)[:5]


@pytest.mark.parametrize("strategy", FEW)
def test_a_search_that_is_cut_runs_on_as_it_would_have(
    tmp_path: Path, whole: Any, strategy: str
) -> None:
    for done, dies in ((1, False), (2, True), (3, False), (1, True)):
        part = search(tmp_path, strategy)
        part.run(done)
        if dies:
            kill(part, part.take())
    last = search(tmp_path, strategy)
    last.run()
    assert points(last) == whole(strategy)


@pytest.mark.parametrize("strategy", FEW)
def test_a_first_trial_that_dies_changes_nothing(tmp_path: Path, whole: Any, strategy: str) -> None:
    first = search(tmp_path, strategy)
    kill(first, first.take())
    resumed = search(tmp_path, strategy)
    resumed.run(4)
    assert points(resumed) == whole(strategy)[:4]
