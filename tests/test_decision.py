"""Which configuration to take: the rule, what it says, and how sure it is."""

import math

import pytest

from greensweep.config.metrics import METRICS, Metric, directed_metric
from greensweep.decision.candidate import Candidate
from greensweep.decision.choice import Decision, decide
from greensweep.decision.sentences import answer, option_texts
from greensweep.intervals import Interval, share_interval

ACCURACY, RMSE = METRICS["accuracy"], METRICS["rmse"]
OPTIONS = {"optimizer.learning_rate": "0.0361234", "training.batch_size": "256"}


def trial(
    number: int,
    value: float,
    joules: float | None,
    off: float | None = None,
    interval: Interval | None = None,
    **options: object,
) -> Candidate:
    return Candidate(f"trial {number}", value, joules, off, interval, options)


def chosen(candidates: list[Candidate], price: float, metric: Metric = ACCURACY) -> Decision:
    found = decide(candidates, metric, price)
    assert found is not None
    return found


UNSURE = " How far its accuracy may be off is not known: train it again, with new seeds."
FRONT = [trial(0, 0.96, 100.0), trial(1, 0.951, 38.0), trial(2, 0.90, 30.0), trial(3, 0.9, 90.0)]


def test_the_price_of_half_the_energy_decides() -> None:
    # 0.9 points for 1.40 halvings, then 5.1 points for 0.34
    cheap, dear = 0.9 / math.log2(100 / 38), 5.1 / math.log2(38 / 30)
    for price, name in [(0.0, 0), (0.64, 0), (0.65, 1), (14.9, 1), (15.0, 2)]:
        assert chosen(FRONT, price).chosen is FRONT[name]
    found = chosen(FRONT, 1.0)
    assert (found.holds_from, found.holds_to) == (pytest.approx(cheap), pytest.approx(dear))
    assert (found.points_lost, found.saved_share) == (pytest.approx(0.9), pytest.approx(0.62))


def test_a_trade_that_loses_much_is_not_made_where_another_loses_little() -> None:
    """A fixed half gave up 11.9 points where another trial saved 30 % for 0.6."""
    front = [trial(0, 0.95, 100.0), trial(1, 0.944, 70.0), trial(2, 0.831, 50.0)]
    assert [chosen(front, price).chosen.name for price in (1.0, 1.2, 20.0)] == [
        "trial 0", "trial 1", "trial 1",
    ]  # fmt: skip


def test_the_unit_of_energy_does_not_matter() -> None:
    small = [trial(0, 0.96, 0.100), trial(1, 0.951, 0.038), trial(2, 0.90, 0.030)]
    assert chosen(small, 1.0).figures() == pytest.approx(chosen(FRONT[:3], 1.0).figures())


def test_of_equals_the_cheapest_is_the_best_and_is_taken() -> None:
    found = chosen([trial(0, 0.9, 9.0), trial(1, 0.9, 3.0)], 1.0)
    assert found.best is found.chosen and found.best.name == "trial 1"


def test_of_equals_that_are_less_certain_than_large_it_is_still_the_cheapest() -> None:
    found = chosen([trial(0, 0.9, 2.5, 2.7), trial(6, 0.9, 2.1, 3.2), trial(1, 0.8, 1.9, 9.0)], 1.0)
    assert found.best is found.chosen and found.best.name == "trial 6"


def test_energies_near_nothing_do_not_count_as_many_halvings() -> None:
    pair = [trial(0, 0.95, 5.0, 2.0), trial(1, 0.90, 0.01, 2.0)]
    assert chosen(pair, 1.0).chosen is pair[0]  # 500 times less energy, as far as can be told 2.5
    assert chosen([trial(0, 0.95, 5.0), trial(1, 0.90, 0.01)], 1.0).chosen.name == "trial 1"


def test_what_is_cheaper_by_less_than_the_uncertainty_is_not_taken_for_it() -> None:
    near = [trial(0, 0.955, 105.0, 10.0), trial(1, 0.954, 100.0, 10.0)]
    assert chosen(near, 1.0).chosen is near[0]
    sure = [trial(0, 0.955, 105.0, 1.0), trial(1, 0.954, 50.0, 1.0)]
    assert chosen(sure, 1.0).chosen is sure[1]


def test_energy_that_nobody_knows_wins_nothing() -> None:
    mixed = [trial(0, 0.9, None), trial(1, 0.95, 5.0), trial(2, 0.949, 1.0), trial(3, 0.99, None)]
    assert chosen(mixed[:3], 1.0).chosen is mixed[2]
    assert chosen(mixed, 1.0).chosen is mixed[3]
    assert decide([], ACCURACY, 1.0) is None


