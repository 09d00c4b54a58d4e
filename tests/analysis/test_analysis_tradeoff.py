"""What energy buys: the front, its knee, the price of halving, and what matters."""

import time
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import pytest
from run_tables import runs

from greensweep.analysis import analyse_tradeoff
from greensweep.analysis.front import (
    hypervolume,
    knee,
    on_front_probability,
    points_lost,
    points_lost_in_draws,
)
from greensweep.analysis.importance import importance
from greensweep.analysis.result import Result
from greensweep.config.schema_analysis import TradeoffConfig
from greensweep.errors import AnalysisError
from greensweep.pareto import is_pareto_optimal

# Accuracy and joules: the third and the fifth are beaten.
POINTS = [(0.5, 10.0), (0.8, 20.0), (0.7, 25.0), (0.9, 50.0), (0.9, 60.0), (0.92, 100.0)]


def weighed(rows: list[dict[str, Any]], **options: Any) -> Result:
    return analyse_tradeoff(runs(rows), TradeoffConfig(**options))


def rows_of(points: list[tuple[float, float]], **further: Any) -> list[dict[str, Any]]:
    return [
        {"dataset": "d", "accuracy": accuracy, "energy_joules": joules, **further}
        for accuracy, joules in points
    ]


def test_the_hypervolume_is_the_area_below_the_front() -> None:
    accuracies, joules = np.array(POINTS).T
    # From 10 J 0.5, from 20 J 0.8, from 50 J 0.9, up to 100 J.
    assert hypervolume(accuracies, joules, 100.0) == pytest.approx((5 + 24 + 45) / 100)


def test_the_knee_is_farthest_above_the_line_between_the_ends() -> None:
    accuracies, joules = np.array([POINTS[i] for i in (0, 1, 3, 5)]).T
    assert knee(accuracies, joules) == 1
    assert knee(np.array([0.1, 0.2, 0.3]), np.array([1.0, 2.0, 3.0])) is None
    assert knee(np.array([0.1, 0.9]), np.array([1.0, 2.0])) is None


def test_the_knee_is_the_one_that_geometry_finds() -> None:
    draw = np.random.default_rng(1)
    for _ in range(50):
        accuracies, joules = np.sort(draw.random(6)), np.sort(draw.random(6))
        x = (joules - joules.min()) / np.ptp(joules)
        y = (accuracies - accuracies.min()) / np.ptp(accuracies)
        # Distance to the line from (0, 0) to (1, 1), by the cross product; below it negative.
        distances = [(b - a) / np.sqrt(2.0) for a, b in zip(x, y, strict=True)]
        farthest = max(range(6), key=lambda place: distances[place])
        found = knee(accuracies, joules)
        assert found == (farthest if distances[farthest] > 1e-12 else None)


def test_the_note_names_the_knees_method() -> None:
    notes = weighed(rows_of(POINTS)).notes
    assert any("maximum distance above the chord" in note and "Kneedle" in note for note in notes)


def test_each_step_up_the_front_has_its_price() -> None:
    table = weighed(rows_of(POINTS)).tables["front"]
    assert table["energy_joules"].tolist() == [10.0, 20.0, 50.0, 100.0]
    # Accuracy per kilojoule more.
    assert table["accuracy_per_extra_kilojoule"].tolist()[1:] == pytest.approx([30.0, 10 / 3, 0.4])
    assert table["is_knee"].tolist() == [False, True, False, False]


def test_the_price_of_halving() -> None:
    result = weighed(rows_of(POINTS))
    table = result.tables["halving"].set_index("energy_share")
    assert table["accuracy"].tolist() == [0.92, 0.9, 0.8, 0.5]
    assert table["accuracy_lost"].tolist() == pytest.approx([0.0, 0.02, 0.12, 0.42])
    assert table["share_spent"].tolist() == [1.0, 0.5, 0.2, 0.1]
    assert (table["accuracy_lost_low"] <= table["accuracy_lost"]).all()
    assert (table["accuracy_lost"] <= table["accuracy_lost_high"]).all()
    assert result.answers[0].startswith("Take configuration ")


