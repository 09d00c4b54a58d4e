"""The bill: every joule stands on exactly one line."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from optuna.storages import InMemoryStorage
from searches import RANDOM, Search, spec

from greensweep.energy import ScriptedMeter
from greensweep.energy.units import duration_text, emissions_text
from greensweep.record.result import RunResult
from greensweep.record.summaries import PhaseSummary
from greensweep.search.cost import SearchCost, read_search_cost, search_cost, write_search_cost
from greensweep.search.cost_model import Forecast
from greensweep.search.loop import SearchMeter, keep_search_energy
from greensweep.search.optuna_internals import trial_of
from greensweep.search.records import PROGRESS, SEARCH_ENERGY, Outcome
from greensweep.search.sentences import (
    cost_sentences,
    preview_sentences,
)
from greensweep.search.trial import figures_of_result, finish_trial


def settled(folder: Path, outcomes: list[tuple[Outcome, float | None]], **changes: Any) -> Search:
    found = Search(
        spec(folder, len(outcomes), sampler=RANDOM, **changes), lambda _: 0.0, InMemoryStorage()
    )
    for outcome, value in outcomes:
        reserved = found.take()
        trial = trial_of(found.study, reserved.number)
        values = None if value is None else [value]
        finish_trial(found.study, trial, outcome, values, folder / "none")
    return found


def outcome(status: Any, spent: float | None, **figures: Any) -> Outcome:
    return Outcome(status, spent_joules=spent, quality="measured", **figures)


ALL = [
    (outcome("finished", 100.0, joules=80.0, search_joules=1.0, epochs=10, epochs_planned=10), 0.7),
    (outcome("finished", 60.0, joules=50.0, search_joules=2.0, epochs=10, epochs_planned=10), 0.9),
    (outcome("pruned", 20.0, epochs=2, epochs_planned=10, seconds=4.0, search_joules=4.0), None),
    (outcome("pruned", 30.0, epochs=5, epochs_planned=10, seconds=5.0), None),
    (outcome("pruned", 7.0, epochs=3, seconds=5.0), None),  # who knows how many there were to be
    (outcome("stopped", 9.0, epochs=1, epochs_planned=10), None),
    (outcome("died", 11.0, epochs=1, epochs_planned=10), None),
    (outcome("failed", 13.0), None),
    (outcome("failed", None), None),
]


def test_every_joule_is_on_one_line(tmp_path: Path) -> None:
    found = settled(tmp_path, ALL)
    found.study.set_user_attr(f"{SEARCH_ENERGY}here:1:1", 8.0)
    told = search_cost(found.spec, found.study)
    assert told.finished_joules == 160.0
    assert told.pruned_joules == 57.0
    assert told.stopped_joules == 20.0
    assert told.failed_joules == 13.0
    assert told.search_joules == 15.0
    assert told.spent_joules == 160.0 + 57.0 + 20.0 + 13.0 + 15.0
    assert told.overhead_joules == told.spent_joules - 130.0
    assert told.trials_by_status == {"finished": 2, "pruned": 3, "stopped": 2, "failed": 2}
    assert (told.trials, told.trials_total, told.quality) == (9, 9, "measured")


def test_the_emissions_are_of_every_joule(tmp_path: Path) -> None:
    found = settled(tmp_path, ALL)
    told = search_cost(replace(found.spec, kg_per_joule=1e-7), found.study)
    assert told.spent_kg == pytest.approx(250e-7 + told.search_joules * 1e-7)
    assert told.metrics()["search/spent_kg"] == told.spent_kg
    assert f"(measured), {emissions_text(told.spent_kg)}, " in " ".join(cost_sentences(told))
    assert search_cost(found.spec, found.study).spent_kg is None


def test_the_ratio_is_to_the_training_of_the_best(tmp_path: Path) -> None:
    found = settled(tmp_path, ALL)
    told = search_cost(found.spec, found.study)
    assert (told.best_trials, told.best_joules) == ((1,), 50.0)
    assert told.search_ratio == pytest.approx(told.spent_joules / 50.0)
    cheap = settled(tmp_path, ALL, directions=("minimize",))
    assert search_cost(cheap.spec, cheap.study).best_trials == (0,)


def test_pruning_saves_the_epochs_that_were_left(tmp_path: Path) -> None:
    found = settled(tmp_path, ALL)
    told = search_cost(found.spec, found.study)
    assert told.saved_joules == pytest.approx(20.0 / 2 * 8 + 30.0 / 5 * 5)
    assert told.saved_seconds == pytest.approx(4.0 / 2 * 8 + 5.0 / 5 * 5)
    assert any("Pruning saved about 110 J and 21 s" in each for each in cost_sentences(told))


def test_without_a_meter_there_is_no_bill_but_a_count(tmp_path: Path) -> None:
    found = settled(tmp_path, [(Outcome("finished"), 0.5), (Outcome("failed"), None)])
    told = search_cost(found.spec, found.study)
    assert (told.spent_joules, told.search_ratio, told.quality) == (None, None, "unmeasured")
    assert cost_sentences(told) == ["2 trials: 1 finished, 1 failed; not metered."]


def test_a_cost_is_read_as_it_was_written_beside_what_stood_there(tmp_path: Path) -> None:
    assert read_search_cost(tmp_path) is None
    (tmp_path / "study.json").write_text('{"other": 1}')
    told = SearchCost(
        trials=1, trials_total=2, trials_by_status={"finished": 1}, best_trials=(0, 3)
    )
    write_search_cost(told, tmp_path)
    assert read_search_cost(tmp_path) == told
    assert '"other": 1' in (tmp_path / "study.json").read_text()


def test_what_still_runs_elsewhere_stands_on_a_line_of_its_own(tmp_path: Path) -> None:
    found = settled(tmp_path, [(outcome("finished", 100.0, joules=80.0), 0.7)])
    running = found.study.ask(dict(found.spec.distributions))
    running.set_user_attr(PROGRESS, {"spent_joules": 30.0, "search_joules": 2.0})
    told = search_cost(found.spec, found.study)
    assert (told.finished_joules, told.running_joules, told.spent_joules) == (100.0, 32.0, 132.0)
    assert "32 J in what still runs" in " ".join(cost_sentences(told))


def test_a_search_of_unmetered_trials_is_billed_for_itself(tmp_path: Path) -> None:
    found = settled(tmp_path, [(Outcome("finished", search_joules=3.0), 0.7)])
    told = search_cost(found.spec, found.study)
    assert (told.spent_joules, told.overhead_joules, told.trials_joules) == (3.0, 3.0, 0.0)
    meter = SearchMeter(ScriptedMeter([(1.0, 1.0)]))
    meter.start()
    keep_search_energy(found.study, meter)
    said = " ".join(cost_sentences(search_cost(found.spec, found.study)))
    assert "The bill: 4 J (replayed): nothing metered in 1 finished trial, 4 J in the sea" in said


def test_what_a_trial_spent_before_it_trained_has_the_quality_of_its_phases() -> None:
    setup = PhaseSummary(joules=3.0, seconds=1.0, quality="estimated")
    bare = RunResult(status="stopped", error=None, model="mlp", dataset="table", seed=0)
    early = replace(bare, energy_spent_joules=3.0, energy_phases={"setup": setup})
    assert figures_of_result(early)["quality"] == "estimated"
    trained = replace(early, energy_joules=2.0, energy_quality="measured")
    assert figures_of_result(trained)["quality"] == "measured"
    assert figures_of_result(bare)["quality"] == "unmeasured"


def test_of_two_equally_good_trials_the_cheaper_is_the_best(tmp_path: Path) -> None:
    outcomes = [(outcome("finished", 9.0, joules=each), 0.5) for each in (7.0, 5.0, 6.0)]
    found = settled(tmp_path, outcomes)
    assert search_cost(found.spec, found.study).best_trials == (1,)


def test_a_forecast_says_the_emissions_of_its_joules() -> None:
    joules, seconds = Forecast(3.6e6, 1.8e6, 7.2e6), Forecast(60.0, 30.0, 120.0)
    forecast, _ = preview_sentences(
        joules, seconds, trials=5, points=2, cost=9.0, kg_per_joule=0.25 / 3.6e6
    )
    assert forecast == (
        "Forecast for 5 trials, one at a time and without pruning: 60 s (30 s to 2 min), "
        "3.6 MJ (1.8 to 7.2), 250 g CO2e (125 g CO2e to 500 g CO2e)."
    )


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (89.0, "89 s"),
        (90.0, "1.5 min"),
        (5390.0, "89.8 min"),
        (5400.0, "1.5 h"),
        (172_000.0, "47.8 h"),
        (172_800.0, "2 days"),
    ],
)
def test_a_length_of_time_is_told_in_the_unit_that_suits_it(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


def test_the_bill_says_what_the_early_forecast_was_worth() -> None:
    told = SearchCost(
        trials=20,
        trials_total=20,
        trials_by_status={"finished": 20},
        spent_joules=260.0,
        trials_joules=250.0,
        forecast_trials=3,
        forecast_joules=200.0,
        forecast_low=125.0,
        forecast_high=275.0,
    )
    sentence = "Forecast after 3 of 20 trials: 200 J (125 to 275); they came to 250 J."
    assert sentence in cost_sentences(told)
    assert not any("forecast" in each for each in cost_sentences(replace(told, forecast_trials=0)))


def test_a_search_that_ends_early_says_what_it_left_unspent() -> None:
    told = SearchCost(
        trials=6,
        trials_total=20,
        trials_by_status={"finished": 6},
        spent_joules=60.0,
        finished_joules=60.0,
        quality="estimated",
        ended="more is not worth it",
    )
    assert "Left unspent: 14 trials, about 140 J at what the others cost." in cost_sentences(told)
    for whole in (replace(told, trials_total=6), replace(told, ended=None)):
        assert not any("unspent" in each for each in cost_sentences(whole))