def test_a_minimised_metric_is_chosen_by_per_cent_of_its_best() -> None:
    found = chosen([trial(0, 2.0, 100.0), trial(1, 2.02, 40.0), trial(2, 2.3, 35.0)], 1.0, RMSE)
    assert (found.best.name, found.chosen.name) == ("trial 0", "trial 1")
    assert found.points_lost == pytest.approx(1.0)


def test_the_loss_has_the_interval_of_both_figures() -> None:
    pair = [
        trial(0, 0.96, 100.0, 8.0, share_interval(0.96, 1000)),
        trial(1, 0.951, 38.0, 3.0, share_interval(0.951, 1000)),
    ]
    found = chosen(pair, 1.0)
    low, high = found.points_lost_interval
    assert (low, high) == (pytest.approx(-0.928, abs=1e-3), pytest.approx(2.746, abs=1e-3))
    assert found.saved_uncertainty == pytest.approx(math.hypot(3.0, 0.38 * 8.0) / 100)
    assert 0.6 < found.stability < 0.9
    sharp = [
        trial(0, 0.96, 100.0, 8.0, (0.9599, 0.9601)),
        trial(1, 0.951, 38.0, 3.0, (0.95, 0.952)),
    ]
    assert chosen(sharp, 1.0).stability == 1.0
    assert chosen(pair[:1] + FRONT[1:2], 1.0).stability is None


def test_options_are_called_by_their_last_part_where_that_tells_them_apart() -> None:
    names = {
        "optimizer.learning_rate": 0.0361234,
        "model.name": "a",
        "dataset.name": "b",
        "+n": 12,
        "x": math.nan,
    }
    assert option_texts(names) == {
        "learning rate": "0.0361", "model": "a", "dataset": "b", "n": "12",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("candidates", "metric", "price", "text"),
    [
        pytest.param(
            [
                trial(0, 0.96, 100.0, 8.0, share_interval(0.96, 1000)),
                trial(6, 0.951, 38.0, 3.0, share_interval(0.951, 1000), **OPTIONS),
            ],
            ACCURACY,
            1.0,
            "Take trial 6 (learning rate 0.0361, batch size 256): 0.9 points less than the best, "
            "trial 0 (95 %: -0.93 to 2.7), for 62 % less energy (±4.3 %) (accuracy 0.9510 for 38 "
            "± 3 J). Half the energy may cost 1 point here; the choice is the same from 0.64 "
            "points on. Of 1000 draws of all metrics and energies within their uncertainties, 70 "
            "% give the same choice.",
            id="best and cheaper",
        ),
        pytest.param(
            [trial(0, 0.96, 100.0), trial(6, 0.95, 25.0)],
            ACCURACY,
            1.0,
            "Take trial 6: 1 point less than the best, trial 0, for 75 % less energy (accuracy "
            "0.9500 for 25 J). Half the energy may cost 1 point here; the choice is the same from "
            "0.5 points on. How far what it gives up may be off is not known: train both again, "
            "with new seeds.",
            id="one point",
        ),
        pytest.param(
            FRONT,
            ACCURACY,
            0.5,
            "Take trial 0: the most accurate (accuracy 0.9600) for 100 J. Half the energy may "
            "cost 0.5 points here; the choice is the same up to 0.64 points." + UNSURE,
            id="best",
        ),
        pytest.param(
            FRONT[:1],
            ACCURACY,
            1.0,
            "Take trial 0: the most accurate (accuracy 0.9600) for 100 J. There is no other whose "
            "energy compares." + UNSURE,
            id="only",
        ),
        pytest.param(
            [trial(0, 0.96, 10.0), trial(1, 0.95, 20.0)],
            ACCURACY,
            1.0,
            "Take trial 0: the most accurate (accuracy 0.9600) for 10 J. None that was tried is "
            "known to take less energy." + UNSURE,
            id="cheapest",
        ),
        pytest.param(
            [trial(0, 0.96, 12.0, 30.0), trial(1, 0.95, 10.0, 30.0)],
            ACCURACY,
            1.0,
            "Take trial 0: the most accurate (accuracy 0.9600) for 12 ± 30 J. None that was tried "
            "is known to take less energy." + UNSURE,
            id="alike",
        ),
        pytest.param(
            [trial(0, 0.96, None), trial(1, 0.95, 20.0)],
            ACCURACY,
            1.0,
            "Take trial 0: the most accurate (accuracy 0.9600). Its energy was not metered or "
            "does not compare with the others', so nothing cheaper is weighed against it.",
            id="unmetered",
        ),
        pytest.param(
            [trial(0, 0.96, 10.0), trial(1, 0.95, 0.0)],
            ACCURACY,
            1.0,
            "Take trial 1: 1 point less than the best, trial 0, for 100 % less energy (accuracy "
            "0.9500 for 0 J). Half the energy may cost 1 point here; the choice is the same from "
            "0.023 points on. How far what it gives up may be off is not known: train both again, "
            "with new seeds.",
            id="free",
        ),
        pytest.param(
            [trial(0, 0.96, 10.0), trial(1, 0.95, 2.0)],
            ACCURACY,
            0.0,
            "Take trial 0: the most accurate (accuracy 0.9600) for 10 J. Half the energy may cost "
            "0 points here; the choice is the same up to 0.43 points." + UNSURE,
            id="zero price",
        ),
        pytest.param(
            [trial(0, 2.0, 1e6, 1e4, (1.9, 2.1)), trial(1, 2.02, 4e5, 1e4, (1.95, 2.1))],
            RMSE,
            1.0,
            "Take trial 1: 1 % higher RMSE than the best, trial 0 (95 %: -5.1 to 7.4), for 60 % "
            "less energy (±1.1 %) (RMSE 2.02 for 400 ± 10 kJ). Half the energy may cost 1 % here; "
            "the choice is the same from 0.76 % on. Of 1000 draws of all metrics and energies "
            "within their uncertainties, 52 % give the same choice.",
            id="rmse",
        ),
        pytest.param(
            [trial(0, -2.0, 1e-3), trial(1, -2.5, 1e-4)],
            directed_metric("mine", "maximize"),
            10.0,
            "Take trial 1: 25 % lower mine than the best, trial 0, for 90 % less energy (mine "
            "-2.5 for 0.1 mJ). Half the energy may cost 10 % here; the choice is the same from "
            "7.5 % on. How far what it gives up may be off is not known: train both again, with "
            "new seeds.",
            id="own",
        ),
        pytest.param(
            [trial(0, 1.0, 10.0), trial(1, 0.0, 1e-5)],
            METRICS["macro_f1"],
            10.0,
            "Take trial 1: 100 points of macro F1 less than the best, trial 0, for >99 % less "
            "energy (macro F1 0.0000 for 0.01 mJ). Half the energy may cost 10 points here; the "
            "choice is the same from 5 points on. How far what it gives up may be off is not "
            "known: train both again, with new seeds.",
            id="f1",
        ),
    ],
)
def test_the_answer_says_what_to_take_and_how_sure(
    candidates: list[Candidate], metric: Metric, price: float, text: str
) -> None:
    assert answer(chosen(candidates, price, metric)) == text


