"""Tables of scikit-learn's data: their columns as inputs, their target, and what is refused."""

import json
import logging
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine

from greensweep.config.schema_dataset import TableConfig
from greensweep.csv_files.layout import TableError
from greensweep.data import load_splits
from greensweep.data.manifest import write_manifest
from greensweep.energy import warn_once_per_sweep
from greensweep.errors import DataError

PARTS = ("train", "validation", "test")


def cancer() -> pd.DataFrame:
    """569 tumours: 4 numbers, one with missing values, a text with missing ones, and a class."""
    bunch = load_breast_cancer(as_frame=True)
    frame = bunch.data.iloc[:, :4].rename(columns=lambda name: name.replace(" ", "_"))
    sizes = pd.cut(frame["mean_area"], [0, 400, 800, 9999], labels=["small", "middle", "large"])
    frame["size"] = sizes.astype(str)
    frame.loc[::10, "mean_texture"] = np.nan
    frame.loc[5::50, "size"] = None
    frame["diagnosis"] = np.array(bunch.target_names)[bunch.target]
    return frame


@pytest.fixture
def write(tmp_path):
    """Write a table and return its path: `write(cancer(), "rows.csv")`."""

    def written(frame, name="rows.csv"):
        path = tmp_path / name
        if name.endswith(".csv"):
            frame.to_csv(path, index=False)
        else:
            frame.to_parquet(path)
        return str(path)

    return written


def loaded(path, target="diagnosis", *, seed=0, targets="classes", **options):
    return load_splits(TableConfig(path=path, target_column=target, **options), seed, targets)


@pytest.mark.parametrize("name", ["rows.csv", "rows.parquet"])
def test_columns_become_standardised_numbers_and_a_share_for_each_text(write, name):
    splits = loaded(write(cancer(), name), validation_fraction=0.5, test_fraction=0.5)

    assert splits.classes == ("benign", "malignant")
    assert splits.input_shape == (4 + 4,)  # small, middle, large, missing
    assert splits.train.input_dtype == torch.float32
    assert splits.statistics is None
    train = splits.train.inputs
    torch.testing.assert_close(train[:, :4].mean(dim=0), torch.zeros(4), atol=1e-5, rtol=0)
    torch.testing.assert_close(train[:, :4].std(dim=0, correction=0), torch.ones(4))
    for part in PARTS:
        sizes = getattr(splits, part).inputs[:, 4:]
        assert torch.equal(sizes.sum(dim=1), torch.ones(len(sizes)))
        assert set(sizes.unique().tolist()) == {0.0, 1.0}


def test_csv_and_parquet_of_one_table_are_one_data_set(write):
    text, binary = (loaded(write(cancer(), name)) for name in ("rows.csv", "rows.parquet"))

    for part in PARTS:
        one, other = getattr(text, part), getattr(binary, part)
        torch.testing.assert_close(one.inputs, other.inputs)
        assert torch.equal(one.labels, other.labels)


def test_every_row_is_in_one_split_with_its_label(write):
    frame = pd.DataFrame({"x": np.arange(60.0), "y": ["no", "no", "yes"] * 20})

    splits = loaded(write(frame), "y")

    standardised = torch.cat([getattr(splits, part).inputs[:, 0] for part in PARTS])
    labels = torch.cat([getattr(splits, part).labels for part in PARTS])
    assert labels[standardised.argsort()].tolist() == [0, 0, 1] * 20
    assert len(standardised.unique()) == 60


def test_nothing_is_learnt_from_rows_that_do_not_train(write):
    train = pd.DataFrame({"x": np.arange(40.0), "kind": "a", "y": ["no", "yes"] * 20})
    other = train.assign(x=1e6, kind="never seen in training")
    paths = {"validation_path": write(train, "v.csv"), "test_path": write(other, "t.csv")}

    splits = loaded(write(train), "y", **paths)

    assert splits.input_shape == (2,)
    torch.testing.assert_close(splits.train.inputs, splits.validation.inputs)
    assert splits.train.inputs[:, 0].mean().abs() < 1e-6
    assert (splits.test.inputs[:, 0] > 1e3).all()
    assert (splits.test.inputs[:, 1] == 0).all()  # a text that no training row has


def test_rows_beyond_the_limit_teach_nothing(write):
    frame = pd.DataFrame({"x": np.arange(400.0) ** 3, "y": ["no", "yes"] * 200})

    limited = loaded(write(frame), "y", train_limit=20)

    assert limited.train.inputs.mean().abs() < 1e-6
    assert limited.train.inputs.std(correction=0) == pytest.approx(1)


def test_a_missing_number_is_the_mean(write):
    frame = pd.DataFrame({"x": [1.0, 3.0, np.nan, 4.0] * 10, "y": ["a", "b"] * 20})

    splits = loaded(write(frame), "y")

    values = splits.train.inputs.unique().tolist()
    assert len(values) == 4
    assert min(map(abs, values)) < 1e-6