def test_where_nothing_is_that_cheap_it_is_said() -> None:
    result = weighed(rows_of([(0.5, 60.0), (0.9, 100.0)]))
    assert result.tables["halving"]["remark"].tolist() == ["", *["nothing costs that little"] * 3]
    assert result.tables["halving"]["accuracy_lost"].tolist() == [0.0, np.inf, np.inf, np.inf]
    bounds = result.tables["halving"][["accuracy_lost_low", "accuracy_lost_high"]]
    assert bounds[1:].isna().to_numpy().all(), "no bound beside it"
    assert points_lost(np.array([0.9]), np.array([0.0]), 0.5) == 0.0


def test_halving_has_no_interval_of_two_configurations() -> None:
    two = weighed(rows_of([(0.8, 20.0), (0.9, 100.0)])).tables["halving"].iloc[1]
    assert two["accuracy_lost"] == pytest.approx(0.1)
    assert np.isnan([two["accuracy_lost_low"], two["accuracy_lost_high"]]).all()
    assert two["share_spent"] == 0.2, "what it really saves stands beside the half that was asked"


def test_energies_within_their_uncertainty_rank_nothing() -> None:
    points = [(0.5, 10.0), (0.8, 20.0), (0.9, 50.0), (0.92, 100.0)]
    result = weighed(rows_of(points, energy_uncertainty_joules=30.0))
    table = result.tables["front"]
    assert table["energy_joules"].tolist() == [50.0, 100.0]
    assert table["energy_uncertainty_joules"].tolist() == [30.0, 30.0]


def test_repeats_make_an_energy_more_certain() -> None:
    rows = rows_of([(0.8, 40.0), (0.9, 50.0)] * 25, energy_uncertainty_joules=10.0)
    rows = [{**row, "lr": index % 2} for index, row in enumerate(rows)]
    assert weighed(rows).tables["front"]["energy_joules"].tolist() == [50.0]
    table = weighed(rows, configuration=["lr"]).tables["front"]
    assert table["energy_joules"].tolist() == [40.0, 50.0]
    assert table["energy_uncertainty_joules"].tolist() == [2.0, 2.0]


def test_points_lost_of_many_draws_are_those_of_each() -> None:
    accuracies, joules = np.array(POINTS).T
    draws = np.random.default_rng(2).integers(0, 6, (40, 6))
    for share in (0.5, 0.1):
        told = points_lost(accuracies[draws], joules[draws], share)
        expected = []
        for row in draws:
            best = max(accuracies[row])
            limit = share * min(joules[i] for i in row if accuracies[i] == best)
            cheap = [accuracies[i] for i in row if joules[i] <= limit]
            expected.append(best - max(cheap) if cheap else np.inf)
        assert told.tolist() == expected
    assert points_lost_in_draws(accuracies, joules, (0.5, 0.1), 33, 0).shape == (2, 33)


def test_the_interval_of_the_points_lost_is_the_enumerated_one() -> None:
    points = [(0.5, 10.0), (0.8, 40.0), (0.9, 100.0)]
    accuracies, joules = np.array(points).T
    every = np.array(list(product(range(3), repeat=3)))
    lost = points_lost(accuracies[every], joules[every], 0.5)
    exact = np.quantile(lost, [0.025, 0.975], method="inverted_cdf")
    half = weighed(rows_of(points)).tables["halving"].iloc[1]
    assert (half["accuracy_lost_low"], half["accuracy_lost_high"]) == tuple(exact)
    told = points_lost_in_draws(accuracies, joules, (0.5,), 40_000, 0)[0]
    shares = [(told == each).mean() for each in np.unique(lost)]
    assert shares == pytest.approx([(lost == each).mean() for each in np.unique(lost)], abs=0.01)


