"""Seeded, stratified splits of the digits, their statistics, and what cannot be split."""

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

from greensweep.config.schema_dataset import DigitsConfig
from greensweep.data import Source, Splits, TensorSplit, load_splits, make_splits
from greensweep.errors import DataError

PARTS = ("train", "validation", "test")


def numbered(counts, channels=1):
    """A source whose image i holds the value i: `counts[c]` images of class c, mixed."""
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(len(counts)), counts))
    values = torch.arange(len(labels), dtype=torch.float32).view(-1, 1, 1, 1)
    images = values.expand(-1, channels, 2, 2).contiguous()
    names = tuple(f"class {index}" for index in range(len(counts)))
    return Source(TensorSplit(images, torch.from_numpy(labels)), names)


def members(split):
    """The numbers of a split's images in their source."""
    return split.inputs[:, 0, 0, 0].int().tolist()


def test_digits_are_scikit_learns_scaled_to_a_byte():
    bunch = load_digits()

    splits = load_splits(DigitsConfig(), seed=0)

    sizes = {name: len(getattr(splits, name)) for name in PARTS}
    assert sizes == {"train": 1221, "validation": 216, "test": 360}
    assert splits.input_shape == (1, 8, 8)
    assert splits.classes == tuple("0123456789")
    known = {
        image.astype(np.uint8).tobytes(): label
        for image, label in zip(bunch.images * 15, bunch.target, strict=True)
    }
    for split in (splits.train, splits.validation, splits.test):
        assert split.inputs.dtype == torch.uint8
        assert split.labels.dtype == torch.int64
        for image, label in zip(split.inputs, split.labels, strict=True):
            assert known[image.numpy().tobytes()] == label


def test_config_of_the_command_line_loads_the_digits(config):
    splits = load_splits(config("dataset=digits", "dataset.train_limit=50").dataset, seed=0)

    assert len(splits.train) == 50


def test_splits_are_disjoint_and_complete():
    splits = make_splits(numbered([60, 30, 10]), DigitsConfig(), seed=3)

    parts = [members(getattr(splits, name)) for name in PARTS]
    assert sorted(number for part in parts for number in part) == list(range(100))


def test_splits_have_the_configured_shares_of_each_class():
    config = DigitsConfig(test_fraction=0.5, validation_fraction=0.2)

    splits = make_splits(numbered([600, 300, 100]), config, seed=3)

    counts = {name: np.bincount(getattr(splits, name).labels).tolist() for name in PARTS}
    assert counts == {"test": [300, 150, 50], "validation": [60, 30, 10], "train": [240, 120, 40]}


def test_splits_depend_on_the_seed_alone():
    source = numbered([60, 30, 10])
    first, again, other = (make_splits(source, DigitsConfig(), seed=seed) for seed in (1, 1, 2))

    for name in PARTS:
        assert members(getattr(first, name)) == members(getattr(again, name))
        assert members(getattr(first, name)) != members(getattr(other, name))


def test_labels_stay_with_their_images():
    source = numbered([60, 30, 10])

    splits = make_splits(source, DigitsConfig(train_limit=20), seed=1)

    for name in PARTS:
        split = getattr(splits, name)
        assert torch.equal(split.labels, source.train.labels[members(split)])


def test_given_validation_and_test_splits_are_taken_as_they_are():
    source, given = numbered([60, 40]), numbered([3, 2]).train

    splits = make_splits(Source(source.train, source.classes, given, given), DigitsConfig(), seed=1)

    assert splits.train is source.train
    assert splits.validation is given
    assert splits.test is given


def test_train_limit_draws_a_seeded_stratified_subset():
    source = numbered([600, 300, 100])
    full = make_splits(source, DigitsConfig(), seed=1)
    limited, again, other = (
        make_splits(source, DigitsConfig(train_limit=50), seed=seed) for seed in (1, 1, 2)
    )

    assert np.bincount(limited.train.labels).tolist() == [30, 15, 5]
    assert set(members(limited.train)) < set(members(full.train))
    assert members(limited.train) == members(again.train) != members(other.train)
    assert members(limited.validation) == members(full.validation)
    assert members(limited.test) == members(full.test)


