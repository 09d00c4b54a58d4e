"""Strategies of our own: they know the price of a trial, and the scale of a range."""

import itertools
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import InMemoryStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial
from scipy.integrate import quad
from scipy.special import ndtr
from searches import Search, spec

from greensweep.errors import StudyError
from greensweep.record.reporting import report
from greensweep.search.encoder import SpaceEncoder
from greensweep.search.records import OUTCOME, Outcome
from greensweep.search.samplers import ExpectedImprovementPerJouleSampler, PaperGpSampler
from greensweep.search.samplers.acquisition import Acquisition, log_expected_improvement
from greensweep.search.samplers.observations import Observations

EI = ("greensweep.search.samplers.ExpectedImprovementPerJouleSampler", {"n_startup_trials": 6})
PLAIN_EI = (EI[0], {**EI[1], "cost_exponent": 0.0})
TPE = ("greensweep.search.samplers.ScaledTPESampler", {})
PAPER_GP = ("greensweep.search.samplers.PaperGpSampler", {})
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


@pytest.mark.slow
def test_of_two_equal_hills_the_cheaper_is_climbed(tmp_path: Path) -> None:
    per_joule = [joules_of_search(tmp_path / f"ei{seed}", EI, seed) for seed in range(2)]
    plain = [joules_of_search(tmp_path / f"plain{seed}", PLAIN_EI, seed) for seed in range(2)]
    assert sum(per_joule) < 0.8 * sum(plain)


@pytest.mark.parametrize(
    "sampler", [EI, TPE, PAPER_GP], ids=["ei_per_joule", "scaled_tpe", "paper_gp"]
)
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
        reserved = search.take()
        assert 1e-5 <= reserved.params["rate"] <= 1e-1
        assert 0.1 <= reserved.params["beta"] <= 0.9
        assert reserved.params["layers"] in (1, 2, 3, 4)
        assert reserved.params["kind"] in ("relu", "tanh", "none")
        try:
            search.run_one(reserved)
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


@pytest.mark.parametrize(
    "sampler",
    [
        pytest.param(EI, id="ei_per_joule"),
        pytest.param(TPE, id="scaled_tpe", marks=pytest.mark.slow),
        pytest.param(PAPER_GP, id="paper_gp", marks=pytest.mark.slow),
    ],
)
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


@pytest.mark.parametrize("make", [ExpectedImprovementPerJouleSampler, PaperGpSampler])
def test_trials_drawn_side_by_side_get_the_points_of_trials_in_turn(make: Any) -> None:
    """In a program that asks Optuna by itself, say."""
    points = []
    for order in ((0, 0, 1, 1), (0, 1, 0, 1)):
        study = optuna.create_study(sampler=make(seed=1))
        asked = [study.ask(), study.ask()]
        names = [iter("xy"), iter("xy")]
        for trial in order:
            asked[trial].suggest_float(next(names[trial]), 0.0, 1.0)
        points.append([trial.params for trial in asked])
    assert points[0] == points[1]
    assert points[0][0] != points[0][1]


def test_without_energy_it_is_plain_expected_improvement(tmp_path: Path) -> None:
    def points(folder: Path, sampler: tuple[str, dict[str, Any]]) -> list[dict[str, Any]]:
        space = {"x": FloatDistribution(0.0, 1.0)}
        asked = spec(folder, 10, distributions=space, sampler=sampler)
        search = Search(asked, lambda params: -((params["x"] - 0.3) ** 2))
        search.run()
        return search.points()

    assert points(tmp_path / "per_joule", EI) == points(tmp_path / "plain", PLAIN_EI)


def bowl(params: Mapping[str, Any]) -> float:
    """Best at a rate of 0.001 and a beta of 0.7; a higher rate costs less."""
    away = (math.log10(params["rate"]) + 3.0) ** 2 + 9.0 * (params["beta"] - 0.7) ** 2
    report(epoch=1, accuracy=0.5, joules=bowl_joules(params), epochs=1)
    return -away


