"""What a search will cost."""

import math
from pathlib import Path

import pytest
from optuna import create_trial
from optuna.distributions import IntDistribution
from scipy.stats import t as student_t
from searches import Search, spec, task_of_epochs

from greensweep.search.cost import search_cost
from greensweep.search.cost_model import CostModel, Forecast, total_forecast, whole_cost
from greensweep.search.records import CurvePoint, Outcome
from greensweep.search.space import Space


def test_the_interval_is_students_of_the_sum_of_trials_to_come() -> None:
    costs = [8.0, 12.0, 10.0, 10.0]
    forecast = total_forecast(costs, 20)
    deviation = math.sqrt(8.0 / 3.0)
    margin = student_t.ppf(0.95, df=3) * deviation * math.sqrt(400 / 4 + 20)  # 42.1
    assert forecast.cost == 200.0
    assert forecast.high == pytest.approx(200.0 + margin)
    assert forecast.low == pytest.approx(max(200.0 - margin, 20 * 8.0))


def test_no_forecast_is_below_what_the_cheapest_trial_costs() -> None:
    forecast = total_forecast([1.0, 50.0, 100.0], 10)
    assert forecast.low == 10.0


@pytest.mark.parametrize("costs", [[7.0], [1.0, 13.0]])
def test_one_cost_and_two_have_no_interval(costs: list[float]) -> None:
    assert total_forecast(costs, 3) == Forecast(21.0, 21.0, 21.0)


def outcome(**changes: object) -> Outcome:
    values = {"status": "stopped", "seconds": 5.0, "spent_joules": 50.0, "epochs": 2} | changes
    return Outcome(**values)  # type: ignore[arg-type]


def test_the_set_up_is_no_part_of_what_further_epochs_cost() -> None:
    # Set-up 1 s and 10 J, epochs of 2 s and 20 J.
    curve = tuple(CurvePoint(n, 0.5, 15.0 * n, 10.0 + 20.0 * n, 1.0 + 2.0 * n) for n in (1, 2))

    def whole(**changes: object) -> tuple[float | None, float | None]:
        run = outcome(**changes)
        return whole_cost(run, "spent_joules"), whole_cost(run, "seconds")

    assert whole(curve=curve, epochs_planned=10) == (10 + 10 * 20, 1 + 10 * 2)
    assert whole(curve=curve, epochs_planned=None) == (50.0, 5.0)
    assert whole(curve=curve, epochs_planned=10, status="finished") == (50.0, 5.0)
    one = {"curve": curve[:1], "epochs": 1, "epochs_planned": 2, "seconds": 3.0}
    assert whole(**one) == (50 + 15, 3 + 3), "of one report training alone is known"
    assert whole(epochs_planned=4) == (100.0, 10.0), "nor of none"
    assert whole(epochs=0, epochs_planned=4) == (None, None)
    unmetered = tuple(point._replace(joules=None, spent_joules=None) for point in curve)
    assert whole(curve=unmetered, epochs_planned=3, spent_joules=None) == (None, 7.0)


def test_an_epoch_costs_the_mean_of_those_between_the_first_and_the_last_report() -> None:
    """A counter that steps once in two epochs shows nothing in each second one."""
    joules = [30.0, 30.0, 70.0, 70.0, 110.0]
    curve = tuple(CurvePoint(n, 0.5, each, each, 2.0 * n) for n, each in enumerate(joules, 1))
    run = outcome(curve=curve, epochs=5, epochs_planned=10, spent_joules=110.0)
    assert whole_cost(run, "spent_joules") == 110.0 + 5 * 20.0


def test_a_range_with_steps_is_learnt_by_its_logarithm() -> None:
    space = Space({"epochs": IntDistribution(1, 101, step=10), "images": IntDistribution(0, 4)})
    trials = [
        create_trial(
            value=1.0,
            params={"epochs": epochs, "images": images},
            distributions=space.distributions,
        )
        for epochs, images in ((1, 1), (11, 0), (21, 2), (51, 4), (101, 3))
    ]
    model = CostModel(space, trials, lambda trial: 3.0 * trial.params["epochs"])
    forecast = model.of_trial({"epochs": 41, "images": 2})
    assert forecast == pytest.approx(123.0, rel=0.05)


def test_trials_of_an_earlier_space_count_for_the_mean_alone() -> None:
    space = Space({"width": IntDistribution(1, 8)})
    wider = {"width": IntDistribution(0, 8)}
    trials = [
        create_trial(value=1.0, params={"width": width}, distributions=wider)
        for width in (0, 1, 2, 4)
    ]
    model = CostModel(space, trials, lambda trial: 5.0 * max(trial.params["width"], 1))
    forecast = model.of_trial({"width": 8})
    assert forecast == pytest.approx(40.0, rel=0.05)
    outside = model.of_trial({"width": 0})
    assert outside == pytest.approx((5 * 5 * 10 * 20) ** 0.25)


def test_the_bill_holds_the_early_forecast_against_what_came(tmp_path: Path) -> None:
    search = Search(spec(tmp_path, 20), task_of_epochs(1))
    search.run()
    found = search_cost(search.spec, search.study)
    first = [trial.params["width"] * 10.0 for trial in search.trials[:3]]
    assert found.forecast_trials == 3
    assert found.forecast_joules == pytest.approx(sum(first) * 20 / 3)
    assert found.trials_joules == sum(trial.params["width"] * 10.0 for trial in search.trials)
