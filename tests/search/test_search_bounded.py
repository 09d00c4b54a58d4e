"""Strategies in long searches: each learns from a window of the trials, which keeps the best."""

from pathlib import Path
from typing import Any

import pytest
from optuna.samplers import TPESampler
from optuna.storages import InMemoryStorage
from searches import RANDOM, Search, accuracy_of, joules_of, kill, spec

from greensweep.search.optuna_internals import StudyWindow, hidden_trials, trials_at_draw
from greensweep.search.records import counted
from greensweep.search.samplers import bounded as bounds
from greensweep.search.samplers.bounded import bounded
from greensweep.search.samplers.seeded import TrialRandomState
from greensweep.search.trials_so_far import trials_so_far

LEARNING = {
    "tpe": ("optuna.samplers.TPESampler", {"n_startup_trials": 4}),
    "gp": ("optuna.samplers.GPSampler", {"n_startup_trials": 4}),
    "cmaes": ("optuna.samplers.CmaEsSampler", {}),
    "nsga2": ("optuna.samplers.NSGAIISampler", {"population_size": 4}),
    "nsga3": ("optuna.samplers.NSGAIIISampler", {"population_size": 4}),
    "scaled_tpe": ("greensweep.search.samplers.ScaledTPESampler", {}),
    "ei_per_joule": ("greensweep.search.samplers.ExpectedImprovementPerJouleSampler", {}),
    "paper_gp": ("greensweep.search.samplers.PaperGpSampler", {}),
}
MOST = 16


def search(folder: Path, strategy: str, objectives: int = 1, trials: int = 40) -> Search:
    def task(params: Any) -> Any:
        value = accuracy_of(params)
        return value if objectives == 1 else (value, joules_of(params))

    directions = ("maximize", "minimize")[:objectives]
    sampler = {"random": RANDOM, **LEARNING}[strategy]
    asked = spec(folder, trials, sampler=sampler, directions=directions, seed=1)
    return Search(asked, task, InMemoryStorage())


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Searches are long from 16 trials on."""
    monkeypatch.setattr(bounds, "MOST", MOST)
    monkeypatch.setattr(bounds, "MOST_FOR_GP", MOST)


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("strategy", LEARNING)
def test_a_long_search_goes_on_with_new_points(tmp_path: Path, strategy: str) -> None:
    if strategy == "cmaes":
        pytest.importorskip("cmaes")
    found = search(tmp_path, strategy)
    assert found.run() is None
    late = [str(each) for each in found.points()[MOST + 4 :]]
    assert len({*late}) > len(late) / 2


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("strategy", ["tpe", "ei_per_joule"])
def test_a_long_search_that_is_cut_runs_on_as_it_would_have(tmp_path: Path, strategy: str) -> None:
    whole, cut = (search(tmp_path / name, strategy, trials=30) for name in ("whole", "cut"))
    whole.run()
    cut.run(25)
    kill(cut, cut.take())
    again = Search(cut.spec, cut.task, cut.study._storage)
    again.run()
    assert [each.params for each in counted(again.trials)] == whole.points()


def test_a_window_has_the_best_and_some_of_the_rest_and_what_runs(tmp_path: Path) -> None:
    found = search(tmp_path, "random", trials=100)
    found.run(60)
    running = found.take().number
    so_far = trials_so_far(found.study)
    shown = so_far.window(20).trials
    numbers = [each.number for each in shown]
    ranked = sorted(found.trials[:60], key=lambda trial: -(trial.value or 0.0))
    assert {each.number for each in ranked[:10]} <= {*numbers}
    assert running in numbers
    assert numbers == sorted(numbers)
    assert len(numbers) <= 21
    assert min(numbers) == 0 and max(set(numbers) - {running}) >= 55
    latest = [each.number for each in so_far.window(20, latest=True).trials]
    assert {*range(51, 61)} <= {*latest}
    assert so_far.window(60).trials == found.trials


def test_a_window_of_two_objectives_has_the_front(tmp_path: Path) -> None:
    found = search(tmp_path, "random", objectives=2, trials=100)
    found.run(80)
    so_far = trials_so_far(found.study)
    front = {each.number for each in found.study.best_trials}
    assert front <= {each.number for each in so_far.window(40).trials}
    assert len(so_far.window(4).trials) <= 4  # of a larger front some


def test_nothing_is_hidden_from_a_short_search(tmp_path: Path) -> None:
    found = search(tmp_path, "random", trials=30)
    found.run(10)
    sampler = TPESampler()
    assert bounded(sampler, trials_so_far(found.study)) is sampler


def test_draws_of_a_long_search_are_each_at_their_own_place(tmp_path: Path) -> None:
    """A seed that hung on the trials that are shown would be the same from then on."""
    found = search(tmp_path, "random", trials=100)
    places = []
    for _ in range(3):
        found.run(15)
        shown = StudyWindow(found.study, *trials_so_far(found.study).window(10))
        places.append(TrialRandomState(0, shown, -1).index)
    assert places == [15, 30, 45]


def test_a_window_is_of_the_same_storage(tmp_path: Path) -> None:
    found = search(tmp_path, "random", trials=30)
    found.run(20)
    window = StudyWindow(found.study, found.trials[:5], 15)
    assert [each.number for each in trials_at_draw(window)] == [0, 1, 2, 3, 4]
    assert [each.number for each in window.get_trials()] == [0, 1, 2, 3, 4]
    assert (hidden_trials(window), hidden_trials(found.study)) == (15, 0)
    assert window.best_trial.number in range(20)
    window._storage.set_study_user_attr(window._study_id, "said", 1)
    assert found.study.user_attrs["said"] == 1
