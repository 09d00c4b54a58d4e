"""Inputs that are no images: signals, rows and token ids, and how a network gets them."""

import logging

import numpy as np
import pytest
import torch
from returned import read, warnings
from torch.utils.data import Dataset

from greensweep.data import StreamedSplit, TensorSplit
from greensweep.errors import DataError
from greensweep.training import Normalise

CPU = torch.device("cpu")
LABELS = np.arange(40) % 2
TINY = 1e-12


def drawn(*shape, dtype=np.float64):
    """Forty samples of unlike numbers, whole ones of whole types."""
    return np.random.default_rng(0).normal(100, 20, (40, *shape)).astype(dtype)


def seen_by_a_network(splits):
    """All training inputs, as a network gets them."""
    ((inputs, _),) = splits.train.batches([torch.arange(len(splits.train))])
    return Normalise(splits.statistics, CPU, "contiguous")(inputs)


class Items(Dataset):
    """A map-style data set of inputs."""

    def __init__(self, inputs, labels=LABELS):
        self.inputs, self.labels = inputs, labels

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        return self.inputs[index], self.labels[index]


@pytest.mark.parametrize("as_items", [False, True], ids=["arrays", "a data set"])
@pytest.mark.parametrize(
    ("shape", "dtype", "kept"),
    [
        ((6,), np.float64, torch.float32),
        ((6,), np.bool_, torch.float32),
        ((3, 20), np.float16, torch.float32),
        ((2, 3, 4, 5), np.float32, torch.float32),
        ((6,), np.uint8, torch.uint8),
        ((6,), np.int16, torch.int16),
        ((6,), np.uint16, torch.int64),
        ((6, 4), np.int64, torch.int64),
    ],
    ids=str,
)
def test_inputs_keep_their_shape_and_whole_numbers_their_type(shape, dtype, kept, as_items):
    given = drawn(*shape, dtype=dtype)

    splits = read(train=Items(given) if as_items else (given, LABELS))

    assert isinstance(splits.train, TensorSplit)
    assert splits.input_shape == splits.train.input_shape == shape
    assert splits.train.input_dtype == kept
    known = {each.tobytes() for each in torch.from_numpy(given.astype(np.float32)).numpy()}
    assert {each.float().numpy().tobytes() for each in splits.train.inputs} <= known


@pytest.mark.parametrize("memory_share", [0.5, TINY], ids=["in memory", "streamed"])
@pytest.mark.parametrize("shape", [(5,), (3, 20), (2, 3, 4, 5)], ids=str)
def test_floats_are_normalised_by_channel(shape, memory_share):
    given = drawn(*shape) * np.arange(1, 1 + shape[0]).reshape(-1, *[1] * (len(shape) - 1))

    splits = read(train=Items(given), memory_share=memory_share)

    assert isinstance(splits.train, TensorSplit if memory_share > TINY else StreamedSplit)
    inputs = seen_by_a_network(splits).transpose(0, 1).flatten(1)
    torch.testing.assert_close(inputs.mean(dim=1), torch.zeros(shape[0]), atol=1e-5, rtol=0)
    torch.testing.assert_close(inputs.std(dim=1, correction=0), torch.ones(shape[0]))


@pytest.mark.parametrize("memory_share", [0.5, TINY], ids=["in memory", "streamed"])
@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64])
def test_token_ids_reach_the_network_as_they_are(dtype, memory_share):
    given = drawn(7, dtype=dtype)

    splits = read(train=Items(given), memory_share=memory_share)
    inputs = seen_by_a_network(splits)

    assert splits.holds_ids
    assert splits.statistics is None
    assert inputs.dtype == torch.int64
    assert set(map(tuple, inputs.tolist())) <= set(map(tuple, given.tolist()))


def test_a_network_is_tried_on_ids_that_exist_and_on_blank_numbers():
    ids = read(train=(drawn(7, dtype=np.int64), LABELS))
    signals = read(train=(drawn(3, 20), LABELS))

    assert torch.equal(ids.example, ids.train.inputs[:1])
    assert torch.equal(signals.example, torch.zeros(1, 3, 20))


def test_normalising_leaves_inputs_alone_that_need_none():
    inputs = torch.arange(6).reshape(2, 3)

    seen = Normalise(None, CPU, "contiguous")(inputs)

    seen += 1
    assert torch.equal(inputs, torch.arange(6).reshape(2, 3))


# --- two axes: grey images or signals -----------------------------------------------------------


@pytest.mark.parametrize("as_items", [False, True], ids=["arrays", "a data set"])
@pytest.mark.parametrize(
    ("shape", "dtype", "options", "expected"),
    [
        ((6, 5), np.uint8, {}, (1, 6, 5)),
        ((6, 6), np.float32, {}, (1, 6, 6)),
        ((6, 5), np.float32, {"image_size": 4}, (1, 4, 4)),
        ((6, 5), np.float32, {}, (6, 5)),
        ((6, 5), np.float32, {"layout": "NHW"}, (1, 6, 5)),
        ((6, 5), np.float32, {"layout": "NCHW"}, (1, 6, 5)),
        ((6, 6), np.float32, {"layout": "NCL"}, (6, 6)),
    ],
    ids=str,
)
def test_two_axes_are_a_grey_image_or_a_signal(shape, dtype, options, expected, as_items):
    given = drawn(*shape, dtype=dtype)

    splits = read(train=Items(given) if as_items else (given, LABELS), **options)

    assert splits.input_shape == expected


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        ((6,), {"layout": "NCHW"}, r"layout=NCHW has 4 axes, and inputs of shape \(N, 6\) have 2"),
        ((6, 5, 3), {"layout": "NCL"}, r"layout=NCL has 3 axes, .* \(N, 6, 5, 3\) have 4: set"),
        ((6,), {"image_size": 8}, r"image_size resizes images, and inputs of shape \(N, 6\) are"),
        ((6, 6), {"image_size": 8, "layout": "NCL"}, r"image_size resizes images"),
    ],
    ids=str,
)
def test_options_of_images_are_refused_for_other_inputs(shape, options, message):
    with pytest.raises(DataError, match=message) as refused:
        read(train=(drawn(*shape), LABELS), **options)
    assert "\n" not in str(refused.value)


# --- what is said of them -----------------------------------------------------------------------


def test_what_was_understood_is_told(caplog):
    caplog.set_level(logging.INFO)

    read(train=(drawn(7, dtype=np.int64), LABELS))

    assert caplog.messages == [
        "user_code.make_splits: 40 samples to train on, shape (7,), int64; 2 classes: 0, 1"
    ]


def test_samples_of_unlike_length_ask_for_padding():
    with pytest.raises(
        DataError, match=r"samples differ in shape .* \(5,\), number 1 \(6,\)\): pad"
    ):
        read(train=Items([torch.arange(5 + index) for index in range(40)]))


def test_values_that_are_not_finite_are_named():
    given = drawn(5)
    given[[3, 4], 2] = np.nan

    with pytest.raises(DataError, match="2 of 40 train samples hold NaN or infinite values, the f"):
        read(train=(given, LABELS))


def test_splits_of_unlike_shapes_are_refused():
    with pytest.raises(DataError, match=r"test samples are \(6,\), training samples \(5,\): give"):
        read(train=(drawn(5), LABELS), test=(drawn(6), LABELS))


def test_ids_of_any_size_are_of_one_range(caplog):
    read(train=(drawn(5, dtype=np.int64), LABELS), test=(drawn(5, dtype=np.int64) * 999, LABELS))

    assert warnings(caplog) == []
