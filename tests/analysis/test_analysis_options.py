"""What each value of an option costs, and what it brings."""

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


def test_another_metric_has_its_own_name_and_sign() -> None:
    rows = [{**row, "rmse": 0.5 + row["energy_joules"] / 1000} for row in table()]  # type: ignore[operator]
    found = answer(runs(rows, metric="rmse"), OptionsConfig())
    batch = found.tables["options"].set_index("option").loc[BATCH]
    assert batch["rmse_added"] == pytest.approx(-0.1, abs=0.002)
    assert not [name for name in found.tables["values"] if "accuracy" in name]
    assert found.answers[0].endswith("with -0.1 of RMSE.")


def test_values_stand_in_their_order_with_intervals_of_their_means() -> None:
    rows = table((16, 128, 32))
    values = answer(runs(rows), OptionsConfig()).tables["values"]
    batch = values[values["option"] == BATCH]
    assert list(batch["value"]) == ["16", "32", "128"]
    assert list(batch["runs"]) == [12, 12, 12]
    own = pd.Series([row["energy_joules"] for row in rows if row[BATCH] == 32], dtype=float)
    half = 2.200985160082949 * own.std() / 12**0.5  # Student's t of 11 degrees of freedom, 97.5 %
    row = batch.iloc[1]
    assert row["energy_joules_low"] == pytest.approx(own.mean() - half)
    assert row["energy_joules_high"] == pytest.approx(own.mean() + half)


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
        "against 4.59 kJ on average), with -6.7 points of accuracy."
    ]
