"""What is said of runs and sweeps on the terminal, at the edges of its numbers."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from greensweep.config.metrics import METRICS
from greensweep.decision.sentences import change_text, percent_text, points_text
from greensweep.energy.accounts import SweepTotal
from greensweep.energy.units import (
    duration_text,
    emissions_text,
    energy_span_text,
    energy_text,
    joules_text,
    watt_hours_text,
)
from greensweep.record.result import RunResult
from greensweep.record.summaries import Replayed, Spread
from greensweep.search.constraints import broken_already
from greensweep.search.cost import SearchCost
from greensweep.search.cost_model import Forecast
from greensweep.search.sentences import cost_sentences, preview_sentences
from greensweep.study.sentences import (
    caveats,
    comparison_sentence,
    drift_sentence,
    machine_sentence,
    nodes_sentence,
    outside_sentence,
    run_line,
    selection_sentence,
    shared_sentence,
    trust_sentence,
    uncertainty_sentence,
)
from greensweep.study.summary import StudySummary, summarise
from greensweep.study.trials import Trial

ONE = SearchCost(1, 1, {"finished": 1}, spent_joules=1.0, finished_joules=1.0, quality="measured")


@pytest.mark.parametrize(
    ("cost", "told"),
    [
        (ONE, ["The bill: 1 J (measured): 1 J in 1 finished trial."]),
        (
            replace(ONE, spent_joules=0.0, finished_joules=0.0),
            ["The bill: 0 J (measured): 0 J in 1 finished trial."],
        ),
        (
            SearchCost(0, 1, {}, ended="the budget of 1 J is spent"),
            [
                "The search ended before its 1 trial: the budget of 1 J is spent.",
                "0 trials; not metered.",
            ],
        ),
        (
            replace(ONE, trials_total=2, ended="more is not worth it"),
            [
                "The search ended before its 2 trials: more is not worth it.",
                "The bill: 1 J (measured): 1 J in 1 finished trial.",
                "Left unspent: 1 trial, about 1 J at what the others cost.",
            ],
        ),
        (
            replace(ONE, best_trials=(0,), search_ratio=1.0, spent_kg=0.0),
            [
                "The bill: 1 J (measured), 0 g CO2e, 1 times the training of trial 0: 1 J in 1 "
                "finished trial."
            ],
        ),
        (
            replace(
                ONE, saved_joules=0.25, saved_seconds=1.0, budget_joules=1.0, left_joules=0.0,
                budget_hours=2.0, left_hours=1.0,
            ),
            [
                "The bill: 1 J (measured): 1 J in 1 finished trial.",
                "Pruning saved about 250 mJ and 1 s.",
                "Left of the budget of 1 J: 0 J.",
                "Left of the budget of 2 h: 60 min.",
            ],
        ),
        (
            replace(
                ONE, trials_total=20, forecast_trials=3, forecast_joules=20230.0,
                forecast_low=15690.0, forecast_high=24780.0, trials_joules=1.0,
            ),
            [
                "The bill: 1 J (measured): 1 J in 1 finished trial.",
                "Forecast after 3 of 20 trials: 20.2 kJ (15.7 to 24.8); they came to 1 J.",
            ],
        ),
        (
            replace(
                ONE, trials_total=20, forecast_trials=3, forecast_joules=2.0, forecast_low=1.0,
                forecast_high=math.inf,
            ),
            [
                "The bill: 1 J (measured): 1 J in 1 finished trial.",
                "Forecast after 3 of 20 trials: 2 J (1 J to infinite); they came to 0 J.",
            ],
        ),
        (
            replace(
                ONE, trials=5, trials_by_status={"finished": 2, "pruned": 1, "failed": 2},
                spent_joules=20230.4, finished_joules=20000.0, pruned_joules=0.0,
                stopped_joules=1.0, running_joules=2.0, search_joules=0.25, search_ratio=20230.4,
                best_trials=(0, 1),
            ),
            [
                "The bill: 20.2 kJ (measured), 20200 times the training of trial 0: 20 kJ in 2 "
                "finished trials, 0 J in 1 pruned, 1 J in stopped, 0 J in 2 failed, 2 J in what "
                "still runs, 250 mJ in the search itself."
            ],
        ),
        (
            SearchCost(2, 2, {"failed": 2}, spent_joules=0.5, failed_joules=0.5, quality="mixed"),
            ["The bill: 500 mJ (mixed): 500 mJ in 2 failed trials."],
        ),
        (SearchCost(1, 1, {"pruned": 1}), ["1 trial: 1 pruned; not metered."]),
        (
            replace(ONE, forecast_trials=1, forecast_joules=1.0, forecast_low=1, forecast_high=1),
            ["The bill: 1 J (measured): 1 J in 1 finished trial."],
        ),
    ],
)  # fmt: skip
def test_a_bill_says_what_its_numbers_can(cost: SearchCost, told: list[str]) -> None:
    assert cost_sentences(cost) == told


@pytest.mark.parametrize(
    ("joules", "points", "told"),
    [
        (
            Forecast(3.0, 3.0, 3.0),
            1,
            [
                "Forecast for 1 trial, one at a time and without pruning: 2 s, 3 J, 3 kg CO2e.",
                "It is estimated from the first epochs of 1 random point for 1 J, too few to say "
                "how far it may be off; a search moves away from them, and pruning makes it "
                "cheaper.",
            ],
        ),
        (
            Forecast(3.0, 0.0, math.inf),
            3,
            [
                "Forecast for 1 trial, one at a time and without pruning: 2 s (1 s to 3 s), 3 J "
                "(0 J to infinite), 3 kg CO2e (0 g CO2e to infinite CO2e).",
                "The 90 % intervals are estimated from the first epochs of 3 random points for "
                "1 J; a search moves away from them, and pruning makes it cheaper.",
            ],
        ),
    ],
)
def test_a_preview_says_what_its_points_can(joules: Forecast, points: int, told: list[str]) -> None:
    seconds = Forecast(2.0, 2.0, 2.0) if points == 1 else Forecast(2.0, 1.0, 3.0)
    assert told == preview_sentences(
        joules, seconds, trials=1, points=points, cost=1.0, kg_per_joule=1.0
    )


@pytest.mark.parametrize(
    ("texts", "told"),
    [
        ([joules_text(each) for each in (0, 1, 2, -1, math.inf)], "0 J,1 J,2 J,-1 J,infinite"),
        ([joules_text(each) for each in (-math.inf, math.nan, None)],
         "-infinite,not known,not metered"),
        ([joules_text(each, digits=2) for each in (0.251, 999.0, 3e12, 1e-9, -0.0)],
         "250 mJ,1 kJ,3000 GJ,<0.001 mJ,0 J"),
        ([energy_text(*each) for each in
          [(1, 0), (2, 0.004), (0.003, 2), (-0.01, 0.4), (3, math.inf), (math.nan, 1), (None, 1)]],
         "1 J,2.000 ± 0.004 J,0 ± 2 J,-10 ± 400 mJ,3 J,not known,not metered"),
        ([energy_span_text(*each) for each in
          [(0, 0, 0), (1, 0, 2), (2, 1, math.inf), (0.01, -0.2, 0.2)]],
         "0 J,1 J (0 to 2),2 J (1 J to infinite),10 mJ (-200 to 200)"),
        ([watt_hours_text(each) for each in (0, 3600, -7200, math.inf)],
         "0 Wh,1 Wh,-2 Wh,infinite"),
        ([emissions_text(each) for each in (0, 0.001, 2)], "0 g CO2e,1 g CO2e,2 kg CO2e"),
        ([duration_text(each) for each in (0, 1, 2, 60 * 90, 1e-5, 1e9, math.inf)],
         "0 s,1 s,2 s,1.5 h,<0.001 s,11600 days,an unknown time"),
        ([change_text(each) for each in (0, -0.38, 1, 0.01, -1, -0.9999, 1e-6, math.inf)],
         "as much,38 % less,100 % more,1 % more,100 % less,>99 % less,<0.01 % more,infinite more"),
        ([percent_text(each) for each in (0, 1, 2, -0.5, 0.0999, 1e3, math.nan)],
         "0 %,100 %,200 %,-50 %,10 %,100000 %,not known"),
        ([points_text(each, METRICS["accuracy"]) for each in (0, 1, 2, -1, 9.96, 1e-5)],
         "0 points,1 point,2 points,-1 points,10 points,<0.001 points"),
        ([METRICS["rmse"].text(each) for each in (0, 1, -2, 1e5, 1e-9, math.inf, math.nan, None)],
         "0.0000,1.0000,-2,100000,1e-09,infinite,not known,-"),
    ],
)  # fmt: skip
def test_amounts_are_told_in_words_at_their_edges(texts: list[str], told: str) -> None:
    assert ",".join(texts) == told


@pytest.mark.parametrize(
    ("bounds", "figures", "told"),
    [
        ({"max_epochs": 2}, {"epochs": 2}, None),
        ({"max_epochs": 0}, {"epochs": 1}, "1 epoch is above max_epochs=0"),
        ({"max_epochs": 1}, {"epochs": 2}, "2 epochs are above max_epochs=1"),
        ({"max_joules": 0.5}, {"joules": 1.0}, "1 J is above max_joules=0.5"),
        ({"max_joules": 2e4}, {"joules": 20230.4}, "20230 J are above max_joules=20000"),
        ({"max_seconds": 1}, {"seconds": math.inf}, "infinite s are above max_seconds=1"),
        ({"max_parameters": 1e6}, {}, "parameters=1234568 breaks max_parameters=1000000"),
    ],
)
def test_a_broken_bound_is_told_with_its_figure(
    bounds: dict[str, float], figures: dict[str, float], told: str | None
) -> None:
    assert broken_already(bounds, figures, {"parameters": 1234568}) == told


def result(**changes: Any) -> RunResult:
    figures = {"validation_accuracy": 0.5, "energy_joules": 1.0, "energy_quality": "measured"}
    return RunResult(
        status="finished", error=None, model="m", dataset="d", seed=0, **{**figures, **changes}
    )


def trials(*results: RunResult) -> list[Trial]:
    return [Trial(number, Path(str(number)), each, {}) for number, each in enumerate(results)]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"epochs": 1},
            "m on d: finished, validation accuracy 0.5000, training energy 1 J gross (measured), "
            "1 epoch",
        ),
        (
            {"epochs": 2, "seconds": 0.0, "energy_joules": 0.0, "energy_uncertainty_joules": 2.0},
            "m on d: finished, validation accuracy 0.5000, training energy 0 ± 2 J gross "
            "(measured), 0 s, 2 epochs",
        ),
        (
            {"energy_joules": 20230.0, "repeats": 3, "epochs": 1,
             "spread": {"energy_joules": Spread(std=1.0, low=15690.0, high=24780.0)}},
            "m on d: finished, validation accuracy 0.5000, training energy 20.2 kJ (15.7 to 24.8) "
            "gross (measured), 1 epoch, means of 3 repeats with 95 % intervals",
        ),
        (
            {"energy_net_joules": -1.0, "energy_contended_by": "others", "epochs": 1},
            "m on d: finished, validation accuracy 0.5000, training energy 1 J gross (measured, "
            "beside others), -1 J net of the idle machine, less than its baseline, 1 epoch",
        ),
    ],
)  # fmt: skip
def test_a_run_is_told_in_one_line(changes: dict[str, Any], told: str) -> None:
    assert run_line(result(**changes)) == told


@pytest.mark.parametrize(
    ("share", "told"),
    [
        (None, "Energy is of mixed quality: cpu from RAPL counters."),
        (0.0, "Energy is of mixed quality: cpu from RAPL counters."),
        (1.0, "; 100 % is a constant times the time."),
        (0.004, "; 0.4 % is a constant times the time."),
    ],
)
def test_trust_is_told_with_the_share_that_is_constant(share: float | None, told: str) -> None:
    assert (trust_sentence({"cpu": "rapl"}, "mixed", share) or "").endswith(told)
    assert trust_sentence({}, "measured", share) is None


@pytest.mark.parametrize(
    ("shared", "told"),
    [
        ((False, False), None),
        ((True, False), "1 of 2 metered trials"),
        ((True,), "1 of 1 metered trial"),
        ((True, True), "2 of 2 metered trials"),
    ],
)
def test_energy_of_a_machine_that_did_other_work_is_told_as_such(
    shared: tuple[bool, ...], told: str | None
) -> None:
    of_all = trials(*(result(energy_contended=each) for each in shared))
    said = shared_sentence(of_all)
    assert (said is None) == (told is None)
    if told is not None:
        assert said == f"{told} shared the machine with other work: a share by use."
    assert said in caveats(StudySummary("finished", 2, {}), of_all)


NODES = {
    "n1": SweepTotal(3600, 90.0, 60.0, 0, 1, 1, "measured", 60.0),
    "n2": SweepTotal(1800, 30.0, 20.0, 0, 1, 1, "measured", 60.0),
}


def test_what_nodes_used_beside_trials_is_told_by_node_and_in_all() -> None:
    of_all = trials(*(result(energy_spent_joules=40.0, energy_quality="measured"),) * 2)
    summary = summarise(of_all, machines=NODES)
    assert {name: each.idle_joules for name, each in summary.energy_nodes.items()} == {
        "n1": 30.0,
        "n2": 10.0,
    }
    assert summary.energy_idle_nodes_joules == 40.0
    assert summary.energy_idle_nodes_quality == "measured"
    assert summary.metrics()["sweep/nodes/n2/hours"] == 0.5
    assert str(nodes_sentence(summary)) == (
        "2 nodes used 120 J during the search: 40.0 ± 3.6 J of it (measured, 33 %) went to no "
        "trial, but to waiting, starting and others' work."
    )


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"releases": 0}, "; n2 was not released, and counts up to its last reading."),
        ({"trials_joules": 61.0}, "went to no trial"),
        ({"trials_joules": 81.0}, "less than the 141 J that was charged to trials, so that"),
    ],
)
def test_a_node_that_died_or_gave_too_little_is_told(changed: dict[str, Any], told: str) -> None:
    of_all = trials(result(energy_spent_joules=40.0, energy_quality="measured"))
    summary = summarise(of_all, machines=NODES | {"n2": replace(NODES["n2"], **changed)})
    assert told in str(nodes_sentence(summary))
    assert (summary.energy_idle_nodes_joules is None) == ("less than" in told)


@pytest.mark.parametrize(
    ("results", "machines"),
    [
        ([{"energy_spent_joules": 40.0, "energy_quality": "replayed"}], NODES),
        ([{"energy_spent_joules": None, "energy_quality": "unmeasured"}], NODES),
        ([{"energy_spent_joules": 40.0, "energy_quality": "measured"}], {}),
        (  # of its trials' time alone, as by a launcher of Hydra's
            [{"energy_spent_joules": 40.0, "energy_quality": "measured"}],
            {"n1": SweepTotal(1.0, 60.0, 40.0)},
        ),
    ],
)
def test_nothing_is_said_of_idle_nodes_where_it_was_not_measured(
    results: list[dict[str, Any]], machines: dict[str, SweepTotal]
) -> None:
    summary = summarise(trials(*(result(**each) for each in results)), machines=machines)
    assert summary.energy_idle_nodes_joules is None
    assert "sweep/energy_idle_nodes_joules" not in summary.metrics()
    assert nodes_sentence(summary) is None


def test_a_shared_attribution_leaves_an_attributed_rest() -> None:
    of_all = trials(result(energy_spent_joules=40.0, energy_quality="attributed"))
    assert summarise(of_all, machines=NODES).energy_idle_nodes_quality == "attributed"


@pytest.mark.parametrize(
    ("remainder", "rest"),
    [
        (0.0, "."),
        (-1.0, "."),
        (3.0, "; 3 J went to other processes, such as starting trials."),
    ],
)
def test_a_shared_machine_is_parted_into_trials_and_the_rest(remainder: float, rest: str) -> None:
    summary = StudySummary(
        "finished", 2, {}, energy_machine_joules=9.0, energy_remainder_joules=remainder,
        energy_neighbours=1,
    )  # fmt: skip
    assert machine_sentence(summary) == (
        f"Up to 2 runs shared the machine: of its 9 J trials and search are charged "
        f"{joules_text(9 - remainder)} by CPU time{rest}"
    )
    assert machine_sentence(StudySummary("finished", 2, {})) is None


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"energy": -0.38}, "38 % less energy per step"),
        ({"time": 0.2, "energy": 1.0}, "20 % more time and 100 % more energy per step"),
    ],
)
def test_drift_is_told_as_less_or_more(changes: dict[str, float], told: str) -> None:
    summary = StudySummary("finished", 2, {}, drift_notable=changes)
    assert f" a fixed reference job took {told}, so " in (drift_sentence(summary) or "")


@pytest.mark.parametrize(
    ("outside", "told"),
    [
        ((False,), "0 of 1 replayed trial lie outside the recorded points."),
        ((True,), "1 of 1 replayed trial lies outside the recorded points: what a table says there "
                  "is a guess."),
        ((True, True, False), "2 of 3 replayed trials lie outside the recorded points: what a "
                              "table says there is a guess."),
    ],
)  # fmt: skip
def test_replayed_trials_outside_of_the_record_are_counted(
    outside: tuple[bool, ...], told: str
) -> None:
    replayed = trials(*(result(replayed=Replayed(outside=each)) for each in outside))
    assert outside_sentence(replayed) == told
    assert outside_sentence(trials(result())) is None


@pytest.mark.parametrize(
    ("alike", "told"),
    [
        ((1,), "Trial 1 does"),
        ((1, 2), "Trials 1, 2 do"),
        (tuple(range(99)), "Trials 0, 1, 2, 3, 4, 5, 6, 7, … do"),
    ],
)
def test_one_and_several_that_do_not_differ_are_told(alike: tuple[int, ...], told: str) -> None:
    summary = StudySummary("finished", 3, {}, trials_not_told_apart=alike)
    assert (uncertainty_sentence(summary) or "").startswith(f"{told} not differ in energy")


def test_one_of_one_is_told_as_one() -> None:
    summary = StudySummary(
        "finished", 1, {"finished": 1}, trials_not_comparable=1, trials_selected_on_test=1
    )
    assert comparison_sentence(summary) == (
        "The machine was shared while its idle power was not known by 1 of 1 finished trial: such "
        "energy does not compare, and is on no front; set energy.baseline=measure."
    )
    both = replace(summary, trials_by_status={"finished": 2})
    assert selection_sentence(both) == (
        "Test accuracy selected 1 of 2 finished trials, validation accuracy the others: these do "
        "not compare."
    )