@pytest.mark.parametrize("held_out", [True, False])
def test_evaluation_limit_draws_seeded_stratified_subsets_of_what_it_is_below(held_out):
    source, seen = numbered([600, 300, 100]), numbered([600, 300, 100]).train
    if not held_out:
        source = Source(source.train, source.classes, seen, seen)
    full = make_splits(source, DigitsConfig(), seed=1)
    limited, again, other = (
        make_splits(source, DigitsConfig(evaluation_limit=50), seed=seed) for seed in (1, 1, 2)
    )

    assert members(limited.train) == members(full.train)
    for name in ("validation", "test"):
        few = getattr(limited, name)
        assert np.bincount(few.labels).tolist() == [30, 15, 5]
        assert set(members(few)) < set(members(getattr(full, name)))
        assert members(few) == members(getattr(again, name)) != members(getattr(other, name))
    above = make_splits(source, DigitsConfig(evaluation_limit=1000), seed=1)
    assert members(above.validation) == members(full.validation)
    assert members(above.test) == members(full.test)
    with pytest.raises(
        DataError, match=r"dataset.evaluation_limit=2 cannot hold one image of each"
    ):
        make_splits(source, DigitsConfig(evaluation_limit=2), seed=1)


def test_train_limit_depends_on_the_seed_where_nothing_is_held_out():
    source = numbered([60, 40])
    whole = Source(source.train, source.classes, source.train, source.train)

    first, again, other = (
        members(make_splits(whole, DigitsConfig(train_limit=50), seed).train) for seed in (1, 1, 2)
    )

    assert first == again != other


@pytest.mark.parametrize("limit", [680, 681, 1_000_000])
def test_train_limit_above_the_set_takes_all(limit):
    source = numbered([600, 300, 100])

    splits = make_splits(source, DigitsConfig(train_limit=limit), seed=1)

    assert len(splits.train) == 680


@pytest.mark.parametrize("limit", [3, 678, 679])
def test_train_limit_may_take_or_leave_less_than_a_class_each(limit):
    splits = make_splits(numbered([600, 300, 100]), DigitsConfig(train_limit=limit), seed=1)

    assert len(splits.train) == limit


def test_train_limit_below_the_classes_is_refused():
    with pytest.raises(DataError, match=r"train_limit=2 .* each of 3 classes: set .*=3 or more"):
        make_splits(numbered([60, 30, 10]), DigitsConfig(train_limit=2), seed=1)


@pytest.mark.parametrize(
    ("counts", "options", "message"),
    [
        ([30], {}, r"at least 2 classes, the data set has 1: class 0: add images of another"),
        ([30, 1], {}, r"^test images .* class 'class 1' has 1 left: add images, or a test split"),
        ([30, 2], {"test_fraction": 0.5}, r"^validation images .* class 'class 1' has 1 left"),
        (
            [5, 5, 5, 5],
            {},
            r"dataset.validation_fraction=0.15 holds 3 of 16 images out, .* each of 4 classes",
        ),
        ([5, 5], {"test_fraction": 0.95}, r"dataset.test_fraction=0.95 holds 10 of 10 images out"),
    ],
)
def test_too_few_images_to_hold_some_out_are_refused_in_one_sentence(counts, options, message):
    with pytest.raises(DataError, match=message) as refused:
        make_splits(numbered(counts), DigitsConfig(**options), seed=1)
    assert "\n" not in str(refused.value)


def test_class_without_images_does_not_keep_the_others_from_being_split():
    splits = make_splits(numbered([50, 0, 50]), DigitsConfig(), seed=1)

    assert np.bincount(splits.test.labels).tolist() == [10, 0, 10]


@pytest.mark.parametrize(("labels", "shown"), [([0, 1, 2], "0 to 2"), ([-1, 0, 1], "-1 to 1")])
def test_labels_outside_the_classes_are_refused(labels, shown):
    split = TensorSplit(torch.zeros(3, 1, 2, 2), torch.tensor(labels))

    with pytest.raises(DataError, match=f"2 classes run from 0 to 1, the train split has {shown}"):
        make_splits(Source(split, ("cat", "dog")), DigitsConfig(), seed=1)


