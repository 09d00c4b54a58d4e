"""Which strategy reaches an accuracy for the least energy, and how sure that is."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from run_tables import paper, runs, search
from scipy import stats

from greensweep.analysis import compare_strategies, read_file, standard_table
from greensweep.analysis.comparison import (
    cliffs_delta,
    critical_difference,
    holm,
    median_interval,
    pairwise,
    permutation_test,
    range_text,
    resamples_that_fit,
    signed_rank,
)
from greensweep.analysis.result import Result
from greensweep.analysis.searches import Search, best_so_far, energy_to_target, mean_best_score
from greensweep.analysis.survival import energy_survival
from greensweep.config.schema_analysis import ColumnsConfig, StrategiesConfig
from greensweep.errors import AnalysisError

RANDOM = [(10.0, 0.5), (10.0, 0.6), (20.0, 0.9), (10.0, 0.7)]
QUICK = [(5.0, 0.4), (4.0, None), (1.0, 0.9), (30.0, 0.95)]
NEVER = [(3.0, 0.5), (3.0, 0.6)]


def compared(*rows: list[dict[str, Any]], **options: Any) -> Result:
    return compare_strategies(
        runs([row for part in rows for row in part]), StrategiesConfig(**options)
    )


def row(result: Result, strategy: str) -> Any:
    table = result.tables["searches"]
    return table[table["strategy"] == strategy].iloc[0]


def test_energy_to_target_counts_every_trial_until_the_first_that_reaches_it() -> None:
    result = compared(search("random", RANDOM), search("tpe", QUICK), search("never", NEVER))
    # The target is random's final best, 0.9.
    assert row(result, "random")["joules_to_target"] == 40.0
    assert row(result, "tpe")["joules_to_target"] == 10.0, "the pruned trial's energy counts"
    assert row(result, "never")["joules_to_target"] == np.inf
    assert row(result, "tpe")["total_joules"] == 40.0
    assert (row(result, "tpe")["trials"], row(result, "tpe")["finished"]) == (4, 3)
    ratios = result.tables["ratios"].set_index("strategy")["ratio"]
    assert ratios.to_dict() == {"tpe": 0.25, "never": np.inf}
    assert result.figures["ratios"]["never"]["never"] == 1
    assert result.figures["ratios"]["tpe"]["cheaper"] == 1


def test_the_target_is_the_users_when_given() -> None:
    result = compared(search("random", RANDOM), search("tpe", QUICK), target=0.6)
    assert row(result, "random")["joules_to_target"] == 20.0
    result = compared(search("random", RANDOM), search("tpe", QUICK), fraction_of_best=0.999)
    assert row(result, "random")["joules_to_target"] == np.inf
    assert row(result, "tpe")["joules_to_target"] == 40.0


def test_best_so_far_and_the_area_under_it() -> None:
    assert best_so_far(np.array([np.nan, 0.5, 0.25, np.nan, 0.75])).tolist()[1:] == [
        0.5, 0.5, 0.5, 0.75,
    ]  # fmt: skip
    assert np.isnan(best_so_far(np.array([np.nan, 0.5]))[0])
    one = Search("s", "random", "0", np.array([10.0, 30.0, 60.0]), np.array([0.5, np.nan, 1.0]))
    # 0 for 10 J, 0.5 for 30 J and 60 J; the third trial ends at the horizon of 100 J.
    assert mean_best_score(one, 100.0) == pytest.approx(0.45)
    assert mean_best_score(one, 20.0) == pytest.approx(0.25)
    assert mean_best_score(one, 200.0) == pytest.approx(0.725)


def test_regret_is_told_at_shares_of_the_energy_that_all_strategies_spent() -> None:
    result = compared(search("random", RANDOM), search("tpe", QUICK))
    # The horizon is 40 J, the best known accuracy 0.95.
    assert row(result, "random")["horizon_joules"] == 40.0
    assert row(result, "random")["regret_at_25%"] == pytest.approx(0.45)
    assert row(result, "random")["regret_at_50%"] == pytest.approx(0.35)
    assert row(result, "random")["regret_at_100%"] == pytest.approx(0.05)
    assert row(result, "tpe")["regret_at_100%"] == 0.0


def test_curves_rise_where_the_best_does_and_end_where_the_search_did() -> None:
    curves = compared(search("random", RANDOM), search("tpe", QUICK)).tables["curves"]
    own = curves[curves["strategy"] == "random"]
    assert own["spent_joules"].tolist() == [10.0, 20.0, 40.0, 50.0]
    assert own["best_accuracy"].tolist() == [0.5, 0.6, 0.9, 0.9]


def test_the_interval_of_a_search_without_order_is_over_its_orders() -> None:
    one_hit = [(10.0, 0.9)] + [(10.0, 0.1)] * 39
    result = compared(search("random", one_hit), search("tpe", QUICK))
    low, high = row(result, "random")[["joules_to_target_low", "joules_to_target_high"]]
    # The hit is equally likely at each of the 40 places: 2.5 % are beyond either end.
    assert low in (10.0, 20.0)
    assert high in (390.0, 400.0)
    assert np.isnan(row(result, "tpe")["joules_to_target_low"])


def test_two_trials_have_no_interval_and_no_band_over_their_orders() -> None:
    result = compared(search("random", RANDOM[:2]), search("tpe", QUICK))
    assert np.isnan(row(result, "random")["joules_to_target_low"])
    assert row(result, "random")["interval_over"] == "none"
    assert "bands" not in result.tables


def test_several_searches_count_by_their_median() -> None:
    rows = [
        search("random", [(j, 0.9), (1.0, 0.1)], seed=seed)
        for seed, j in enumerate((10.0, 30.0, 90.0))
    ]
    rows += [search("tpe", [(j, 0.9)], seed=seed) for seed, j in enumerate((1.0, 3.0, 500.0))]
    ratios = compared(*rows).tables["ratios"]
    assert ratios["ratio"].tolist() == [0.1]


def test_six_searches_have_an_interval_over_them() -> None:
    costs = (10.0, 20.0, 30.0, 40.0, 50.0, 90.0)
    rows = [search("tpe", [(j, 0.9)], seed=seed) for seed, j in enumerate(costs)]
    table = compared(search("random", RANDOM), *rows).tables["energy_to_target"]
    tpe = table.set_index("strategy").loc["tpe"]
    assert (tpe["searches"], tpe["joules_to_target"]) == (6, 35.0)
    assert [tpe["joules_to_target_low"], tpe["joules_to_target_high"]] == [10.0, 90.0]
    assert (tpe["interval_over"], tpe["interval_draws"]) == ("searches", 0)


def test_five_adaptive_searches_have_no_interval() -> None:
    rows = [search("tpe", [(float(seed), 0.9)], seed=seed) for seed in range(1, 6)]
    table = compared(search("random", RANDOM), *rows).tables["energy_to_target"]
    tpe = table.set_index("strategy").loc["tpe"]
    assert (tpe["interval_over"], np.isnan(tpe["joules_to_target_low"])) == ("none", True)


def test_fewer_searches_have_an_interval_over_orders_or_none() -> None:
    trials = [(10.0, 0.9), (10.0, 0.1), (10.0, 0.1), (10.0, 0.1)]
    rows = [search("random", trials, seed=seed) for seed in range(2)]
    rows += [search("tpe", QUICK, seed=seed) for seed in range(2)]
    rows += [search("random@paper_log", trials, seed=seed) for seed in range(2)]
    result = compared(*rows)
    table = result.tables["energy_to_target"].set_index("strategy")
    over = "orders of trials"
    assert table["interval_over"].to_dict() == {
        "random": over, "random@paper_log": over, "tpe": "none",
    }  # fmt: skip
    assert table["interval_draws"].to_dict() == {"random": 2000, "random@paper_log": 2000, "tpe": 0}
    assert np.isnan(table.loc["tpe", "joules_to_target_low"])
    # Median of two hits at 10 to 40 J each: 10 and 40 in 1 of 16 orders each.
    ends = table.loc["random", ["joules_to_target_low", "joules_to_target_high"]]
    assert ends.tolist() == [10.0, 40.0]
    each = result.tables["searches"].query("strategy == 'random'")
    assert each["interval_over"].tolist() == ["orders of trials"] * 2
    assert any("2000 random orders (random, grid)" in note for note in result.notes)
    assert any("Bands of the curves are over 500 draws" in note for note in result.notes)


def test_the_notes_tell_as_many_draws_as_there_were() -> None:
    result = compared(search("random", RANDOM), search("tpe", QUICK), resamples=150)
    assert row(result, "random")["interval_draws"] == 150
    assert any("are over 150 random orders" in note for note in result.notes)
    assert any("are over 150 draws each" in note for note in result.notes)
    assert resamples_that_fit(2000, 100) == 2000
    assert resamples_that_fit(2000, 20_000) == 500, "more would not fit in memory"
    assert resamples_that_fit(2000, 10**9) == 20
    assert range_text({500, 20}) == "20 to 500"


def test_below_six_settings_a_ratio_has_no_interval() -> None:
    rows = [
        each
        for setting in "abcde"
        for each in (search("random", RANDOM, setting), search("tpe", QUICK, setting))
    ]
    found = compared(*rows).figures["ratios"]["tpe"]
    assert found["median_ratio"] == 0.25
    assert (found["median_ratio_low"], found["median_ratio_high"]) == (None, None)


ELSEWHERE = search("random", [(1.0, 0.05)], "elsewhere")  # so that some accuracy differs


def in_settings(count: int, **costs: float) -> list[dict[str, Any]]:
    """Searches of one trial that reach the target for so many joules, infinite never, by strategy.

    Settings differ in what a trial costs.
    """
    return [
        row
        for number in range(count)
        for strategy, joules in costs.items()
        for row in search(
            strategy,
            [(joules * (1 + number), 0.9) if np.isfinite(joules) else (1.0, 0.1)],
            f"s{number}",
        )
    ]


def test_which_strategy_needs_the_least_energy_is_said_where_tests_tell_it() -> None:
    rows = in_settings(7, random=100.0, gp=30.0, tpe=50.0) + ELSEWHERE
    assert compared(rows).answers[0] == (
        "Overall gp needs the least energy to reach the target by its median ratio to random, 0.3 "
        "(95 % interval over settings: 0.3 to 0.3), in 7 settings, and differs from the others by "
        "more than chance (p ≤ 0.047 by Wilcoxon's test over settings, after Holm)."
    )
    assert compared(rows, baseline="gp").answers[0] == (
        "Overall gp needs the least energy to reach the target as the smallest median ratio to it "
        "is tpe's, 1.67 (95 % interval over settings: 1.67 to 1.67), in 7 settings, and differs "
        "from the others by more than chance (p ≤ 0.047 by Wilcoxon's test over settings, after "
        "Holm)."
    )
    assert compared(rows[3:]).answers[0] == (
        "Which strategy needs the least energy to reach the target cannot be told: gp does by its "
        "median ratio to random, 0.3 (95 % interval over settings: 0.3 to 0.3), in 6 settings, but "
        "p is 0.094 against random and 0.094 against tpe (Wilcoxon's test over settings, after "
        "Holm)."
    )


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        pytest.param(
            in_settings(1, random=40.0, tpe=10.0),
            "tpe reaches the target for 10 J, 0.25 times what random needs: which of both needs "
            "less cannot be told from one search each in 1 setting.",
            id="one search each",
        ),
        pytest.param(
            in_settings(1, random=40.0, tpe=np.inf),
            "tpe never reaches the target, which random reaches for 40 J: which of both needs less "
            "cannot be told from one search each in 1 setting.",
            id="never",
        ),
        pytest.param(
            in_settings(1, random=np.inf, tpe=10.0),
            "tpe reaches the target for 10 J, random never does: which of both needs less cannot "
            "be told from one search each in 1 setting.",
            id="alone",
        ),
        pytest.param(
            in_settings(1, random=0.0, tpe=10.0),
            "random reaches the target for 0 J, so tpe has no ratio to it.",
            id="for nothing",
        ),
        pytest.param(
            in_settings(2, random=40.0, tpe=10.0),
            "tpe needs less energy than random to reach the target in all 2 settings; the median "
            "ratio is 0.25: which of both needs less cannot be told from one search each in 2 "
            "settings.",
            id="two settings",
        ),
        pytest.param(
            in_settings(6, random=40.0, tpe=np.inf),
            "tpe needs less energy than random to reach the target in none of 6 settings and never "
            "reaches it in 6; the median ratio is infinite (95 % interval over settings: infinite "
            "to infinite), more than chance (p = 0.031 by Wilcoxon's test over settings, after "
            "Holm).",
            id="never in any",
        ),
        pytest.param(
            in_settings(6, random=np.inf, tpe=10.0),
            "tpe needs less energy than random to reach the target in all 6 settings (random never "
            "does in 6 of them); the median ratio is 0 (95 % interval over settings: 0 to 0), more "
            "than chance (p = 0.031 by Wilcoxon's test over settings, after Holm).",
            id="alone in all",
        ),
        pytest.param(
            in_settings(6, random=40.0, tpe=40.0),
            "tpe needs less energy than random to reach the target in none of 6 settings and as "
            "much or more in 6; the median ratio is 1 (95 % interval over settings: 1 to 1), which "
            "may be chance (p = 1 by Wilcoxon's test over settings, after Holm).",
            id="as much",
        ),
        pytest.param(
            in_settings(1, random=np.inf, tpe=np.inf),
            "neither tpe nor random reaches the target in any setting.",
            id="neither",
        ),
    ],
)
def test_the_answer_says_what_its_searches_can_tell(rows: list[dict[str, Any]], told: str) -> None:
    assert compared(rows, ELSEWHERE, target=0.9).answers == [told]


def test_of_several_searches_in_one_setting_a_test_over_them_tells() -> None:
    def searched(**costs: list[float]) -> list[dict[str, Any]]:
        return [
            row
            for strategy, each in costs.items()
            for seed, joules in enumerate(each)
            for row in search(strategy, [(1.0, 0.1), (joules, 0.9)], seed=seed)
        ]

    cheap, dear = [10.0, 11.0, 12.0, 13.0, 14.0, 15.0], [20.0, 21.0, 22.0, 23.0, 24.0, 25.0]
    (said,) = compared(searched(tpe=cheap, random=dear)).answers
    assert said.startswith(
        "the median of 6 searches by tpe reaches the target for 13.5 J, 0.574 times what the "
        "median of 6 searches by random needs, more than chance (p = 0.0"
    )
    assert said.endswith(" by van Elteren's test over searches, after Holm).")
    (said,) = compared(searched(tpe=cheap[:2], random=dear[:2])).answers
    assert "which may be chance (p = 0.33 by van Elteren's" in said
    known = stats.mannwhitneyu(cheap[:4], [9.0, *dear[:4]]).pvalue
    found = permutation_test([(np.array(cheap[:4]), np.array([9.0, *dear[:4]]))], seed=0)
    assert found == pytest.approx(known, abs=0.01)


def test_searches_of_other_spaces_objectives_or_fixed_options_are_not_pooled() -> None:
    def made(strategy: str, seed: int = 0, **options: Any) -> list[dict[str, Any]]:
        searched = {"optimizer.lr": lambda number: 0.1 * number}
        rows = search(strategy, RANDOM, seed=seed)
        return [
            {**row, **{k: f(number) for k, f in searched.items()}, **options}
            for number, row in enumerate(rows)
        ]

    def told(*rows: list[dict[str, Any]]) -> list[str]:
        return list(compared(*rows).tables["searches"]["setting"])

    same = made("random", **{"training.epochs": 5, "dataset.root": "a"})
    assert told(same, made("tpe", **{"training.epochs": 5, "dataset.root": "b"})) == ["digits"] * 2
    for other, named in [
        ({"training.epochs": 10}, {"digits (epochs 10)", "digits (epochs 5)"}),
        ({"optimizer.lr": 0.3}, {"digits (lr 0.3)", "digits (lr searched)"}),
        (
            {"objective.name": "pareto"},
            {"digits (objective pareto)", "digits (objective accuracy)"},
        ),
        ({"space": "small"}, {"digits (space small)", "digits (space large)"}),
        ({"space.optimizer.lr.high": 9}, {"digits (lr to 9)", "digits (lr to 1)"}),
    ]:
        own = {"training.epochs": 5, "objective.name": "accuracy", "space": "large"}
        own["space.optimizer.lr.high"] = 1
        mine, its = made("random", **own), own | other
        result = compared(mine, made("tpe", **its))
        assert set(result.tables["searches"]["setting"]) == named
        assert result.answers == [
            "tpe and random have no comparable searches, as none share data, model, space, "
            "objective and fixed options: which of both needs less cannot be told."
        ]
        assert result.warnings[-2].startswith(
            "searches that differ in space, objective or fixed options are not held against each "
            "other, but within 2 settings: digits ("
        )
    few = made("tpe", **{"training.epochs": 5, "training.batch_size": 64})
    drawn = [
        {**row, "training.batch_size": 32 * (1 + number % 2)}
        for number, row in enumerate(made("random", **{"training.epochs": 5}))
    ]
    assert told(few, drawn) == ["digits"] * 2, "four trials may have drawn one of two by chance"
    across = compared(
        made("random@small", space="small"), made("random@large", space="large"),
        baseline="random@small",
    )  # fmt: skip
    assert set(across.tables["searches"]["setting"]) == {"digits"}, "its name says what is compared"


def test_a_search_cut_short_ruins_no_other() -> None:
    whole = [search("tpe", [(20.0, 0.5), (20.0, 0.8)], seed=seed) for seed in range(3)]
    short = search("tpe", [(1.0, 0.4)], seed=3)
    result = compared(search("random", RANDOM), *whole, short)
    table = result.tables["searches"]
    assert set(table["horizon_joules"]) == {40.0}
    tpe = table[table["strategy"] == "tpe"]
    # 0 for 20 J, 0.5 for 20 J; the short one holds 0.4 from 1 J on.
    expected = [0.25, 0.25, 0.25, 0.4 * 39 / 40]
    assert tpe["mean_best_accuracy"].tolist() == pytest.approx(expected)
    assert tpe["regret_at_100%"].tolist() == pytest.approx([0.1, 0.1, 0.1, 0.5])
    assert result.warnings == [
        "less energy than accuracy and regret are compared over (horizon_joules) was spent by 1 of "
        "5 searches: what counts there is their last best"
    ]
    bands = result.tables["bands"].query("strategy == 'tpe'")
    assert bands["spent_joules"].iloc[-1] == 40.0
    assert bands["accuracy"].iloc[-1] == pytest.approx((3 * 0.8 + 0.4) / 4)


def test_one_that_never_arrives_is_censored_in_the_survival_curve() -> None:
    rows = []
    for index, setting in enumerate(("a", "b", "c", "d")):
        rows.append(search("random", [(100.0, 0.9)], setting))
        hit = [(20.0, 0.9), (70.0, 0.1)] if index < 2 else [(50.0, 0.5)]
        rows.append(search("tpe", hit, setting))
    result = compared(*rows)
    curve = result.tables["survival"].query("strategy == 'tpe'")
    # Two arrive for a fifth of random's 100 J; the other two were watched for 50 J.
    assert curve["energy_ratio"].tolist() == [0.0, 0.2, 0.5]
    assert curve["not_yet"].tolist() == [1.0, 0.5, 0.5]
    assert result.figures["survival_median_ratio"] == {"random": 1.0, "tpe": 0.2}


@pytest.mark.parametrize(("searches", "median"), [(3, 2), (4, 2), (6, 3), (8, 4), (12, 6)])
def test_half_have_arrived_at_the_survival_median(searches: int, median: int) -> None:
    table = pd.DataFrame(
        {
            "setting": [f"{number}" for number in range(searches)] * 2,
            "strategy": ["random"] * searches + ["tpe"] * searches,
            "joules_to_target": [1.0] * searches + [1.0 + number for number in range(searches)],
            "total_joules": 100.0,
        }
    )
    _, figures = energy_survival(table, "random")
    assert figures["survival_median_ratio"] == {"random": 1.0, "tpe": median}


def test_a_band_over_searches_holds_their_mean() -> None:
    rows = [
        search("random", [(10.0, accuracy), (10.0, 0.9)], seed=seed)
        for seed, accuracy in enumerate((0.2, 0.4, 0.6))
    ]
    bands = compared(*rows, search("tpe", QUICK)).tables["bands"]
    assert set(bands["strategy"]) == {"random"}, "one search of tpe has no band"
    assert set(bands["band_over"]) == {"searches"}
    early = bands[(bands["spent_joules"] > 10.1) & (bands["spent_joules"] < 19.9)].iloc[0]
    assert early["accuracy"] == pytest.approx(0.4)
    assert (early["low"], early["high"]) == pytest.approx((0.2, 0.6))
    assert bands["accuracy"].iloc[0] == 0.0, "no trial is done yet"
    assert bands[["accuracy", "low", "high"]].iloc[-1].tolist() == pytest.approx([0.9] * 3)


def test_a_band_over_orders_holds_where_the_best_trial_may_come() -> None:
    rows = (search("random", RANDOM), search("random@paper_log", RANDOM), search("tpe", QUICK))
    bands = compared(*rows).tables["bands"]
    assert set(bands["band_over"]) == {"orders of trials"}
    assert set(bands["strategy"]) == {"random", "random@paper_log"}
    bands = bands.query("strategy == 'random'")
    assert bands[["accuracy", "low", "high"]].iloc[-1].tolist() == pytest.approx([0.9] * 3)
    early = bands[bands["spent_joules"] > 20.0].iloc[0]
    assert early["low"] <= 0.6 and early["high"] == 0.9


def test_of_two_baseline_searches_the_worse_one_sets_the_target() -> None:
    rows = [search("random", [(10.0, best)], seed=seed) for seed, best in enumerate((0.6, 0.9))]
    result = compared(*rows, search("tpe", [(1.0, 0.7), (1.0, 0.9)]))
    assert result.figures["targets"] == {"digits": 0.6}, "both of its own searches reach it"
    assert result.tables["ratios"]["ratio"].tolist() == [0.1]


# Statistics


def test_nemenyis_critical_difference_is_demsars() -> None:
    assert critical_difference(4, 14) == pytest.approx(1.25, abs=0.005)  # its section 3.2.2
    assert critical_difference(2, 10) == pytest.approx(1.960 * np.sqrt(2 * 3 / 60), abs=1e-3)


def test_the_signed_rank_test_is_scipys_and_takes_infinities() -> None:
    finite = np.array([-3.0, 1.0, -2.0, -5.0, -4.0, 0.0, -7.0])
    assert signed_rank(finite) == pytest.approx(stats.wilcoxon(finite[finite != 0]).pvalue)
    with_infinite = np.where(finite == -7.0, -np.inf, finite)
    assert signed_rank(with_infinite) == signed_rank(finite), "the largest ranks as infinite does"
    assert signed_rank(np.zeros(5)) == 1.0


def test_the_signed_rank_test_is_scipys_at_every_length_with_and_without_ties() -> None:
    draw = np.random.default_rng(0)
    for length in range(1, 17):
        for differences in (draw.normal(size=length), draw.choice([-3.0, -1.0, 1.0, 2.0], length)):
            told = stats.wilcoxon(np.sign(differences) * stats.rankdata(np.abs(differences)))
            assert signed_rank(differences) == pytest.approx(told.pvalue, rel=1e-12)


def test_effect_sizes_and_adjusted_p_values() -> None:
    assert cliffs_delta(np.array([1.0, 2.0]), np.array([3.0, np.inf])) == -1.0
    assert cliffs_delta(np.array([1.0, 5.0]), np.array([3.0, 3.0])) == 0.0
    assert cliffs_delta(np.array([np.inf]), np.array([np.inf])) == 0.0
    assert holm(np.array([0.01, 0.04, 0.03])) == pytest.approx([0.03, 0.06, 0.06])
    told = holm(np.array([np.nan, 0.9, 0.01, np.nan, 0.8]))
    assert told == pytest.approx([np.nan, 1.0, 0.03, np.nan, 1.0], nan_ok=True)
    assert np.isnan(holm(np.array([np.nan]))).all()


def test_pairs_are_compared_setting_by_setting() -> None:
    costs = pd.DataFrame({"a": [1.0, 2.0, np.inf, np.inf], "b": [2.0, 8.0, 3.0, np.inf]})
    pair = pairwise(costs).iloc[0]
    assert (pair["cheaper"], pair["dearer"], pair["equal"]) == (2, 1, 1)
    assert pair["median_ratio"] == 0.5


def test_the_interval_of_a_median_holds_it_as_often_as_it_says_and_may_be_infinite() -> None:
    median, low, high = median_interval(np.array([0.1, 0.2, 0.4, 0.5, 0.6, np.inf]), 0.95)
    assert (median, low, high) == (pytest.approx(0.45), 0.1, np.inf)
    assert np.isnan(median_interval(np.arange(5.0), 0.95)[1:]).all()
    assert median_interval(np.arange(5.0), 0.9)[1:] == (0.0, 4.0)
    draw = np.random.default_rng(0)
    for count in (6, 7, 8, 12, 30):
        found = [median_interval(draw.exponential(size=count), 0.95) for _ in range(300)]
        held = np.mean([low <= np.log(2.0) <= high for _, low, high in found])
        assert held > 0.93, "a bootstrap of 7 holds it with 0.86"


# The paper


def test_the_papers_searches_give_its_counts() -> None:
    columns = ColumnsConfig(spent=None, setting=["dataset", "n_hyperparameters", "model"])
    raw = read_file(paper("rq1_strategies.csv"))
    result = compare_strategies(standard_table(raw, columns, "rq1"), StrategiesConfig())
    found = result.figures["ratios"]
    bayesian = found["bayesian"]
    assert (bayesian["cheaper"], bayesian["dearer"], bayesian["never"]) == (10, 1, 1)
    assert round(bayesian["median_ratio"], 3) == 0.186
    assert (found["grid"]["cheaper"], found["grid"]["dearer"], found["grid"]["never"]) == (5, 0, 7)
    ratio = "0.186 (95 % interval over settings: 0.0845 to 0.484)"
    assert result.answers[0] == (
        "Which strategy needs the least energy to reach the target cannot be told: bayesian does "
        f"by its median ratio to random, {ratio}, in 12 settings, but p is 0.085 against random "
        "(Wilcoxon's test over settings, after Holm)."
    )
    assert result.answers[1] == (
        "bayesian needs less energy than random to reach the target in 10 of 12 settings, as much "
        f"or more in 1 and never reaches it in 1; the median ratio is {ratio}, which may be chance "
        "(p = 0.085 by Wilcoxon's test over settings, after Holm)."
    )
    assert result.runs.rows == 2304
    assert not result.runs.left_out


# Bad input


def test_one_strategy_is_refused() -> None:
    with pytest.raises(AnalysisError, match="has only 'tpe': add another sweep"):
        compared(search("tpe", QUICK), baseline="tpe")


def test_a_baseline_that_is_no_strategy_is_refused() -> None:
    with pytest.raises(AnalysisError, match=r"no strategy is called 'rand': did you mean random\?"):
        compared(search("tpe", QUICK), search("random", RANDOM), baseline="rand")


def test_a_trial_that_is_there_twice_is_refused() -> None:
    with pytest.raises(AnalysisError, match=r"trial 0 of tpe in digits twice, and 4 such rows"):
        compared(search("tpe", QUICK), search("tpe", QUICK), search("random", RANDOM))


def test_accuracy_that_never_varies_is_refused() -> None:
    same = [(1.0, 0.5), (2.0, 0.5)]
    with pytest.raises(AnalysisError, match=r"have the accuracy 0\.5: there is nothing"):
        compared(search("tpe", same), search("random", same))
    none = [(1.0, None)]
    with pytest.raises(AnalysisError, match=r"finished, of 2: columns\.status has pruned \(2\)"):
        compared(search("tpe", none), search("random", none))


def test_a_strategy_of_which_nothing_finished_never_arrives() -> None:
    result = compared(search("random", RANDOM), search("tpe", [(5.0, None), (6.0, None)]))
    assert row(result, "tpe")["joules_to_target"] == np.inf
    assert np.isnan(row(result, "tpe")["best_accuracy"])


def test_a_setting_that_lacks_a_strategy_is_told() -> None:
    result = compared(
        search("random", RANDOM), search("tpe", QUICK), search("random", RANDOM, "other")
    )
    assert result.warnings == [
        "a strategy is missing in 1 of 2 settings: pairs count there where both ran, mean ranks "
        "nowhere"
    ]
    assert len(result.tables["ratios"]) == 1


def test_a_pair_counts_every_setting_that_both_ran() -> None:
    settings = ("a", "b", "c")
    rows = [search(name, RANDOM, setting) for name in ("random", "gp") for setting in settings]
    result = compared(*rows, search("tpe", QUICK, "a"))
    pairs = result.tables["pairs"].set_index(["strategy", "other"])["settings"]
    assert pairs.to_dict() == {("gp", "random"): 3, ("gp", "tpe"): 1, ("random", "tpe"): 1}
    assert result.figures["settings_compared"] == 1, "ranks need all three"


def test_strategies_without_a_setting_in_common_are_no_pair() -> None:
    result = compared(search("random", RANDOM, "a"), search("tpe", QUICK, "b"), target=0.5)
    assert "pairs" not in result.tables
    assert result.answers[0].startswith("tpe and random have no comparable searches, as none share")
    apart = compared(
        search("random", RANDOM, "a"), search("tpe", QUICK, "b"), search("gp", QUICK, "b")
    )
    assert "pairs" not in apart.tables, "b has no baseline, and so no target"


def test_energy_to_target_takes_many_orders_at_once() -> None:
    joules = np.array([[1.0, 2.0, 4.0], [4.0, 2.0, 1.0]])
    accuracies = np.array([[0.1, 0.9, 0.9], [0.1, 0.1, np.nan]])
    assert energy_to_target(joules, accuracies, 0.9).tolist() == [3.0, np.inf]


def test_runs_that_no_search_drew_are_told_and_a_missing_setting_is_one() -> None:
    alone = {**search("random", [(1.0, 0.99)])[0], "strategy": None}
    result = compared(search("random", RANDOM), search("tpe", QUICK), [alone])
    assert result.warnings == ["not compared: 1 run that no search drew"]
    assert row(result, "random")["best_accuracy"] == 0.9
    unnamed = [{**each, "dataset": None} for each in search("random", RANDOM)]
    table = compared(unnamed, search("random", RANDOM), search("tpe", QUICK)).tables["searches"]
    assert set(table["setting"]) == {"digits", "missing"}


def test_trials_without_a_number_are_refused() -> None:
    rows = [{**each, "trial": "first"} for each in search("random", RANDOM)]
    with pytest.raises(AnalysisError, match=r"^columns\.order: .* trial must be a number, got 'f"):
        compared(rows, search("tpe", QUICK))
    rows = [{**each, "trial": None} for each in rows]
    with pytest.raises(AnalysisError, match=r"order of trials, has no number for 4 of"):
        compared(rows, search("tpe", QUICK))


def test_a_strategy_that_alone_arrives_is_counted_as_cheaper() -> None:
    slow = [(10.0, 0.1), (10.0, 0.2)]
    result = compared(search("random", slow), search("tpe", QUICK), search("gp", slow), target=0.75)
    assert row(result, "random")["joules_to_target"] == np.inf
    figures = result.figures["ratios"]
    assert figures["tpe"] == {
        "settings": 1, "cheaper": 1, "alone": 1, "dearer": 0, "never": 0,
        "median_ratio": 0.0, "median_ratio_low": None, "median_ratio_high": None,
    }  # fmt: skip
    assert "gp" not in figures
    assert result.answers == [
        "Which strategy needs the least energy to reach the target cannot be told from one search "
        "each in 1 setting.",
        "neither gp nor random reaches the target in any setting.",
        "tpe reaches the target for 10 J, random never does: which of both needs less cannot be "
        "told from one search each in 1 setting.",
    ]
    curve = result.tables["survival"]
    spent = row(result, "tpe")["joules_to_target"] / 20.0
    assert curve[curve["strategy"] == "tpe"]["energy_ratio"].tolist() == [0.0, spent]
    never = curve[curve["strategy"] == "random"]
    assert never["not_yet"].tolist() == [1.0, 1.0], "it has a line"
    assert never["energy_ratio"].tolist() == [0.0, 1.0], "and it ends at what it spent"


def test_a_baseline_that_arrives_for_nothing_is_told() -> None:
    result = compared(search("random", [(0.0, 0.9), (1.0, 0.5)]), search("tpe", QUICK), target=0.5)
    assert result.answers == ["random reaches the target for 0 J, so tpe has no ratio to it."]


def test_regret_at_all_of_the_energy_counts_the_last_trial() -> None:
    thirds = [(0.1, 0.1), (0.2, 0.2), (0.3, 0.9)]  # 0.1 + 0.2 + 0.3 is not 0.6, one by one
    result = compared(search("random", thirds), search("tpe", thirds))
    assert row(result, "tpe")["regret_at_100%"] == 0.0


def test_settings_with_one_text_are_two_all_the_same() -> None:
    rows = [
        {**each, "dataset": dataset, "model": model}
        for dataset, model in (("a b", "c"), ("a", "b c"))
        for each in search("random", RANDOM) + search("tpe", QUICK)
    ]
    result = compare_strategies(runs(rows), StrategiesConfig())
    assert set(result.tables["searches"]["setting"]) == {
        "dataset='a b', model='c'",
        "dataset='a', model='b c'",
    }
