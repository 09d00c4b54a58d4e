"""Reading a recorded table: which rows, which dimensions, which figures."""

from pathlib import Path

import pytest
from tables import CURVES, table, write

from greensweep.config.schema_replay import ReplayColumnsConfig
from greensweep.errors import StudyError
from greensweep.runs.replay.table import RecordedPoint, read_table

FLAT = """
    dataset  learning_rate batch_size relu  accuracy energy_joules
    cifar10  0.1           32         True  0.5      100
    cifar10  0.01          64         False 0.6      200
    mnist    0.1           32         True  0.9      50
"""


def test_rows_become_configurations_with_their_line(tmp_path: Path) -> None:
    read = table(tmp_path, FLAT, "optimizer.learning_rate", "model.relu", dataset="cifar10")
    assert read.dimensions == ("optimizer.learning_rate", "model.relu")
    assert [dict(each.values) for each in read.configurations] == [
        {"optimizer.learning_rate": 0.1, "model.relu": 1.0},
        {"optimizer.learning_rate": 0.01, "model.relu": 0.0},
    ]
    assert [each.line for each in read.configurations] == [2, 3]
    assert read.configurations[1].curve == (RecordedPoint(1, 0.6, 200.0, None),)
    assert not read.curves
    assert read.ignored_columns == ("batch_size",)


def test_where_compares_numbers_as_numbers_and_text_whatever_its_case(tmp_path: Path) -> None:
    path = write(tmp_path, FLAT)
    for where in ({"batch_size": 64}, {"batch_size": "64.0"}, {"relu": False}):
        read = read_table(path, searched=["optimizer.learning_rate"], where=where)
        assert [each.line for each in read.configurations] == [3]
    read = read_table(path, searched=["optimizer.learning_rate"], where={"dataset": "MNIST"})
    assert [each.line for each in read.configurations] == [4]


def test_dimensions_are_what_the_space_searches_and_every_row_has(tmp_path: Path) -> None:
    path = write(tmp_path, FLAT)
    path.write_text(path.read_text().replace("cifar10,0.1,32", "cifar10,0.1,"))
    searched = ["optimizer.learning_rate", "training.batch_size", "optimizer.beta1"]
    assert read_table(path, searched=searched).dimensions == ("optimizer.learning_rate",)
    kept = read_table(path, searched=searched, where={"dataset": "mnist"})
    assert kept.dimensions == ("optimizer.learning_rate", "training.batch_size")
    fixed = read_table(path, searched=searched, where={"learning_rate": 0.01})
    assert fixed.dimensions == ("training.batch_size",)


def test_a_full_name_wins_over_a_short_one(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        """
        learning_rate optimizer.learning_rate accuracy energy_joules
        1             0.5                     0.1      10
        """,
    )
    read = read_table(path, options=["optimizer.learning_rate"])
    assert read.configurations[0].values == {"optimizer.learning_rate": 0.5}


def test_rows_of_one_configuration_are_averaged(tmp_path: Path) -> None:
    read = table(
        tmp_path,
        """
        learning_rate seed accuracy energy_joules seconds
        0.1           0    0.5      100           10
        1e-1          1    0.6      300           30
        """,
        "optimizer.learning_rate",
    )
    (only,) = read.configurations
    (point,) = only.curve
    assert point == RecordedPoint(1, pytest.approx(0.55), 200.0, 20.0)


def test_a_column_of_epochs_makes_curves_unless_where_picks_one(tmp_path: Path) -> None:
    read = table(tmp_path, CURVES, "optimizer.learning_rate")
    assert read.curves
    assert read.configurations[1].curve[2] == RecordedPoint(3, 0.4, 32.0, 3.0)
    one = table(tmp_path, CURVES, "optimizer.learning_rate", epoch=2)
    assert not one.curves
    assert one.configurations[0].curve == (RecordedPoint(1, 0.7, 25.0, 2.5),)


def test_the_figures_may_be_called_otherwise(tmp_path: Path) -> None:
    path = write(tmp_path, "lr acc gpu step\n1 0.5 10 1\n1 0.6 20 2")
    columns = ReplayColumnsConfig(accuracy="acc", energy="gpu", epoch="step")
    (only,) = read_table(path, options=["lr"], columns=columns).configurations
    assert only.curve == (RecordedPoint(1, 0.5, 10.0, None), RecordedPoint(2, 0.6, 20.0, None))