def bowl_joules(params: Mapping[str, Any]) -> float:
    return 200.0 - 30.0 * math.log10(params["rate"])


@pytest.mark.parametrize("sampler", [EI, TPE], ids=["ei_per_joule", "scaled_tpe"])
def test_it_reaches_what_random_search_finds_for_less_energy(
    tmp_path: Path, sampler: tuple[str, dict[str, Any]]
) -> None:
    """Energy to the best of 24 points drawn uniformly: median of five seeds."""
    space = {"rate": FloatDistribution(1e-5, 1e-1), "beta": FloatDistribution(0.1, 0.9)}
    ratios = []
    for seed in range(5):
        drawn = np.random.default_rng(seed).uniform((1e-5, 0.1), (1e-1, 0.9), (24, 2))
        points = [{"rate": rate, "beta": beta} for rate, beta in drawn.tolist()]
        values = [bowl(point) for point in points]
        best = values.index(max(values))
        asked = spec(tmp_path / str(seed), 16, distributions=space, sampler=sampler, seed=seed)
        search = Search(asked, bowl)
        while not search.trials or (search.study.best_value < values[best]):
            if search.run(1) is not None:
                break
        reached = search.study.best_value >= values[best]
        joules = sum(bowl_joules(point) for point in search.points())
        by_chance = sum(bowl_joules(point) for point in points[: best + 1])
        ratios.append(joules / by_chance if reached else math.inf)
    assert sorted(ratios)[2] < 0.7, ratios


def test_a_point_beside_a_running_trial_is_worth_little(tmp_path: Path) -> None:
    space = {"x": FloatDistribution(0.0, 1.0)}
    asked = spec(tmp_path, 20, distributions=space, sampler=EI)
    search = Search(asked, lambda params: -((params["x"] - 0.3) ** 2))
    search.run(10)
    drawn = [search.take().params["x"] for _ in range(3)]
    assert min(abs(a - b) for a, b in itertools.combinations(drawn, 2)) > 1e-3


@pytest.mark.parametrize("log", [False, True])
def test_a_range_of_a_single_value_sets_no_trials_apart(log: bool) -> None:
    encoder = SpaceEncoder({"rate": FloatDistribution(0.1, 0.1, log=log)})
    assert encoder.encode({"rate": 0.1}) == pytest.approx([0.0])


def test_a_model_sees_points_as_they_will_be_run() -> None:
    encoder = SpaceEncoder({"rate": FloatDistribution(0.0, 1.0), "layers": IntDistribution(1, 4)})
    assert encoder.rounded(np.array([[0.4, 0.4]]))[0] == pytest.approx([0.4, 1 / 3])


SPACE = {"x": FloatDistribution(0.0, 1.0)}


def ended(x: float, value: float | None, **outcome: Any) -> FrozenTrial:
    """A trial at x: finished where there is a value, else as its outcome says."""
    status = outcome.get("status", "finished")
    state = {"finished": TrialState.COMPLETE, "pruned": TrialState.PRUNED}.get(
        status, TrialState.FAIL
    )
    made = create_trial(
        state=state,
        value=value if state == TrialState.COMPLETE else None,
        params={"x": x},
        distributions=SPACE,
        user_attrs={OUTCOME: Outcome(**{"status": "finished", **outcome}).to_json()},
        intermediate_values={} if value is None else {1: value},
    )
    made.number = round(x * 1000)
    return made


def observed(*trials: FrozenTrial, maximize: bool = True) -> Observations:
    direction = StudyDirection.MAXIMIZE if maximize else StudyDirection.MINIMIZE
    return Observations(trials, SpaceEncoder(SPACE), direction)


