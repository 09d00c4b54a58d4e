"""Arrays and labels are read as what they are: axes, class numbers, finite pixels of one range."""

import logging

import numpy as np
import pytest
import torch
from returned import read, warnings

from greensweep.data.arrays import tensor_split
from greensweep.errors import DataError

LABELS = np.arange(30) % 3


def images(*shape, dtype=np.uint8):
    """Thirty images of unlike pixels."""
    return np.random.default_rng(0).integers(0, 256, (30, *shape)).astype(dtype)


def pixels_of(given, layout="auto"):
    return tensor_split(given, LABELS, None, layout).inputs.numpy()


# --- axes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "shape",
    [(4, 4, 3), (3, 3, 1), (12, 9, 3), (16, 16, 13), (7, 7, 2), (1, 1, 3)],
    ids=str,
)
def test_channels_last_are_told_by_their_number_and_by_square_images(shape):
    given = images(*shape)

    np.testing.assert_array_equal(pixels_of(given), given.transpose(0, 3, 1, 2))


@pytest.mark.parametrize(
    "shape", [(3, 4, 4), (1, 3, 3), (3, 12, 9), (13, 16, 16), (2, 7, 7), (4, 2, 2)], ids=str
)
def test_channels_first_are_told_by_their_number_and_by_square_images(shape):
    given = images(*shape)

    np.testing.assert_array_equal(pixels_of(given), given)


@pytest.mark.parametrize(
    "shape", [(4, 4, 4), (3, 5, 3), (13, 16, 12), (13, 4, 4), (3, 3, 13)], ids=str
)
def test_shapes_of_either_layout_are_refused_until_it_is_told(shape):
    given = images(*shape)

    with pytest.raises(DataError, match=r"may be \(C, H, W\) or \(H, W, C\): set dataset.layout=N"):
        tensor_split(given, LABELS, None)
    np.testing.assert_array_equal(pixels_of(given, "NCHW"), given)
    np.testing.assert_array_equal(pixels_of(given, "NHWC"), given.transpose(0, 3, 1, 2))


def test_layout_beats_the_shape():
    given = images(4, 4, 3)

    np.testing.assert_array_equal(pixels_of(given, "NCHW"), given)


def test_an_unusual_number_of_channels_is_told(caplog):
    tensor_split(images(16, 16, 13), LABELS, None)

    (message,) = warnings(caplog)
    assert message.startswith("Images of shape (16, 16, 13) are read as NHWC")
    assert "13 channels. dataset.layout says otherwise" in message


def test_what_was_understood_is_told(caplog):
    caplog.set_level(logging.INFO)

    read(train=(images(12, 9, 3), LABELS), classes=["a", "b", "c"])

    assert caplog.messages == [
        "user_code.make_splits: 30 images to train on, channels 3, height 12, width 9; "
        "3 classes: a, b, c"
    ]


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("as_items", [False, True], ids=["arrays", "a data set"])
def test_what_a_user_returns_is_read_in_the_layout_that_is_set(as_items, layout):
    given = images(4, 4, 4)
    part = [*zip(given, LABELS, strict=True)] if as_items else (given, LABELS)

    train = read(layout=layout, train=part, validation=part, test=part).train

    expected = given if layout == "NCHW" else given.transpose(0, 3, 1, 2)
    np.testing.assert_array_equal(train.inputs, expected)


def test_layout_is_an_option_of_the_command_line(config):
    options = ("dataset=custom", "dataset.target=a.b")

    assert config(*options).dataset.layout == "auto"
    assert config(*options, "dataset.layout=NHWC").dataset.layout == "NHWC"


# --- labels -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "shown"),
    [
        (LABELS + 1, r"are 1, 2, 3, never 0: number"),
        (LABELS * 2, r"are 0, 2, 4, never 1, 3: number"),
        (np.array([0, 5, 9])[LABELS], r"are 0, 5, 9, never 1, 2, 3, 4, 6, 7, 8: number"),
        (LABELS + 1000, r"are 1000, 1001, 1002, never 0, 1, 2, 3, 4, 5, 6, 7, …: number"),
        (LABELS == 0, None),
        (LABELS.astype(np.float32), None),
        (LABELS.astype(np.uint16), None),
    ],
    ids=["from 1", "even", "0 5 9", "ids", "boolean", "whole floats", "uint16"],
)
def test_labels_number_the_classes_from_0_without_gaps(labels, shown):
    if shown is None:
        given = read(train=(images(6, 6, 3), labels))
        assert given.classes == tuple("012")[: len(np.unique(labels))]
        return
    with pytest.raises(DataError, match=shown) as refused:
        read(train=(images(6, 6, 3), labels))
    assert "return_inverse=True" in str(refused.value)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.where(LABELS == 1, np.nan, 0.0), "whole numbers from 0, got nan among them"),
        (LABELS + 0.25, r"whole numbers from 0, got \d.25 among them"),
        (np.where(LABELS == 1, -1, LABELS), "are -1, 0, 2, never 1: number the classes from 0"),
        (np.eye(3)[LABELS], r"shape \(N,\), .* got \(30, 3\): take the argmax of one-hot"),
        (LABELS[:, None], r"shape \(N,\), .* got \(30, 1\): .* or reshape them"),
        (np.array(["cat", "dog", "cow"])[LABELS], "labels must be an array or tensor of numbers"),
        (LABELS[:29], r"got \(30, 6, 6, 3\) and \(29,\): reshape"),
    ],
    ids=["nan", "fractions", "negative", "one-hot", "column", "text", "one less"],
)
def test_labels_that_are_no_class_numbers_are_refused(labels, message):
    with pytest.raises(DataError, match=message):
        read(train=(images(6, 6, 3), labels))


