"""Cheaper ways to train: points are tried in them first, and the best are trained whole."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import FrozenTrial, TrialState
from searches import Search, kill, spec

from greensweep.record.reporting import report
from greensweep.search.best import best_trials
from greensweep.search.optuna_internals import trial_of
from greensweep.search.records import counted, fidelity_of
from greensweep.search.trial import run_trial
from greensweep.search.trial_queue import ReservedTrial

SPACE = {"rate": FloatDistribution(1e-5, 1e-1), "beta": FloatDistribution(0.0, 1.0)}
PLAIN = ("greensweep.search.samplers.ExpectedImprovementPerJouleSampler", {})
CHEAPER = ("greensweep.search.samplers.MultiFidelitySampler", {})
JOULES = (100.0, 25.0)


def whole_accuracy(params: Mapping[str, Any]) -> float:
    hill = math.exp(-((math.log10(params["rate"]) + 2.5) ** 2))
    return hill * (1.0 - 0.3 * (params["beta"] - 0.6) ** 2)


def cheap_accuracy(params: Mapping[str, Any]) -> float:
    """Lower, but for a wave of the same shape."""
    return 0.6 * whole_accuracy(params) + 0.02 * math.sin(20 * params["beta"])


def contrary_accuracy(params: Mapping[str, Any]) -> float:
    """What a misleading cheaper run shows: worst where the whole run is best."""
    return 1.5 - whole_accuracy(params)


class Runs:
    """A search with one cheaper way, or none."""

    def __init__(
        self,
        folder: Path,
        cheap: Any = cheap_accuracy,
        joules: tuple[float, float] = JOULES,
        **changes: Any,
    ) -> None:
        options = {"sampler": CHEAPER, "fidelities": (("epochs=1",),), **changes}
        self.search = Search(spec(folder, distributions=SPACE, **options), cheap)
        self._accuracies, self._joules = (whole_accuracy, cheap), joules

    def run(self, most: int = 1000) -> None:
        for _ in range(most):
            reserved = self.search.queue.reserve()
            if not isinstance(reserved, ReservedTrial):
                return
            self.run_one(reserved)

    def run_one(self, reserved: ReservedTrial) -> None:
        fidelity = fidelity_of(trial_of(self.search.study, reserved.number))
        accuracy = self._accuracies[fidelity](reserved.params)

        def task() -> float:
            for epoch in (1, 2):
                joules = self._joules[fidelity] * epoch / 2
                report(epoch=epoch, accuracy=accuracy * epoch / 2, joules=joules, epochs=2)
            return accuracy

        folder = self.search.folder(reserved.number)
        folder.mkdir(exist_ok=True)
        run_trial(self.search.spec, self.search.study, reserved.number, task, folder)

    @property
    def trials(self) -> Sequence[FrozenTrial]:
        return self.search.trials

    def fidelities(self) -> list[int]:
        return [fidelity_of(trial) for trial in counted(self.trials)]

    def joules_to(self, target: float) -> float:
        spent = 0.0
        for trial in self.trials:
            spent += self._joules[fidelity_of(trial)]
            if not fidelity_of(trial) and (trial.value or 0.0) >= target:
                return spent
        return math.inf


def test_points_are_tried_cheaply_and_the_best_are_trained_whole(tmp_path: Path) -> None:
    runs = Runs(tmp_path, n_trials=6)
    runs.run()
    assert runs.fidelities() == [1, 1, 1, 1, 0, 0]
    tried = sorted(runs.trials[:4], key=lambda trial: trial.value or 0.0)
    # In the box, from where they are drawn, places come back to the last digit but one.
    for promoted, best in zip(runs.trials[4:], tried[:1:-1], strict=True):
        assert promoted.params == pytest.approx(best.params)


def test_a_cheaper_run_is_never_the_best(tmp_path: Path) -> None:
    runs = Runs(tmp_path, contrary_accuracy, n_trials=10)
    runs.run()
    (best,) = best_trials(runs.trials, runs.search.study)
    assert fidelity_of(best) == 0
    whole = [trial.value or 0.0 for trial in runs.trials if not fidelity_of(trial)]
    assert best.value == max(whole)
    assert max(trial.value or 0.0 for trial in runs.trials) > max(whole)
    assert runs.search.study.best_trial.number == best.number  # what others see of the study


@pytest.mark.slow
def test_cheaper_runs_that_tell_save_energy(tmp_path: Path) -> None:
    def needed(name: str, seed: int, **changes: Any) -> float:
        runs = Runs(tmp_path / f"{name}{seed}", n_trials=14, seed=seed, **changes)
        runs.run()
        return runs.joules_to(0.985)

    seeds = range(2)
    telling = [needed("telling", seed) for seed in seeds]
    plain = [needed("plain", seed, sampler=PLAIN, fidelities=()) for seed in seeds]
    assert sum(telling) < 0.95 * sum(plain)


def test_cheaper_runs_get_no_more_than_half_of_the_energy(tmp_path: Path) -> None:
    """Then a search that they mislead takes no more than twice what it would without them."""
    joules = (100.0, 50.0)
    runs = Runs(tmp_path, joules=joules, n_trials=9)
    runs.run()
    spent = [0.0, 0.0]
    for place, fidelity in enumerate(runs.fidelities()):
        if place > 4 and spent[1] > spent[0]:
            assert fidelity == 0
        spent[fidelity] += joules[fidelity]
    assert runs.fidelities()[4:] == [0, 0, 1, 0, 1]


def test_cheaper_runs_neither_are_pruned_nor_prune(tmp_path: Path) -> None:
    runs = Runs(tmp_path, contrary_accuracy, n_trials=12, pruner="median")
    runs.search.spec.pruning.min_finished = 1
    runs.run()
    cheaper = [trial for trial in runs.trials if fidelity_of(trial)]
    assert {trial.state for trial in cheaper} == {TrialState.COMPLETE}
    assert all(not trial.intermediate_values for trial in cheaper)


def test_the_repeat_of_a_cheaper_run_is_as_cheap(tmp_path: Path) -> None:
    runs = Runs(tmp_path)
    runs.run(1)
    died = runs.search.take()
    kill(runs.search, died)
    again = runs.search.take()
    assert again.params == died.params
    assert fidelity_of(trial_of(runs.search.study, again.number)) == again.fidelity == 1


def test_a_search_that_was_cut_goes_on_with_the_same_points_and_ways(tmp_path: Path) -> None:
    whole = Runs(tmp_path / "whole", n_trials=9)
    whole.run()
    cut = Runs(tmp_path / "cut", n_trials=9)
    cut.run(7)
    kill(cut.search, cut.search.take())
    resumed = Runs(tmp_path / "cut", n_trials=9)
    resumed.run()
    assert resumed.fidelities() == whole.fidelities()
    points = [[trial.params for trial in counted(each.trials)] for each in (resumed, whole)]
    assert points[0] == points[1]


def test_a_point_to_start_from_is_trained_whole(tmp_path: Path) -> None:
    runs = Runs(tmp_path, n_trials=2, enqueue=[{"rate": 1e-3, "beta": 0.9}])
    runs.run()
    assert runs.fidelities() == [0, 1]
    assert runs.trials[0].params == {"rate": 1e-3, "beta": 0.9}