def test_splits_of_unlike_images_are_refused():
    train = TensorSplit(torch.zeros(2, 1, 2, 2), torch.tensor([0, 1]))
    test = TensorSplit(torch.zeros(2, 3, 4, 4), torch.tensor([0, 1]))

    with pytest.raises(DataError, match=r"test images are \(3, 4, 4\), training images \(1, 2, 2"):
        make_splits(Source(train, ("cat", "dog"), test=test), DigitsConfig(), seed=1)


def test_splits_of_unlike_channels_ask_for_alike_ones_not_for_a_size():
    train = TensorSplit(torch.zeros(2, 1, 4, 4), torch.tensor([0, 1]))
    test = TensorSplit(torch.zeros(2, 3, 4, 4), torch.tensor([0, 1]))

    with pytest.raises(DataError, match=r"test images are \(3, 4, 4\), .*: make all colour"):
        make_splits(Source(train, ("cat", "dog"), test=test), DigitsConfig(), seed=1)


@pytest.mark.parametrize("part", PARTS)
def test_empty_split_is_refused(part):
    full = TensorSplit(torch.zeros(2, 1, 2, 2), torch.tensor([0, 1]))
    empty = TensorSplit(torch.zeros(0, 1, 2, 2), torch.zeros(0, dtype=torch.int64))

    with pytest.raises(DataError, match=f"the {part} split is empty"):
        make_splits(
            Source(**{"train": full, "classes": ("a", "b")} | {part: empty}), DigitsConfig(), 1
        )


# --- statistics ---------------------------------------------------------------------------------


def splits_of(images):
    split = TensorSplit(torch.from_numpy(images), torch.zeros(len(images), dtype=torch.int64))
    return Splits(split, split, split, ("a", "b"))


@pytest.mark.parametrize("size", [8, 400])
def test_statistics_are_numpys_over_images_and_pixels(size):
    # 400x400x3 is half of the values that are summed at once: several batches, the last not full
    images = np.random.default_rng(0).integers(0, 256, (5, 3, size, size), dtype=np.uint8)
    images[:, 1] //= 4

    mean, deviation = splits_of(images).statistics

    assert mean.shape == deviation.shape == (3, 1, 1)
    assert mean.dtype == deviation.dtype == torch.float32
    np.testing.assert_allclose(mean.flatten(), images.mean(axis=(0, 2, 3)), rtol=1e-6)
    np.testing.assert_allclose(deviation.flatten(), images.std(axis=(0, 2, 3)), rtol=1e-6)


def test_statistics_are_of_the_training_split_only():
    splits = load_splits(DigitsConfig(), seed=0)

    mean, deviation = splits.statistics

    np.testing.assert_allclose(mean.item(), splits.train.inputs.numpy().mean(), rtol=1e-6)
    np.testing.assert_allclose(deviation.item(), splits.train.inputs.numpy().std(), rtol=1e-6)


def test_channel_without_variation_has_deviation_one():
    images = np.full((4, 2, 3, 3), 7, dtype=np.uint8)
    images[0, 1] = 9

    _, deviation = splits_of(images).statistics

    assert deviation.flatten()[0] == 1
    assert deviation.flatten()[1] == pytest.approx(images[:, 1].std())


# --- sizes and sharing --------------------------------------------------------------------------


def test_image_size_resizes_to_a_square_of_the_same_picture():
    small, large = (load_splits(DigitsConfig(image_size=size), seed=0) for size in (None, 32))

    assert large.input_shape == (1, 32, 32)
    assert large.train.inputs.dtype == torch.uint8
    assert torch.equal(large.train.labels, small.train.labels)
    for image, resized in zip(small.train.inputs[:20], large.train.inputs, strict=False):
        expected = Image.fromarray(image[0].numpy()).resize((32, 32), Image.Resampling.BILINEAR)
        np.testing.assert_allclose(resized[0].int(), np.asarray(expected).astype(int), atol=1)


def test_same_call_in_one_process_returns_the_same_object():
    first = load_splits(DigitsConfig(train_limit=100), seed=5)

    assert load_splits(DigitsConfig(train_limit=100), seed=5) is first
    assert load_splits(DigitsConfig(train_limit=100), seed=6) is not first
    assert load_splits(DigitsConfig(train_limit=101), seed=6) is not first