@pytest.mark.parametrize("part", ["train", "validation", "test"])
def test_a_named_class_that_a_split_lacks_is_told(caplog, part):
    parts = dict.fromkeys(("train", "validation", "test"), (images(6, 6, 3), LABELS))
    parts[part] = (images(6, 6, 3)[LABELS < 2], LABELS[LABELS < 2])

    read(**parts, classes=["cat", "dog", "cow"])

    assert warnings(caplog) == [f"The {part} split has no image of 1 of 3 classes: cow."]


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ({"cat": 0, "dog": 2, "cow": 1}, "must be a list of names in the order of .*, got dict"),
        ("abc", "must be a list of names .*, got str"),
        (3, "must be a list of names .*, got int"),
        (["cat", "dog", "cat"], "has cat more than once: give each a name"),
        (["cat", "dog"], "labels of 2 classes run from 0 to 1, the train split has 0 to 2"),
    ],
    ids=["class_to_idx", "text", "number", "twice", "too few"],
)
def test_names_that_may_mean_another_class_are_refused(classes, message):
    with pytest.raises(DataError, match=message):
        read(train=(images(6, 6, 3), LABELS), classes=classes)


# --- pixels -------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e39])
@pytest.mark.parametrize("part", ["train", "test"])
def test_pixels_that_are_not_finite_are_named(part, value):
    wrong = images(6, 6, 3, dtype=np.float64)
    wrong[[7, 9], 2, 3, 1] = value
    parts = {"train": (images(6, 6, 3, dtype=np.float32), LABELS), part: (wrong, LABELS)}

    message = f"2 of 30 {part} images hold NaN or infinite pixels, the first is number 7: replace"
    with pytest.raises(DataError, match=message):
        read(**parts)


def test_complex_pixels_are_refused():
    with pytest.raises(DataError, match="hold complex numbers"):
        tensor_split(images(6, 6, 3) * 1j, LABELS, None)


@pytest.mark.parametrize("scale", [1 / 255, 1000.0, 0.0])
def test_splits_of_unlike_ranges_are_told(caplog, scale):
    given = images(6, 6, 3)

    read(train=(given, LABELS), test=(given * np.float32(scale), LABELS))

    (message,) = warnings(caplog)
    assert message.startswith(f"test pixels reach {255 * scale:g} and train pixels 255: give all")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.float16])
def test_splits_of_one_range_are_not(caplog, dtype):
    read(
        train=(images(6, 6, 3, dtype=dtype), LABELS),
        test=(images(6, 6, 3, dtype=dtype)[:, ::-1], LABELS),
    )

    assert warnings(caplog) == []


def test_deep_images_keep_their_values():
    deep = images(6, 6, 3, dtype=np.uint16) * 257

    np.testing.assert_array_equal(pixels_of(deep), deep.transpose(0, 3, 1, 2))


@pytest.mark.parametrize("value", [0.0, 7.0, 1e6, -3e-4])
def test_constant_channels_stay_finite_after_normalising(value):
    given = images(6, 6, 3, dtype=np.float32)
    given[..., 1] = value

    mean, deviation = read(train=(given, LABELS)).statistics

    assert mean.flatten()[1] == pytest.approx(value)
    normalised = (torch.full((1,), value) - mean[1]) / deviation[1]
    assert normalised.isfinite().all()
    assert normalised.abs().max() < 1e-3


USER_CODE = """
import numpy as np

def make_splits(value):
    images = np.random.default_rng(0).random((300, 6, 6))
    images[5, 2, 3] = value
    return {"train": (images, np.arange(300) % 3)}
"""
QUICK = (
    "dataset=custom",
    "dataset.target=with_values.make_splits",
    "model=dense_linear",
    "training.epochs=1",
    "energy=unmetered",
    "tracking=local",
    "inference.seconds=0",
    "hydra.run.dir=out",
)


@pytest.mark.parametrize("value", ["nan", "-inf"])
def test_a_run_on_pixels_that_are_not_finite_says_so(cli, results, tmp_path, value):
    (tmp_path / "with_values.py").write_text(USER_CODE)

    finished = cli("train.py", *QUICK, f"+dataset.kwargs.value={value}")

    assert finished.status == 1
    assert "1 of 300 train images hold NaN or infinite pixels, the first is number 5" in (
        finished.errors
    )
    assert "learning_rate" not in finished.errors
    (result,) = results()
    assert result["status"] == "failed"
    assert "NaN or infinite pixels" in result["error"]


def test_a_run_that_diverges_on_finite_pixels_still_asks_for_a_smaller_rate(cli, tmp_path):
    (tmp_path / "with_values.py").write_text(USER_CODE)
    diverging = ("optimizer=sgd", "optimizer.learning_rate=1e30", "training.epochs=3")

    finished = cli("train.py", *QUICK, *diverging, "+dataset.kwargs.value=1.0")

    assert finished.status == 1
    assert "set a smaller optimizer.learning_rate" in finished.errors