def test_the_note_tells_as_many_draws_as_there_were() -> None:
    draw = np.random.default_rng(0)
    many = [(a, 1.0 + e) for a, e in draw.random((50_000, 2))]
    result = weighed(rows_of(many))
    assert set(result.tables["halving"]["interval_draws"]) == {400}
    assert any("are over 400 draws of the configurations" in note for note in result.notes)
    few = weighed(rows_of(POINTS), resamples=150)
    assert any("are over 150 draws" in note for note in few.notes)


def test_repeats_of_a_configuration_are_one_point_and_tell_how_sure_it_is() -> None:
    rows = []
    for width, accuracy, joules in ((1, 0.5, 10.0), (2, 0.7, 20.0), (3, 0.71, 40.0)):
        spread = 0.1 if width == 3 else 0.0
        for sign in (-1, -1, 1, 1):
            rows += rows_of([(accuracy + sign * spread, joules)], width=width)
    result = weighed(rows, configuration=["width"])
    table = result.tables["front"].set_index("width")
    assert table["accuracy"].tolist() == pytest.approx([0.5, 0.7, 0.71])
    assert table["runs"].tolist() == [4, 4, 4]
    assert table["on_front_probability"].tolist()[:2] == [1.0, 1.0]
    # Of 4 draws from ±0.1, the mean is above 0.7 with two or more highs: 11 of 16.
    assert table.loc[3, "on_front_probability"] == pytest.approx(11 / 16, abs=0.07)


def test_the_probability_of_being_on_the_front_is_the_enumerated_one() -> None:
    repeats = [  # accuracy and joules
        [(0.5, 10.0), (0.6, 12.0)],
        [(0.55, 11.0), (0.62, 13.0)],
        [(0.7, 12.5), (0.4, 9.0)],
    ]
    pairs = [list(product(own, repeat=2)) for own in repeats]
    times = np.zeros(3)
    for drawn in product(*pairs):
        times += is_pareto_optimal(np.mean(drawn, axis=1) * [-1.0, 1.0])
    runs_of_all = np.array([run for own in repeats for run in own])
    told = on_front_probability(*runs_of_all.T, np.array([0, 0, 1, 1, 2, 2]), 5_000, 0)
    assert told == pytest.approx(times / 64, abs=0.03)
    mixed = [4, 0, 2, 1, 5, 3]  # the order of the rows does not matter
    units = np.array([0, 0, 1, 1, 2, 2])[mixed]
    assert on_front_probability(*runs_of_all[mixed].T, units, 5_000, 0) == pytest.approx(
        times / 64, abs=0.03
    )


def test_all_configurations_have_their_probability_and_equals_the_same() -> None:
    rows = []
    for width, points in ((1, [(0.1, 3.3)] * 3), (2, [(0.1, 3.3)] * 2), (3, [(0.05, 5.0)])):
        rows += rows_of(points, width=width)
    result = weighed(rows, configuration=["width"])
    table = result.tables["on_front"].set_index("width")
    assert table["on_front_probability"].to_dict() == {1: 1.0, 2: 1.0, 3: 0.0}
    assert table["runs"].to_dict() == {1: 3, 2: 2, 3: 1}
    assert result.notes[3] == (
        "The probability of being on the front is over 2000 draws of the repeats of each "
        "configuration; equals are on it together. Configurations of a single run, which counts as "
        "certain: 1 of 3."
    )
    assert "on_front" not in weighed(rows_of(POINTS)).tables, "nothing was repeated"


def test_many_configurations_have_their_probability_soon() -> None:
    draw = np.random.default_rng(0)
    accuracies, joules = draw.random((2, 6000))
    start = time.process_time()
    on_front_probability(accuracies, joules, np.repeat(np.arange(2000), 3), 500, 0)
    assert time.process_time() - start < 3.0  # a third of a second; a loop over them takes 20


