"""What each value of an option costs, and what it brings."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from run_tables import paper, runs

from greensweep.analysis import answer, read_file, standard_table
from greensweep.config.schema_analysis import ColumnsConfig, OptionsConfig
from greensweep.errors import AnalysisError

BATCH, RATE = "training.batch_size", "optimizer.learning_rate"


def table(batches: tuple[int, ...] = (32, 64), each: int = 12) -> list[dict[str, object]]:
    """Return runs whose energy goes by the batch alone, and whose accuracy goes by nothing."""
    noise = np.random.default_rng(0)
    return [
        {
            "dataset": "digits",
            "model": "mlp",
            BATCH: batch,
            RATE: 10.0 ** noise.uniform(-4, -1),
            "energy_joules": 6400.0 / batch + noise.uniform(-1, 1),
            "accuracy": 0.9 + noise.uniform(-0.01, 0.01),
        }
        for batch in batches
        for _ in range(each)
    ]


def test_the_option_that_energy_goes_by_is_named_with_what_it_saves() -> None:
    rows = table()
    found = answer(runs(rows), OptionsConfig())
    batch, rate = (found.tables["options"].set_index("option").loc[name] for name in (BATCH, RATE))
    means = pd.DataFrame(rows).groupby(BATCH)[["energy_joules", "accuracy"]].mean()
    assert (batch["least"], batch["most"]) == ("64", "32")
    saved = 1 - means["energy_joules"][64] / means["energy_joules"][32]
    assert batch["energy_saved_share"] == pytest.approx(saved)
    gained = means["accuracy"][64] - means["accuracy"][32]
    assert batch["accuracy_gained"] == pytest.approx(gained)
    assert batch["energy_p"] < 0.001 < 0.05 < batch["accuracy_p"]
    assert rate["energy_p"] > 0.05
    (sentence,) = found.answers
    assert "training.batch_size matters most for energy: at 64 runs take 50 % less" in sentence
    assert sentence.endswith(" points more accuracy, which may be chance.")


def test_another_metric_has_its_own_name_and_sign() -> None:
    rows = [{**row, "rmse": 0.5 + row["energy_joules"] / 1000} for row in table()]  # type: ignore[operator]
    found = answer(runs(rows, metric="rmse"), OptionsConfig())
    batch = found.tables["options"].set_index("option").loc[BATCH]
    assert batch["rmse_added"] == pytest.approx(-0.1, abs=0.002)
    assert not [name for name in found.tables["values"] if "accuracy" in name]
    assert found.answers[0].endswith("with 0.1 less RMSE.")


def test_values_stand_in_their_order_with_intervals_of_their_means() -> None:
    rows = table((16, 128, 32))
    values = answer(runs(rows), OptionsConfig()).tables["values"]
    batch = values[values["option"] == BATCH]
    assert list(batch["value"]) == ["16", "32", "128"]
    assert list(batch["runs"]) == [12, 12, 12]
    own = pd.Series([row["energy_joules"] for row in rows if row[BATCH] == 32], dtype=float)
    half = 2.200985160082949 * own.std() / 12**0.5  # Student's t of 11 degrees of freedom, 97.5 %
    row = batch.iloc[1]
    # On the scale of the logarithm, by the delta method.
    assert row["energy_joules_low"] == pytest.approx(own.mean() * np.exp(-half / own.mean()))
    assert row["energy_joules_high"] == pytest.approx(own.mean() * np.exp(half / own.mean()))


def test_means_of_few_runs_have_intervals_within_what_is_possible_and_none_of_two() -> None:
    figures = [(4, 1.0, 0.01), (4, 90.0, 0.99), (4, 2.0, 0.5), (8, 0.0, 0.9), (8, 9.0, 0.1)]
    rows = [{BATCH: b, "energy_joules": j, "accuracy": a, "dataset": "d"} for b, j, a in figures]
    values = answer(runs(rows), OptionsConfig()).tables["values"].set_index("value")
    low, high = values["energy_joules_low"], values["energy_joules_high"]
    assert 0 < low["4"] < 31 < high["4"]
    assert 0 < values["accuracy_low"]["4"] < 0.5 < values["accuracy_high"]["4"] < 1
    assert np.isnan([low["8"], high["8"], values["accuracy_low"]["8"]]).all()


@pytest.mark.parametrize(
    ("joules", "accuracies", "saved", "changed"),
    [
        ((0.0, 10.0), (0.5, 0.5), "100 % less than at 2 (0 J against 10 J", "the same accuracy."),
        (
            (9.0, 10.0),
            (0.5, 0.51),
            "10 % less than at 2 (9 J against 10 J",
            "1 point less accuracy.",
        ),
        ((9.9, 10.0), (0.6, 0.5), "1 % less than at 2 (9.9 J against", "10 points more accuracy."),
    ],
)
def test_what_an_option_saves_is_grammar_at_its_edges(
    joules: tuple[float, float], accuracies: tuple[float, float], saved: str, changed: str
) -> None:
    rows = [
        {BATCH: level, "energy_joules": joules[level - 1],
         "accuracy": accuracies[level - 1], "dataset": "d"}
        for level in (1, 2) * 9
    ]  # fmt: skip
    (sentence,) = answer(runs(rows), OptionsConfig()).answers
    assert saved in sentence and sentence.endswith(f"on average), with {changed}")


def test_many_numbers_are_compared_by_quantiles() -> None:
    values = answer(runs(table()), OptionsConfig(levels=3)).tables["values"]
    rate = values[values["option"] == RATE]
    assert list(rate["runs"]) == [8, 8, 8]
    lows = [float(each.split(" to ")[0]) for each in rate["value"]]
    assert lows == sorted(lows)


def test_settings_are_compared_each_by_itself() -> None:
    other = [{**row, "dataset": "mnist", "energy_joules": 50.0} for row in table()]
    found = answer(runs([*table(), *other]), OptionsConfig())
    assert len(found.answers) == 2
    assert found.answers[1].endswith(
        "no option has values whose energy differs by more than chance."
    )
    assert set(found.tables["options"]["setting"]) == {"digits mlp", "mnist mlp"}


def test_what_a_loop_of_ones_own_was_searched_for_is_an_option() -> None:
    rows = [{**row, "net.width": row[BATCH]} for row in table()]
    found = answer(replace(runs(rows), searched=("net.width",)), OptionsConfig())
    assert {*found.tables["options"]["option"]} == {"net.width", BATCH, RATE}


def test_an_option_that_chance_explains_is_not_named() -> None:
    rows = [{**row, BATCH: 32 + 32 * (place % 2)} for place, row in enumerate(table())]
    (sentence,) = answer(runs(rows), OptionsConfig()).answers
    assert "no option has values whose energy differs by more than chance" in sentence


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"options": ["batch"]}, "analysis.options: no column of runs.csv is called 'batch'"),
        ({"where": {BATCH: 32}, "options": [BATCH]}, "no option has two values within a setting"),
    ],
)
def test_what_cannot_be_compared_is_said(asked: dict[str, object], said: str) -> None:
    with pytest.raises(AnalysisError) as error:
        answer(runs(table()), OptionsConfig(**asked))  # type: ignore[arg-type]
    assert said in str(error.value)


def test_the_papers_convolutions_cost_most() -> None:
    raw = read_file(paper("rq2_layers_cifar10.csv"))
    columns = ColumnsConfig(spent=None, setting=[], strategy=None)
    factors = ["conv_layers", "linear_layers", "has_relu"]
    found = answer(standard_table(raw, columns, "paper"), OptionsConfig(options=factors))
    assert found.answers == [
        "all: conv_layers matters most for energy: at 1 runs take 40 % less than at 4 (2.76 kJ "
        "against 4.59 kJ on average), with 6.7 points less accuracy."
    ]