@pytest.mark.parametrize(
    ("values", "classes"),
    [
        (["b", "a", "c"], ("a", "b", "c")),
        ([10, 9, 2], ("2", "9", "10")),
        ([2.0, 1.0], ("1", "2")),
        ([True, False], ("False", "True")),
    ],
    ids=["texts", "ints", "whole floats", "bools"],
)
@pytest.mark.parametrize("name", ["rows.csv", "rows.parquet"])
def test_classes_have_the_names_that_the_target_gives(write, name, values, classes):
    many = (values * 30)[:60]
    frame = pd.DataFrame({"x": np.arange(60.0), "y": many})

    splits = loaded(write(frame, name), "y", columns=["x"])

    assert splits.classes == classes
    assert splits.train.labels.dtype == torch.int64
    counts = sum(
        np.bincount(getattr(splits, part).labels, minlength=len(classes)) for part in PARTS
    )
    assert counts.tolist() == [many.count(value) for value in sorted(values)]


def test_wine_is_split_by_its_three_classes(write):
    frame = load_wine(as_frame=True).frame

    splits = loaded(write(frame), "target", train_limit=60, evaluation_limit=15)

    assert splits.input_shape == (13,)
    assert [len(getattr(splits, part)) for part in PARTS] == [60, 15, 15]
    assert min(np.bincount(splits.train.labels)) > 15


def test_values_are_learnt_as_they_are(write):
    frame = load_diabetes(as_frame=True, scaled=False).frame

    splits = loaded(write(frame), "target", targets="values")

    assert splits.classes == ()
    assert splits.outputs == 1
    assert splits.train.labels.dtype == torch.float32
    found = torch.cat([getattr(splits, part).labels for part in PARTS]).sort().values
    np.testing.assert_allclose(found, np.sort(frame["target"].to_numpy(np.float32)))


def test_several_columns_are_labels_or_values(write):
    frame = load_diabetes(as_frame=True, scaled=False).frame
    frame["old"], frame["heavy"] = frame["age"] > 50, (frame["bmi"] > 25).astype(int)
    path = write(frame)

    labels = loaded(path, ["old", "heavy"], targets="labels")
    values = loaded(path, ["target", "bp"], targets="values")

    assert labels.classes == ("old", "heavy")
    assert labels.input_shape == (11,)
    counts = sum(getattr(labels, part).labels.sum(dim=0) for part in PARTS)
    assert counts.tolist() == [frame["old"].sum(), frame["heavy"].sum()]
    assert values.classes == ()
    found = torch.cat([getattr(values, part).labels for part in PARTS])
    assert found.shape == (442, 2)
    torch.testing.assert_close(
        found.mean(dim=0), torch.tensor(frame[["target", "bp"]].mean().to_numpy()).float()
    )


def test_files_of_their_own_validate_and_test(write):
    frame = cancer()
    paths = {"validation": frame[:100], "test": frame[100:250], "train": frame[250:]}
    named = {part: write(rows, f"{part}.csv") for part, rows in paths.items()}

    splits = loaded(named["train"], validation_path=named["validation"], test_path=named["test"])

    assert {part: len(getattr(splits, part)) for part in PARTS} == {
        part: len(rows) for part, rows in paths.items()
    }
    labels = (frame["diagnosis"] == "malignant").to_numpy().astype(int)
    assert splits.test.labels.tolist() == labels[100:250].tolist()


@pytest.mark.parametrize(
    ("options", "inputs"),
    [
        ({"columns": ["mean_area", "size"]}, 1 + 4),
        ({"drop_columns": ["size", "mean_area"]}, 3),
        ({"columns": ["mean_area", "size", "diagnosis"], "drop_columns": ["size"]}, 1),
    ],
)
def test_columns_are_chosen_and_left_out(write, options, inputs):
    assert loaded(write(cancer()), **options).input_shape == (inputs,)


def test_categories_of_parquet_are_texts_and_bools_are_numbers(write):
    kinds = pd.Categorical(["x", "y", "z", "y"] * 10)
    frame = pd.DataFrame({"kind": kinds, "on": [True, False] * 20, "y": ["a", "b"] * 20})

    assert loaded(write(frame, "rows.parquet"), "y").input_shape == (3 + 1,)


def test_what_was_understood_is_told(write, caplog, tmp_path):
    caplog.set_level(logging.INFO)

    path = write(cancer(), "told.csv")
    loaded(path, seed=0)
    with warn_once_per_sweep(tmp_path):
        loaded(path, seed=1)  # as a repeat or a trial does

    assert caplog.messages == [
        f"{path}: 569 rows, 4 columns of numbers, 1 of texts (size); diagnosis: 2 classes: "
        "benign, malignant"
    ]


def test_manifest_changes_where_one_cell_does(write, tmp_path):
    def manifest(frame, name):
        splits = loaded(write(frame, name))
        return json.loads(write_manifest(splits, "table", 0, tmp_path).read_text())

    frame = cancer()
    before = manifest(frame, "before.csv")
    frame.loc[3, "mean_area"] += 100
    after = manifest(frame, "after.csv")

    assert before["input_shape"] == [8]
    assert before["splits"]["train"]["samples"] == 386
    assert before["splits"] != after["splits"]
    assert manifest(frame, "after.csv") == after