START = Candidate("trial 0", 0.8889, 15.3, 0.8, is_start=True)


@pytest.mark.parametrize(
    ("others", "metric", "text"),
    [
        ([trial(1, 0.94, 6.2, 1.5)], ACCURACY, "5.1 points more and 59 % less energy"),
        ([trial(1, 0.94, 15.6, 0.8)], ACCURACY,
         "5.1 points more and energy that does not differ by more than the uncertainty"),
        ([trial(1, 0.94, 18.0)], ACCURACY, "5.1 points more and 18 % more energy"),
        ([trial(1, 0.94, 40.0)], ACCURACY, "5.1 points more and 2.6 times the energy"),
        ([trial(1, 0.8989, 3.0)], ACCURACY, "1 point more and 80 % less energy"),
        ([trial(1, 0.889, 3.0)], ACCURACY, "0.01 points more and 80 % less energy"),
        ([trial(1, 0.8, 3.0)], RMSE, "11 % lower RMSE and 80 % less energy"),
        # the better one costs too much, and what is taken is worse than the start
        ([trial(1, 0.891, 150.0), trial(2, 0.8789, 1.0)], ACCURACY,
         "1 point less and 93 % less energy"),
    ],
)  # fmt: skip
def test_the_answer_says_what_the_search_brought(
    others: list[Candidate], metric: Metric, text: str
) -> None:
    said = answer(chosen([START, *others], 1.0, metric))
    assert f" for 15.3 ± 0.8 J), that is {text}. " in f"{said} "


def test_where_no_energy_is_known_only_the_metric_is_held_against_the_start() -> None:
    said = answer(chosen([START, trial(1, 0.94, None)], 1.0))
    assert "Against the starting point, trial 0 (accuracy 0.8889), that is 5.1 points more." in said


def test_a_start_that_is_taken_or_the_best_is_not_held_against_itself() -> None:
    assert "starting point" not in answer(chosen([START, trial(1, 0.5, 14.0)], 1.0))
    assert "starting point" not in answer(chosen([START, trial(1, 0.885, 1.0)], 1.0))
    assert "starting point" not in answer(chosen([trial(0, 0.9, 1.0), trial(1, 0.8, 2.0)], 1.0))
