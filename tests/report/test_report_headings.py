"""Tables of the report as people read them: headings, intervals, and texts of cells."""

from typing import Any

import pandas as pd
import pytest

from greensweep.rendering.headings import columns_for_people, heading, texts_of
from greensweep.rendering.page import Table


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("energy_joules", "training energy"),
        ("accuracy_lost", "accuracy lost"),
        ("macro_f1_per_extra_kilojoule", "macro F1 per further kJ"),
        ("best_rmse", "best RMSE"),
        ("mean_best_accuracy", "mean best accuracy"),
        ("layers/batch_norm", "batch norm layers"),
        ("phases/setup_joules", "phases setup"),
        ("wilcoxon_p_holm", "p after Holm"),
        ("energy_p", "p of energy"),
        ("macro_f1_p", "p of macro F1"),
        ("on_front_probability", "chance to be on the front"),
        ("a column of mine", "a column of mine"),
    ],
)
def test_a_column_is_called_as_people_call_it(name: str, said: str) -> None:
    assert heading(name) == said


def shown(**columns: list[Any]) -> dict[str, list[str]]:
    frame = pd.DataFrame(columns)
    names = [*map(str, frame)]
    rows = frame.to_dict("records")
    return {
        column.heading: [texts_of(column, row, names) for row in rows]
        for column in columns_for_people(frame)
    }


def test_an_interval_and_an_uncertainty_stand_with_their_figure() -> None:
    assert shown(
        accuracy=[0.8, 0.7], energy_joules=[10.0, 20.0], energy_uncertainty_joules=[1.0, 0.0],
        accuracy_low=[0.7, float("nan")], accuracy_high=[0.9, float("nan")], interval_draws=[9, 9],
    ) == {
        "accuracy": ["0.8000 (0.7000 to 0.9000)", "0.7000"],
        "training energy": ["10 ± 1 J", "20 J"],
    }  # fmt: skip
    assert shown(layer=["conv"], joules_per_layer=[611.0], low=[573.0], high=[649.0]) == {
        "layer": ["conv"],
        "energy of one more": ["611 J (573 J to 649 J)"],
    }
    infinite = shown(
        accuracy_lost=[0.1], accuracy_lost_low=[0.0], accuracy_lost_high=[float("inf")]
    )
    assert infinite == {"accuracy lost": ["0.1000 (0.0000 to ∞)"]}
    none = shown(
        accuracy_lost=[float("inf")], accuracy_lost_low=[0.2], accuracy_lost_high=[float("inf")]
    )
    assert none == {"accuracy lost": ["–"]}


def test_what_the_first_screen_says_once_is_in_no_column() -> None:
    assert shown(group=["all"] * 2, model=["net"] * 2, runs=[1, 1], accuracy=[0.5, 0.6]) == {
        "accuracy": ["0.5000", "0.6000"]
    }
    parted = {"objective_low": [0.4, 0.5], "energy.quality.cpu": ["measured", "estimated"]}
    assert {*shown(accuracy=[0.5, 0.6], **parted)} == {"accuracy"}
    assert {*shown(group=["a", "b"], model=["x", "y"], runs=[1, 3])} == {"group", "model", "runs"}


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("run_id", "0123456789abcdef0123456789abcdef", "01234567"),
        ("commit", "0123456789abcdef0123456789abcdef01234567", "01234567"),
        ("note", "0123456789", "0123456789"),
        ("option", "optimizer.learning_rate", "learning rate"),
        ("value", "0.000198607 to 0.00377224", "0.000199 to 0.00377"),
        ("share", 0.0, "0 %"),
        ("share", 1.0, "100 %"),
        ("energy_saved_share", -0.204, "-20 %"),
        ("trial", 3.0, "3"),
        ("trial", float("nan"), "–"),
    ],
)
def test_a_cell_is_written_for_people(name: str, value: Any, said: str) -> None:
    (cells,) = shown(**{name: [value]}).values() if value == value else [["–"]]
    assert cells == [said]


def test_a_table_with_headings_of_its_own_keeps_them() -> None:
    frame = pd.DataFrame({"part": ["training"], "layers/sweep": ["5 J"]})
    assert [each.heading for each in Table("spent", "", frame, is_headed=True).columns] == [
        "part", "layers/sweep",
    ]  # fmt: skip