def test_what_trials_that_did_not_finish_teach() -> None:
    finished = [ended(0.1, 0.5, spent_joules=100.0), ended(0.2, 0.9, spent_joules=200.0)]
    pruned = {"status": "pruned", "spent_joules": 40.0, "epochs": 2, "epochs_planned": 10}
    seen = observed(
        *finished,
        ended(0.3, 0.4, **pruned),
        ended(0.4, 0.8, **{**pruned, "epochs_planned": None}),  # ahead, but given up all the same
        ended(0.5, None, status="failed", spent_joules=70.0),
        ended(0.6, None, status="died", spent_joules=70.0),
        ended(0.7, None, status="stopped", interrupted=True, spent_joules=70.0),
    )
    assert dict(zip(seen.points[:, 0], seen.scores, strict=True)) == {
        0.1: 0.5, 0.2: 0.9, 0.3: 0.4, 0.4: pytest.approx(0.7), 0.5: 0.5,
    }  # fmt: skip
    assert list(seen.feasible) == [True, True, False, False, False]
    points, log_joules = seen.metered
    joules = dict(zip(points[:, 0], np.exp(log_joules), strict=True))
    assert joules == pytest.approx({0.1: 100.0, 0.2: 200.0, 0.3: 200.0, 0.4: 40.0})


def test_a_bound_that_is_just_reached_is_kept_and_any_excess_breaks_it() -> None:
    trials = [
        create_trial(value=0.5, params={"x": 0.5}, distributions=SPACE, constraints={"max_j": by})
        for by in (-1.0, 0.0, 0.5)
    ]
    for number, trial in enumerate(trials):
        trial.number = number
    assert list(observed(*trials).feasible) == [True, True, False]


def test_scores_are_better_when_higher_in_both_directions() -> None:
    trials = [ended(0.1, 0.5), ended(0.2, 0.9), ended(0.5, None, status="failed")]
    assert list(observed(*trials, maximize=False).scores) == [-0.5, -0.9, -0.9]


def test_worth_is_expected_improvement_over_predicted_joules() -> None:
    """Where gains are equal, three times the joules are a third of the worth."""
    points = np.linspace(0.0, 1.0, 9)
    trials = [ended(x, (x - 0.5) ** 2, spent_joules=100.0 if x < 0.5 else 300.0) for x in points]
    seen = observed(*trials)
    both = np.array([[0.03], [0.97]])
    priced, plain = (Acquisition(seen, exponent).of_whole_runs(both) for exponent in (1.0, 0.0))
    assert plain[0] == pytest.approx(plain[1], abs=0.05)
    assert priced[0] - priced[1] == pytest.approx(math.log(3.0), abs=0.2)
    assert Acquisition(seen, 0.0).of_whole_runs(np.array([[0.5]]))[0] < plain[0] - 3.0


def test_cheaper_runs_teach_where_whole_ones_cost_more() -> None:
    points = np.linspace(0.0, 1.0, 9)
    cheaper = observed(*(ended(x, 0.5, spent_joules=10.0 if x < 0.5 else 30.0) for x in points))
    whole = observed(*(ended(x, 0.5, spent_joules=100.0) for x in points[:3]))
    both = np.array([[0.03], [0.97]])
    priced, plain = (
        Acquisition(whole, exponent, [cheaper]).of_whole_runs(both) for exponent in (1.0, 0.0)
    )
    assert np.exp(plain - priced) == pytest.approx([100.0, 300.0], rel=0.1)


def test_expected_improvement_finds_the_top(tmp_path: Path) -> None:
    """Six points spread evenly, then six by the model: within 0.02 of the best of 0 to 1."""
    asked = spec(tmp_path, 12, distributions=SPACE, sampler=EI)
    search = Search(asked, lambda params: -((params["x"] - 0.37) ** 2))
    search.run()
    assert [abs(trial.params["x"] - 0.37) < 0.02 for trial in search.trials[6:]].count(True) >= 2


@pytest.mark.parametrize("sampler", [EI, TPE], ids=["ei_per_joule", "scaled_tpe"])
def test_the_first_trials_spread_evenly_over_all_options_together(
    tmp_path: Path, sampler: tuple[str, dict[str, Any]]
) -> None:
    space = {name: FloatDistribution(0.0, 1.0) for name in ("x", "y")}
    startup = (sampler[0], {"n_startup_trials": 16})
    search = Search(
        spec(tmp_path, 16, distributions=space, sampler=startup), lambda _: 0.5, InMemoryStorage()
    )
    search.run()
    fields = {(int(4 * point["x"]), int(4 * point["y"])) for point in search.points()}
    assert len(fields) == 16