@pytest.mark.parametrize(
    ("text", "options", "where", "said"),
    [
        ("", ["x"], {}, "{path} is empty: give a table with a header line"),
        ("x accuracy", ["x"], {}, "{path} has no rows below a header: record something first"),
        (
            "x accuracy\n1 0.5",
            ["x"],
            {},
            "{path}, line 1: no column is called 'energy_joules': there are accuracy, x; "
            "replay.columns says what the figures are called",
        ),
        (
            "x x accuracy energy_joules\n1 1 0.5 1",
            ["x"],
            {},
            "{path} has two columns called x: rename one of them",
        ),
        (
            "x accuracy energy_joules\n1 0.5 1 7",
            ["x"],
            {},
            "{path}, line 2 has more cells than its header has names (4, not 3): name every "
            "column, leave out separators at the ends of lines, or quote cells that hold them",
        ),
        (
            "x accuracy energy_joules\n1 0.5 1\n2 50 1",
            ["x"],
            {},
            "{path}, line 3: accuracy must be from 0 to 1, got '50': correct it, or set "
            "replay.columns.accuracy_unit=percent",
        ),
        (
            "x accuracy energy_joules\n1 0.5 -1",
            ["x"],
            {},
            "{path}, line 2: energy_joules must be a number that is not negative, got '-1': "
            "correct it",
        ),
        (
            "x accuracy energy_joules\n1 0.5 nan",
            ["x"],
            {},
            "{path}, line 2: energy_joules must be a number that is not negative, got 'nan': "
            "correct it",
        ),
        (
            "x accuracy energy_joules\n1 0.5 1",
            ["optimizer.z"],
            {},
            "replay.options names optimizer.z, but in {path} no column is called 'z': there are "
            "accuracy, energy_joules, x",
        ),
        (
            "x accuracy energy_joules\n1 0.5 1\n2 0.5",
            ["x"],
            {},
            "{path}, line 3 has fewer cells than its header has names (2, not 3): write the line "
            "whole",
        ),
        (
            "x accuracy energy_joules\n1 0.5 1",
            None,
            {},
            "{path} records no option of the space (optimizer.lr) in every row, so nothing "
            "distinguishes its configurations: name some by replay.options; the columns are x, "
            "accuracy, energy_joules",
        ),
        (
            "lr accuracy energy_joules\n1 0.5 1",
            ["optimizer.lr", "scheduler.lr"],
            {},
            "{path}, line 1: the column lr could be of optimizer.lr or of scheduler.lr: "
            "call it optimizer.lr, say",
        ),
        (
            "x accuracy energy_joules\n1 0.5 1",
            ["x"],
            {"data": "a"},
            "replay.where.data: in {path} no column is called 'data': there are accuracy, "
            "energy_joules, x",
        ),
        (
            "x d accuracy energy_joules\n1 a 0.5 1\n1 b 0.5 1",
            ["x"],
            {"d": "c"},
            "replay.where.d=c leaves no row of {path}: there d is a, b",
        ),
        (
            "x epoch accuracy energy_joules\n1 1 0.5 1\n1 3 0.5 2",
            ["x"],
            {},
            "{path}, line 2: the configuration that begins here does not have a row for each "
            "epoch from 1 to its last: record all of them, or name every option that differs by "
            "replay.options",
        ),
        (
            "x epoch accuracy energy_joules\n1 1 0.5 5\n1 2 0.5 4",
            ["x"],
            {},
            "{path}, line 3: energy_joules must not fall from epoch 1 to 2, since it counts from "
            "the start of training: add the epochs up",
        ),
    ],
)
def test_a_fault_of_a_table_is_told_in_one_sentence(
    tmp_path: Path, text: str, options: list[str] | None, where: dict[str, str], said: str
) -> None:
    path = write(tmp_path, text)
    with pytest.raises(StudyError) as refused:
        read_table(path, options=options, searched=["optimizer.lr"], where=where)
    assert str(refused.value) == said.format(path=path)


def test_an_empty_cell_of_a_named_option_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    path.write_text("x,accuracy,energy_joules\n1,0.5,1\n,0.5,1\n")
    with pytest.raises(StudyError) as refused:
        read_table(path, options=["x"])
    assert str(refused.value) == (
        f"{path}, line 3: x is empty, but replay.options names x: fill it in, leave such rows out "
        "by replay.where, or take it off replay.options"
    )


def test_a_file_that_cannot_be_read_is_told_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"^replay\.table=.* cannot be read \(.*\): name a CSV"):
        read_table(tmp_path, options=["x"])
    (tmp_path / "bytes.csv").write_bytes(b"x\n\xff\xfe")
    with pytest.raises(StudyError, match=r"bytes\.csv, line 2 is no UTF-8 text: save the file"):
        read_table(tmp_path / "bytes.csv", options=["x"])
