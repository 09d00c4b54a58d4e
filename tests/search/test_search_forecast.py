"""What a search will cost, and how it stands."""

import math
from pathlib import Path

import pytest
from scipy.stats import t as student_t
from searches import Search, spec, task_of_epochs

from greensweep.config.sweeper import BudgetConfig
from greensweep.search.cost import search_cost
from greensweep.search.curve import CurvePoint
from greensweep.search.forecast import total_forecast, whole_run
from greensweep.search.progress_line import progress_line
from greensweep.search.records import Outcome


def test_the_interval_is_students_of_the_sum_of_trials_to_come() -> None:
    costs = [8.0, 12.0, 10.0, 10.0]
    forecast = total_forecast(costs, 20)
    deviation = math.sqrt(8.0 / 3.0)
    margin = student_t.ppf(0.95, df=3) * deviation * math.sqrt(400 / 4 + 20)  # 42.1
    assert forecast.total == 200.0
    assert forecast.high == pytest.approx(200.0 + margin)
    assert forecast.low == pytest.approx(max(200.0 - margin, 20 * 8.0))


def test_no_forecast_is_below_what_the_cheapest_trial_costs() -> None:
    forecast = total_forecast([1.0, 100.0], 10)
    assert forecast.low == 10.0
    assert total_forecast([7.0], 3) == total_forecast([7.0, 7.0], 3)


def outcome(**changes: object) -> Outcome:
    values = {"status": "stopped", "seconds": 5.0, "spent_joules": 50.0, "epochs": 2} | changes
    return Outcome(**values)  # type: ignore[arg-type]


def test_a_run_is_told_from_its_last_two_reports() -> None:
    # Set-up 1 s and 10 J, epochs of 2 s and 20 J; after them nothing.
    curve = (CurvePoint(1, 0.5, 15.0, 30.0, 3.0), CurvePoint(2, 0.6, 30.0, 50.0, 5.0))
    assert whole_run(outcome(curve=curve, epochs_planned=10)) == (10 + 10 * 20, 1 + 10 * 2)
    assert whole_run(outcome(curve=curve, epochs_planned=None)) == (50.0, 5.0)
    assert whole_run(outcome(curve=curve[:1], epochs=1, epochs_planned=2, seconds=3.0)) == (
        50 + 30,
        3 + 3,
    )
    assert whole_run(outcome(curve=())) is None
    unmetered = tuple(point._replace(joules=None, spent_joules=None) for point in curve)
    assert whole_run(outcome(curve=unmetered, epochs_planned=3, spent_joules=None)) == (None, 7.0)


def test_the_bill_holds_the_early_forecast_against_what_came(tmp_path: Path) -> None:
    search = Search(spec(tmp_path, 20), task_of_epochs(1))
    search.run()
    found = search_cost(search.spec, search.study, 20)
    first = [trial.params["width"] * 10.0 for trial in search.trials[:2]]
    assert found.forecast_trials == 2
    assert found.forecast_joules == pytest.approx(sum(first) * 10)
    assert found.trials_joules == sum(trial.params["width"] * 10.0 for trial in search.trials)


def test_the_line_says_how_the_search_stands(tmp_path: Path) -> None:
    asked = spec(tmp_path, 10, budget=BudgetConfig(joules=5000.0))
    search = Search(asked, task_of_epochs(1))
    search.run(4)
    search.take()
    best = max(search.trials[:4], key=lambda trial: trial.value or 0.0)
    spent = sum(trial.params["width"] * 10.0 for trial in search.trials[:4])
    line = progress_line(asked, search.study, list(search.trials), 10, 8.0)
    assert line == (
        f"4/10 trials, 1 running, best {best.value:.4g} (trial {best.number}), "
        f"{spent:.4g} J of 5 kJ, about 12 s left"
    )