def test_expected_improvement_by_hand() -> None:
    """With mean at the best it is deviation/√(2π); far below, its logarithm stays finite."""
    means, deviations = np.array([0.0, 0.0, -80.0, 1.0]), np.array([1.0, 2.0, 1.0, 1e-9])
    logs = log_expected_improvement(means, deviations, 0.0)
    assert np.exp(logs[:2]) == pytest.approx([0.398942, 0.797885], abs=1e-6)
    assert logs[2] == pytest.approx(-3200.0 - 0.918939 - 2 * math.log(80.0), abs=1e-3)
    assert np.exp(logs[3]) == pytest.approx(1.0)
    (far,) = log_expected_improvement(np.array([-1e6]), np.array([1.0]), 0.0)
    assert far == pytest.approx(-0.5e12 - 0.918939 - 2 * math.log(1e6), abs=1e-3)


@pytest.mark.parametrize("mean", [2.0, 0.5, -0.5, -1.5, -6.0])
def test_expected_improvement_is_the_integral_over_what_lies_above_the_best(mean: float) -> None:
    expected, _ = quad(ndtr, -np.inf, mean, epsabs=0.0)
    (log,) = log_expected_improvement(np.array([3.0 + 2.0 * mean]), np.array([2.0]), 3.0)
    assert np.exp(log) == pytest.approx(2.0 * expected, rel=1e-6)


@pytest.mark.parametrize(("name", "sampler"), [("ei_per_joule", EI), ("paper_gp", PAPER_GP)])
def test_several_objectives_are_refused(
    tmp_path: Path, name: str, sampler: tuple[str, dict[str, Any]]
) -> None:
    asked = spec(tmp_path, 4, sampler=sampler, directions=("maximize", "minimize"))
    search = Search(asked, lambda _: (0.0, 0.0))
    with pytest.raises(StudyError, match=f"{name} seeks one objective"):
        search.queue.reserve()


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_the_papers_search_stays_near_the_best_point(tmp_path: Path, direction: str) -> None:
    """Probability of improvement is greedy: a small gain that is sure beats a large one."""
    sign = 1.0 if direction == "maximize" else -1.0
    asked = spec(
        tmp_path, 16, distributions=SPACE, sampler=PAPER_GP, directions=(direction,), seed=1
    )
    search = Search(asked, lambda params: -sign * (params["x"] - 0.37) ** 2)
    search.run()
    away = [abs(trial.params["x"] - 0.37) for trial in search.trials]
    assert away[0] > 0.05
    assert sum(distance < 0.02 for distance in away[6:]) >= 8, away


def test_the_papers_search_leaves_the_scale_of_a_range_as_it_is(tmp_path: Path) -> None:
    def low_rates(name: str, *, log: bool) -> int:
        space = {"rate": FloatDistribution(1e-5, 1e-1, log=log)}
        asked = spec(tmp_path / name, 8, distributions=space, sampler=PAPER_GP)
        search = Search(asked, lambda _: 0.5)
        search.run()
        return sum(trial.params["rate"] < 1e-3 for trial in search.trials)

    assert low_rates("uniform", log=False) == 0
    assert 2 <= low_rates("log", log=True) <= 6


def test_the_papers_search_learns_from_finished_trials_only() -> None:
    def drawn(other: FrozenTrial) -> float:
        study = optuna.create_study(direction="maximize")
        for trial in (ended(0.2, 0.5), ended(0.6, 0.9), other):
            study.add_trial(trial)
        study.sampler = PaperGpSampler(seed=3)
        value: float = study.ask(SPACE).params["x"]
        return value

    draws = {
        drawn(ended(x, value, status=status))
        for x in (0.1, 0.7)
        for status, value in (("failed", None), ("pruned", 0.1))
    }
    assert len(draws) == 1
    assert drawn(ended(0.1, 1.5)) not in draws
