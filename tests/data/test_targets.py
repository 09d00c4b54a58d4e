"""What is learnt: classes, any of several labels, or values."""

import json
import logging

import numpy as np
import pytest
import torch
from returned import read
from test_inputs import TINY, Items, drawn

from greensweep.config.schema_dataset import DigitsConfig
from greensweep.data import StreamedSplit, load_splits
from greensweep.data.manifest import write_manifest
from greensweep.errors import DataError

PARTS = ("train", "validation", "test")
INPUTS = np.arange(40.0)[:, None] * [1, 2, 3]  # sample i begins with i
MANY = np.random.default_rng(0).integers(0, 2, (40, 3))
VALUES = np.linspace(-5, 5, 40)
GIVEN = {
    "labels": MANY,
    "values": VALUES,
    "several values": np.stack([VALUES, VALUES**2], axis=1),
}


def targets_of(name):
    return name.split()[-1]


@pytest.mark.parametrize("memory_share", [0.5, TINY], ids=["in memory", "streamed"])
@pytest.mark.parametrize("as_items", [False, True], ids=["arrays", "a data set"])
@pytest.mark.parametrize("name", GIVEN)
def test_labels_and_values_are_float32_and_stay_with_their_samples(name, as_items, memory_share):
    given = GIVEN[name]
    train = Items(INPUTS, given) if as_items else (INPUTS, given)

    splits = read(train=train, targets=targets_of(name), memory_share=memory_share)

    assert isinstance(splits.train, StreamedSplit) == (as_items and memory_share == TINY)
    numbers = []
    for part in PARTS:
        split = getattr(splits, part)
        ((inputs, labels),) = split.batches([torch.arange(len(split))])
        assert labels.dtype == torch.float32
        assert torch.equal(labels, split.labels)
        rows = inputs[:, 0].long()
        torch.testing.assert_close(labels, torch.from_numpy(given).float()[rows])
        numbers += rows.tolist()
    assert sorted(numbers) == list(range(40))
    assert splits.outputs == (1 if given.ndim == 1 else given.shape[1])
    assert splits.classes == (("0", "1", "2") if name == "labels" else ())


def test_labels_may_be_named():
    splits = read(train=(INPUTS, MANY), classes=["cat", "dog", "cow"], targets="labels")

    assert splits.classes == ("cat", "dog", "cow")


def test_splits_of_values_are_drawn_by_the_seed_and_limited():
    source = drawn(3), VALUES

    def drawn_values(seed, **options):
        from greensweep.data import make_splits
        from greensweep.data.arrays import tensor_split
        from greensweep.data.splits import Source

        train = tensor_split(*source, None, targets="values")
        splits = make_splits(Source(train, ()), DigitsConfig(**options), seed)
        return [getattr(splits, part).labels.tolist() for part in PARTS]

    assert drawn_values(1) == drawn_values(1) != drawn_values(2)
    assert [len(part) for part in drawn_values(1)] == [27, 5, 8]
    limited = drawn_values(1, train_limit=1, evaluation_limit=2)
    assert [len(part) for part in limited] == [1, 2, 2]


@pytest.mark.parametrize(
    ("targets", "labels", "message"),
    [
        ("labels", MANY[:, 0], r"labels must have shape \(N, K\), 0 or 1 .*, got \(40,\): reshape"),
        ("labels", MANY * 2, r"labels must be 0 or 1, got 2 among them"),
        ("labels", np.where(MANY == 1, np.nan, 0), r"labels must be 0 or 1, got nan among them"),
        ("values", drawn(2, 2), r"values must have shape \(N,\) or \(N, K\), got \(40, 2, 2\)"),
        ("values", np.where(VALUES > 4, np.nan, VALUES), "4 of 40 values are NaN .* is number 36"),
        ("values", np.full(40, 3.5), "the values to learn are all 3.5: give values that differ"),
        ("classes", VALUES, "labels must be whole numbers from 0"),
    ],
)
def test_labels_of_another_kind_are_refused_in_one_sentence(targets, labels, message):
    with pytest.raises(DataError, match=message) as refused:
        read(train=(INPUTS, labels), targets=targets)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ({"classes": ["a", "b"]}, "2 labels are named, and the train split has 3: name all"),
        ({"test": (INPUTS, MANY[:, :2])}, r"test split has labels of shape \(40, 2\), and the tra"),
    ],
)
def test_labels_of_unlike_number_are_refused(returned, message):
    with pytest.raises(DataError, match=message):
        read(train=(INPUTS, MANY), targets="labels", **returned)


def test_items_with_unlike_numbers_of_values_are_refused():
    ragged = [torch.ones(1 + (index == 7)) for index in range(40)]

    with pytest.raises(
        DataError, match=r"the first is \(1,\), number 7 \(2,\)\): give each sample"
    ):
        read(train=Items(INPUTS, ragged), targets="values")


@pytest.mark.parametrize("targets", ["labels", "values"])
def test_data_sets_of_classes_have_nothing_else_to_learn(targets):
    with pytest.raises(DataError, match=f"^dataset digits has classes, and no {targets} to learn"):
        load_splits(DigitsConfig(), 0, targets)


def test_values_to_predict_are_told(caplog):
    caplog.set_level(logging.INFO)

    read(train=(INPUTS, GIVEN["several values"]), targets="values")

    assert caplog.messages[0].endswith("shape (3,), float32; 2 values to predict")


@pytest.mark.parametrize("name", GIVEN)
def test_manifest_counts_samples_and_labels(name, tmp_path):
    splits = read(train=(INPUTS, GIVEN[name]), targets=targets_of(name))

    manifest = json.loads(write_manifest(splits, "mine", 0, tmp_path).read_text())

    assert manifest["input_shape"] == [3]
    assert {part: manifest["splits"][part]["samples"] for part in PARTS} == {
        part: len(getattr(splits, part)) for part in PARTS
    }
    if name == "labels":
        counts = splits.train.labels.sum(dim=0).int().tolist()
        assert list(manifest["splits"]["train"]["per_class"].values()) == counts
    else:
        assert "per_class" not in manifest["splits"]["train"]
