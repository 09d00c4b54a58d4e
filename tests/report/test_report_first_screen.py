"""What the first screen of the report says at a glance, at the edges of its numbers."""

import math
import re
from html import unescape
from typing import Any

import pandas as pd
import pytest
from conftest import PROJECT

from greensweep.analysis import analyse_tradeoff, standard_table
from greensweep.config.schema_analysis import ColumnsConfig, TradeoffConfig
from greensweep.rendering.first_screen import facts_of


def facts(
    columns: dict[str, Any], metric: str | None = None, price: float = 1.0, spent: float = 100.0
) -> dict[str, str]:
    raw = pd.DataFrame({"trial": range(len(columns["energy_joules"])), **columns})
    runs = standard_table(raw, ColumnsConfig(metric=metric), "here")
    found = analyse_tradeoff(runs, TradeoffConfig(points_per_halving=price, resamples=100))
    links = [{}] * len(found.tables["front"])
    return {fact.about: fact.said for fact in facts_of(found, runs, spent, links)}


@pytest.mark.parametrize(
    ("accuracies", "joules", "price", "said"),
    [
        (
            [0.79, 0.8], [10.0, 40.0], 1.0,
            ["trial 0", "1 point less than the best", "75 % of the energy: 10 J a training instead "
             "of 40 J", "it holds where half the energy may cost 0.5 points or more; what chance "
             "does is not known, since the metric has no interval"],
        ),
        (
            [0.78, 0.8], [39.0, 40.0], 1.0,
            ["trial 1", "nothing: it is the most accurate",
             "nothing against the best, which it is: 40 J a training",
             "it holds where half the energy may cost up to 55 points; what chance does is not "
             "known, since the metric has no interval"],
        ),
        (
            [0.8, 0.7], [10.0, 40.0], 1.0,
            ["trial 0", "nothing: it is the most accurate",
             "nothing against the best, which it is: 10 J a training",
             "no other is on the front"],
        ),
        (
            [0.2, 0.79, 0.8], [1.0, 20.0, 40.0], 2.0,
            ["trial 1", "1 point less than the best", "50 % of the energy: 20 J a training instead "
             "of 40 J", "it holds where half the energy may cost 1 to 14 points; what chance does "
             "is not known, since the metric has no interval"],
        ),
    ],
)  # fmt: skip
def test_the_four_questions(
    accuracies: list[float], joules: list[float], price: float, said: list[str]
) -> None:
    found = facts({"accuracy": accuracies, "energy_joules": joules}, price=price)
    assert [found[about] for about in ("Take", "Gives up", "Saves", "How sure")] == said


def test_what_the_search_brought_against_its_start_is_seen_at_once() -> None:
    columns = {"accuracy": [0.8, 0.85], "energy_joules": [10.0, 4.0]}
    found = facts({**columns, "starting_point": [True, False]})
    assert found["Against the start"] == "5 points more and 60 % less energy"
    assert "Against the start" not in facts(columns)


def test_what_is_lost_and_saved_has_its_interval() -> None:
    found = facts(
        {
            "accuracy": [0.79, 0.8], "objective_low": [0.77, 0.78], "objective_high": [0.81, 0.82],
            "energy_joules": [10.0, 40.0], "energy_uncertainty_joules": [1.0, 4.0],
        }
    )  # fmt: skip
    assert found["Gives up"] == "1 point less than the best (95 %: -1.8 to 3.8)"
    assert found["Saves"].startswith("75 % of the energy (±3.5 %): 10 J a training")
    assert (
        " % of 1000 draws within the uncertainties choose the same; it holds" in found["How sure"]
    )


def test_another_metric_is_lost_in_its_own_words() -> None:
    found = facts({"rmse": [2.02, 2.0], "energy_joules": [10.0, 40.0]}, metric="rmse")
    assert found["Gives up"] == "1 % higher RMSE than the best"
    found = facts({"macro_f1": [0.79, 0.8], "energy_joules": [1.0, 4.0]}, metric="macro_f1")
    assert found["Gives up"] == "1 point of macro F1 less than the best"


@pytest.mark.parametrize(
    ("columns", "about", "said"),
    [
        ({"dataset": ["d"] * 2, "model": ["a", "b"]}, "Holds for", "d; a, b"),
        ({"dataset": list("abcdef")}, "Holds for", "a, b, c, d and 2 more"),
        ({"dataset": ["unknown"] * 2, "model": ["a"] * 2}, "Holds for", "a"),
        ({}, "Machine", "not stated"),
        ({"machine": ["a CPU"] * 2}, "Machine", "a CPU"),
        ({"energy_quality": ["measured"] * 2}, "Joules", "measured by hardware counters"),
        (
            {"energy_quality": ["measured", "estimated"]}, "Joules",
            "estimated by models, not measured; measured by hardware counters",
        ),
        ({}, "Runs", "2 finished"),
        ({"repeats": [1, 1]}, "Runs", "2 finished; each trained once"),
        ({"repeats": [3, 3]}, "Runs", "2 finished; each the mean of 3 trainings"),
        ({"repeats": [2, 3]}, "Runs", "2 finished; each the mean of 2 to 3 trainings"),
        (
            {"status": ["finished", "pruned"], "repeats": [1, math.nan]}, "Runs",
            "2: 1 finished, 1 pruned; each trained once",
        ),
        ({}, "Spent in all", "100 J (27.8 mWh)"),
        ({"commit": ["0123456789"] * 2, "data": ["abcdef012345"] * 2}, "Code and data",
         "commit 01234567, data abcdef01"),
    ],
)  # fmt: skip
def test_for_whom_it_holds(columns: dict[str, Any], about: str, said: str) -> None:
    count = len(next(iter(columns.values()), [0, 0]))
    energy, accuracy = [10.0 + place for place in range(count)], [0.5 + 0.01 * count] * count
    accuracy[0] = 0.4
    assert facts({"energy_joules": energy, "accuracy": accuracy, **columns})[about] == said


def test_an_option_of_a_loops_own_that_is_called_data_is_no_hash_of_data() -> None:
    assert "Code and data" not in facts(
        {"energy_joules": [1.0, 2.0], "accuracy": [0.5, 0.6], "data": ["other"] * 2}
    )


def test_the_page_of_the_report_quotes_what_its_first_screen_says() -> None:
    docs = PROJECT / "docs"
    told = (docs / "report.md").read_text("utf-8")
    table = told[told.index("| question |") : told.index("On a phone")]
    page = (docs / "gallery" / "digits.html").read_text("utf-8")
    screen = unescape(page[: page.index("<details")])
    quoted = re.findall('"(.+?)"', table)
    assert len(quoted) >= 8
    for each in quoted:
        assert each in screen
