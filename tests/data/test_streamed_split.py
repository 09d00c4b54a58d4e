"""Data sets larger than the stated share of memory are read batch by batch."""

from functools import partial

import numpy as np
import psutil
import pytest
import torch
from image_trees import write_images

from greensweep.config.schema_dataset import ImageFolderConfig
from greensweep.data import StreamedSplit, TensorSplit, load_splits
from greensweep.data.image_folder import image_folder
from greensweep.errors import DataError

TINY = 1e-12  # a share of memory that no data set fits


@pytest.fixture
def image_tree(tmp_path):
    return partial(write_images, tmp_path / "images")


@pytest.fixture
def root(image_tree):
    generator = np.random.default_rng(0)
    return image_tree(
        {
            f"train/{name}/{number:02}.png": generator.integers(0, 256, (8, 8, 3), np.uint8)
            for name in "abc"
            for number in range(12)
        }
    )


def options(root, memory_share, **more):
    return ImageFolderConfig(root=str(root), cache=None, memory_share=memory_share, **more)


def whole(split):
    """Every image and label of a split, in its order."""
    batches = list(split.batches(torch.arange(len(split)).split(5)))
    return torch.cat([images for images, _ in batches]), torch.cat(
        [labels for _, labels in batches]
    )


@pytest.mark.parametrize("image_size", [None, 6])
def test_streamed_splits_give_the_same_pixels_as_those_in_memory(root, image_size):
    streamed = load_splits(options(root, TINY, image_size=image_size, train_limit=12), seed=0)
    held = load_splits(options(root, 0.5, image_size=image_size, train_limit=12), seed=0)

    for name in ("train", "validation", "test"):
        one, other = getattr(streamed, name), getattr(held, name)
        assert isinstance(one, StreamedSplit)
        assert isinstance(other, TensorSplit)
        assert one.input_shape == other.input_shape
        assert torch.equal(one.labels, other.labels)
        assert all(torch.equal(a, b) for a, b in zip(whole(one), whole(other), strict=True))
    for one, other in zip(streamed.statistics, held.statistics, strict=True):
        assert torch.equal(one, other)


def test_memory_share_counts_all_splits_together(root, image_tree, monkeypatch):
    image_tree({f"test/a/{n}.png": np.zeros((8, 8, 3), np.uint8) for n in range(36)})
    monkeypatch.setattr(
        psutil, "virtual_memory", lambda: type("Memory", (), {"available": 72 * 192})
    )

    assert isinstance(image_folder(options(root, 1.0)).train, TensorSplit)
    assert isinstance(image_folder(options(root, 0.99)).train, StreamedSplit)


def test_batches_come_in_the_order_asked_for(root):
    split = image_folder(options(root, TINY)).train
    order = [torch.tensor([30, 0, 17]), torch.tensor([4])]

    labels = [batch_labels.tolist() for _, batch_labels in split.batches(order)]

    assert labels == [[2, 0, 1], [0]]


def test_broken_image_is_left_out_of_its_batch_with_a_warning(root, image_tree, caplog):
    split = image_folder(options(root, TINY, corrupt="skip")).train
    image_tree({f"train/a/{number:02}.png": b"broken" for number in (1, 5, 6)})
    order = [torch.tensor([0, 1, 2]), torch.tensor([5, 6]), torch.tensor([20])]

    in_this_process = StreamedSplit(split.dataset, split.labels, split.input_shape, workers=0)
    batches = [labels.tolist() for _, labels in in_this_process.batches(order)]

    assert batches == [[0, 0], [1]]
    assert len(caplog.messages) == 3
    assert "train/a/01.png: it cannot be read as an image" in caplog.messages[0]
    assert [labels.tolist() for _, labels in split.batches(order)] == batches


@pytest.mark.parametrize("workers", [0, 1])
def test_fatal_image_is_named_in_one_sentence_whichever_process_read_it(root, image_tree, workers):
    split = image_folder(options(root, TINY)).train
    image_tree({"train/b/03.png": b"broken"})
    streamed = StreamedSplit(split.dataset, split.labels, split.input_shape, workers)

    with pytest.raises(DataError, match=r"train/b/03.png cannot be read as an image") as fault:
        whole(streamed)
    assert "\n" not in str(fault.value)


def test_mixed_sizes_are_refused_when_met(root, image_tree):
    image_tree({"train/b/03.png": np.zeros((5, 7, 3), np.uint8)})

    with pytest.raises(DataError, match=r"8x8, .*b/03.png is 7x5\): set dataset.image_size"):
        whole(image_folder(options(root, TINY)).train)


def test_training_images_none_of_which_can_be_read_are_refused(root, image_tree):
    splits = load_splits(options(root, TINY, corrupt="skip", image_size=8), seed=0)
    image_tree({path.relative_to(root).as_posix(): b"" for path in root.rglob("*.png")})

    with pytest.raises(DataError, match="none of the training images can be read"):
        _ = splits.statistics