# --- what is refused ----------------------------------------------------------------------------


def changed(**columns):
    return cancer().assign(**columns)


def rows(count=569):
    return np.arange(count)


@pytest.mark.parametrize(
    ("frame", "options", "message"),
    [
        (cancer, {"target": "diagnose"}, r"target_column: no column of .* 'diagnose': did you"),
        (cancer, {"target": []}, r"dataset.target_column=\[\] names no column: name the one"),
        (cancer, {"columns": ["mean_aria"]}, r"dataset.columns: no column .* mean mean_area"),
        (cancer, {"drop_columns": ["x"]}, r"dataset.drop_columns: no column of .* is called 'x'"),
        (cancer, {"columns": ["diagnosis"]}, r"no column of .* is left to learn diagnosis from"),
        (
            partial(changed, diagnosis=lambda each: each["diagnosis"].where(rows() > 2)),
            {}, r"3 of 569 rows of the train file have no diagnosis to learn: fill it in, or leave",
        ),
        (partial(changed, diagnosis="benign"), {}, r"2 classes, the data set has 1: benign"),
        (
            partial(changed, diagnosis=3.5), {"targets": "values"},
            r"the values to learn are all 3.5: give values that differ",
        ),
        (cancer, {"targets": "values"}, r"holds texts such as 'malignant', which are classes"),
        (cancer, {"targets": "labels"}, r"holds texts such as 'malignant', which are classes"),
        (
            cancer, {"targets": "labels", "target": ["mean_area"]},
            r"labels must be 0 or 1, got 1001 among them",
        ),
        (
            cancer, {"target": ["diagnosis", "size"]},
            r"classes are the values of one column, and dataset.target_column names 2: name one",
        ),
        (
            partial(changed, diagnosis=np.inf), {"name": "rows.parquet"},
            r"diagnosis holds numbers such as inf, which are values and no classes",
        ),
        (
            cancer, {"target": "mean_area"},
            r"mean_area holds numbers such as 143.5, which are values and no classes",
        ),
        (
            partial(changed, diagnosis=rows()), {},
            r"diagnosis holds 569 different numbers in 569 rows, too many to be classes",
        ),
        (
            partial(changed, size=[f"patient {row}" for row in rows()]), {},
            r"size holds 569 different texts in 569 rows, the first 'patient 0'",
        ),
        (partial(changed, size=np.inf), {}, r"the column size of the train file holds infinite"),
        (
            partial(changed, size=np.nan), {},
            r"no training row has a value in size: leave .* by dataset.drop_columns=\[size\]",
        ),
        (
            partial(changed, size=pd.Timestamp("2026-11-27")), {"name": "rows.parquet"},
            r"the column size holds Timestamp, neither numbers nor texts: convert it, or set",
        ),
        (lambda: cancer()[:0], {}, r"rows.csv has no rows: give a table with some"),
    ],
)  # fmt: skip
def test_tables_that_cannot_be_learnt_from_are_refused_in_one_sentence(
    write, frame, options, message
):
    options = dict(options)
    path = write(frame(), options.pop("name", "rows.csv"))

    with pytest.raises(DataError, match=message) as refused:
        loaded(path, **options)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (lambda: cancer().drop(columns=["size", "mean_area"]), "test file lacks mean_area, size,"),
        (partial(changed, mean_area="huge"), "mean_area holds numbers in the training file"),
        (partial(changed, diagnosis="unclear"), "test file has unclear in diagnosis, and"),
    ],
)  # fmt: skip
def test_files_that_do_not_fit_the_training_file_are_refused(write, frame, message):
    with pytest.raises(DataError, match=message):
        loaded(write(cancer()), test_path=write(frame(), "test.csv"))


@pytest.mark.parametrize("option", ["path", "validation_path", "test_path"])
def test_a_path_that_leads_nowhere_is_named(write, option):
    options = {"path": write(cancer())} | {option: "nowhere.csv"}

    with pytest.raises(DataError, match=f"dataset.{option}=nowhere.csv is no file: give a CSV"):
        loaded(options.pop("path"), **options)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("rows.csv", b"a,y\n1,2,3\n", "line 2 has more cells than its header"),
        ("rows.csv", b"", "is empty: give a table with a header line"),
        ("rows.parquet", b"no parquet", "rows.parquet cannot be read"),
    ],
)
def test_a_file_that_is_no_table_is_named(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)

    with pytest.raises(TableError, match=message):
        loaded(str(tmp_path / name), "y")


def test_numbers_with_decimal_commas_are_numbers(tmp_path):
    path = tmp_path / "german.csv"
    path.write_text("x;y\n" + "".join(f"{row},5;{'ab'[row % 2]}\n" for row in range(40)))

    assert loaded(str(path), "y").input_shape == (1,)