def test_a_column_to_weigh_within_that_is_not_there_is_refused() -> None:
    with pytest.raises(
        AnalysisError, match=r"analysis\.within: no column of runs\.csv .*did you mean dataset"
    ):
        weighed(rows_of(POINTS), within=["datset"])
    for option in ("configuration", "hyperparameters"):
        with pytest.raises(AnalysisError, match=rf"analysis\.{option}: .*did you mean dataset"):
            weighed(rows_of(POINTS), **{option: ["datset"]})
    rows = [{key: row[key] for key in ("accuracy", "energy_joules")} for row in rows_of(POINTS)]
    assert weighed(rows).notes[0] == "Accuracy is compared within all runs."


def test_data_sets_are_weighed_apart() -> None:
    rows = [*rows_of(POINTS), *({**row, "dataset": "e"} for row in rows_of([(0.1, 1.0)]))]
    result = weighed(rows)
    assert result.tables["front"]["group"].tolist() == ["d"] * 4 + ["e"]
    assert len(result.answers) == 2


def test_runs_that_did_not_finish_are_no_choice() -> None:
    rows = [*rows_of(POINTS), *rows_of([(0.99, 1.0)], status="pruned")]
    assert weighed(rows).tables["front"]["accuracy"].max() == 0.92
    with pytest.raises(AnalysisError, match=r"no run of runs\.csv finished, of 1"):
        weighed(rows_of([(0.9, 1.0)], status="failed"))


def test_what_matters_for_energy_and_what_for_accuracy() -> None:
    draw = np.random.default_rng(0)
    rate, width, idle = draw.random((3, 200))
    frame = pd.DataFrame({"rate": rate, "width": width, "idle": idle})
    frame["energy"] = 10.0 * width
    frame["accuracy"] = rate**2
    table = importance(frame, ["rate", "width", "idle"], ["energy", "accuracy"], seed=0)
    assert table is not None
    first = table.groupby("target").first()["hyperparameter"]
    assert first.to_dict() == {"energy": "width", "accuracy": "rate"}
    assert (table["r2_out_of_bag"] > 0.9).all()
    assert (table.query("hyperparameter == 'idle'")["importance"].abs() < 0.05).all()
    noise = frame.assign(energy=draw.random(200))
    assert importance(noise, ["idle"], ["energy"], seed=0) is None, "it explains nothing"


def test_what_a_choice_means_at_scale() -> None:
    result = weighed(
        rows_of([(0.9, 3.6e6), (0.8, 1.8e6)]),
        trainings=100,
        kg_co2e_per_kwh=0.5,
        price_per_kwh=0.25,
    )
    table = result.tables["at_scale"].set_index("energy_share")
    assert table["kwh"].tolist()[:2] == [100.0, 50.0]
    assert table["kg_co2e"].tolist()[:2] == [50.0, 25.0]
    assert table["price"].tolist()[:2] == [25.0, 12.5]


def test_one_accuracy_for_all_is_refused() -> None:
    same = rows_of([(0.5, 1.0), (0.5, 2.0)])
    with pytest.raises(AnalysisError, match="all runs of d have the same accuracy"):
        weighed(same)
    result = weighed([*same, *({**row, "dataset": "e"} for row in rows_of(POINTS))])
    assert result.warnings == ["all runs of d have the same accuracy"]


def test_columns_called_as_ours_are_the_users() -> None:
    rows = [{**row, "runs": 7, "unit": number} for number, row in enumerate(rows_of(POINTS))]
    table = weighed(rows, configuration=["runs", "unit"]).tables["front"]
    assert table["runs"].tolist() == [1, 1, 1, 1]
    assert table["runs (column)"].tolist() == [7, 7, 7, 7]


def test_options_that_a_forest_would_not_take_are_ranked() -> None:
    rows = [
        {
            "energy_joules": 10.0 + number,
            "accuracy": 0.5 + 0.01 * (number % 7),
            "dataset": "d",
            "optimizer.huge": 10.0 ** (300 if number > 15 else 2),
            "optimizer.infinite": float("inf") if number > 15 else 1.0,
            "optimizer.list": [number],
        }
        for number in range(30)
    ]
    names = ["optimizer.huge", "optimizer.infinite", "optimizer.list", "optimizer.list"]
    found = analyse_tradeoff(runs(rows), TradeoffConfig(hyperparameters=names)).tables["importance"]
    energy = found[found["target"] == "energy_joules"].set_index("hyperparameter")["importance"]
    assert energy.index.is_unique
    # All three tell the same of the energy, and share what it takes to lose them.
    assert set(energy.index) == set(names)
    assert (energy > 0.05).all()


def test_the_answer_names_the_run_and_its_options_by_the_rule_of_a_sweep() -> None:
    rows = rows_of([(0.96, 100.0), (0.951, 38.0)], objective_low=0.9, objective_high=0.99)
    rows = [
        {**row, "trial": number, "training.epochs": 5 * (number + 1), "model.width": 8}
        for number, row in enumerate(rows)
    ]
    (said,) = weighed(rows).answers
    assert said.startswith(
        "Take trial 1 (epochs 10): 0.9 points less than the best, trial 0 (95 %: -6.3 to 6.8), for "
        "62 % less energy (accuracy 0.9510 for 38 J). Half the energy may cost 1 point here; "
    )
    (dear,) = weighed(rows, points_per_halving=0.5).answers
    assert dear.startswith(
        "Take trial 0 (epochs 5): the most accurate (accuracy 0.9600) for 100 J."
    )


def test_energy_of_a_shared_machine_is_quoted_with_that_it_was_shared() -> None:
    rows = rows_of([(0.9, 9.0), (0.8, 3.0), (0.1, 2.9)])
    rows[0]["energy_contended"], rows[2]["energy_contended"] = True, True
    (said,) = weighed(rows, points_per_halving=9.0).answers
    assert " for 67 % less energy" in said
    assert (
        "The joules of configuration 1 are a share, by use, of a machine that did other work "
        "meanwhile."
    ) in said
    repeated = [{**row, "lr": 0.1 * (number // 2)} for number, row in enumerate(rows)]
    assert "share" in weighed(repeated, configuration=["lr"]).answers[0]
    assert "share" not in weighed(rows_of(POINTS)).answers[0]


def test_of_several_data_sets_each_has_its_answer() -> None:
    rows = rows_of([(0.9, 9.0), (0.8, 8.9)]) + [
        {**row, "dataset": "e"} for row in rows_of([(0.7, 9.0), (0.6, 8.0)])
    ]
    assert [said[:8] for said in weighed(rows).answers] == ["d: Take ", "e: Take "]


def test_repeats_say_how_far_the_loss_may_be_off() -> None:
    values = [
        (0.96, 100.0),
        (0.962, 100.0),
        (0.958, 100.0),
        (0.951, 38.0),
        (0.95, 38.0),
        (0.952, 38.0),
    ]
    rows = [{**row, "lr": number // 3} for number, row in enumerate(rows_of(values))]
    assert "(95 %: " in weighed(rows, configuration=["lr"]).answers[0]
    two = [row for number, row in enumerate(rows) if number % 3]
    assert "may be off is not known" in weighed(two, configuration=["lr"]).answers[0]


def test_the_run_to_take_stands_on_the_front_also_where_its_energy_is_within_its_uncertainty() -> (
    None
):
    rows = [
        {**row, "energy_uncertainty_joules": unsure}
        for row, unsure in zip(
            rows_of([(0.9, 1.0), (0.9, 2.0), (0.5, 0.5)]), (50.0, 0.1, 0.1), strict=True
        )
    ]
    for found in (weighed(rows), weighed(rows[::-1])):
        front = found.tables["front"]
        assert front["is_chosen"].sum() == 1
        chosen = front.loc[front["is_chosen"], "configuration"].iloc[0]
        assert found.answers[0].startswith(f"Take {chosen}")
