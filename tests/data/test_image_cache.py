"""Decoded images are kept under a key of the files' contents."""

from functools import partial

import numpy as np
import pytest
import torch
from image_trees import count_decodes, write_images

from greensweep.config.schema_dataset import ImageFolderConfig
from greensweep.data.image_folder import image_folder
from greensweep.errors import DataError


@pytest.fixture
def image_tree(tmp_path):
    return partial(write_images, tmp_path / "images")


@pytest.fixture
def decodes(monkeypatch):
    return count_decodes(monkeypatch)


@pytest.fixture
def root(image_tree):
    """Two classes of two images, and a test image of each."""
    names = [f"{part}/{cls}/{n}.png" for part in ("train", "test") for cls in "ab" for n in (1, 2)]
    generator = np.random.default_rng(0)
    return image_tree({name: generator.integers(0, 256, (8, 8, 3), np.uint8) for name in names})


@pytest.fixture
def read(root, tmp_path):
    """Read the tree through a cache of the test's own."""

    def through_cache(**options):
        defaults = {"root": str(root), "cache": str(tmp_path / "cache")}
        return image_folder(ImageFolderConfig(**(defaults | options)))

    return through_cache


def caches(tmp_path):
    return sorted((tmp_path / "cache").glob("*"))


def test_second_load_decodes_nothing(read, decodes):
    first = read()
    assert len(decodes) == 8

    decodes.clear()
    second = read()

    assert decodes == []
    assert torch.equal(second.train.inputs, first.train.inputs)
    assert torch.equal(second.train.labels, first.train.labels)
    assert torch.equal(second.test.inputs, first.test.inputs)


def test_cache_does_not_depend_on_where_or_when_the_files_lie(read, root, decodes):
    read()
    moved = root.with_name("elsewhere")
    root.rename(moved)
    for path in moved.rglob("*.png"):
        path.touch()
    decodes.clear()

    read(root=str(moved))

    assert decodes == []


def test_altered_image_is_decoded_anew(read, root, image_tree, decodes):
    before = read()
    changed = np.full((8, 8, 3), 77, np.uint8)
    image_tree({"train/b/1.png": changed})
    decodes.clear()

    after = read()

    assert sorted({path.rpartition("images/")[2] for path in decodes}) == [
        f"train/{name}.png" for name in ("a/1", "a/2", "b/1", "b/2")
    ]
    np.testing.assert_array_equal(after.train.inputs[2].permute(1, 2, 0), changed)
    assert torch.equal(after.train.inputs[[0, 1, 3]], before.train.inputs[[0, 1, 3]])


def test_swapped_images_are_not_taken_for_each_other(read, root):
    before = read().train
    first, last = root / "train/a/1.png", root / "train/b/2.png"
    content = first.read_bytes()
    first.write_bytes(last.read_bytes())
    last.write_bytes(content)

    assert torch.equal(read().train.inputs, before.inputs[[3, 1, 2, 0]])


def test_another_image_size_has_a_cache_of_its_own(read):
    assert read(image_size=4).train.input_shape == (3, 4, 4)
    assert read(image_size=6).train.input_shape == (3, 6, 6)
    assert read().train.input_shape == (3, 8, 8)
    assert read(image_size=4).train.input_shape == (3, 4, 4)


DAMAGE = {
    "empty": lambda content: content[:0],
    "no archive": lambda content: content[::-1],
    "cut": lambda content: content[: len(content) // 2],
    "flipped": lambda content: content[:300] + content[400:300:-1] + content[400:],
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_broken_cache_is_made_again_with_a_warning(read, tmp_path, caplog, decodes, damage):
    first = read()
    for path in caches(tmp_path):
        path.write_bytes(damage(path.read_bytes()))
    decodes.clear()

    again = read()

    assert len(decodes) == 8
    assert caplog.text.count("is broken and is made again") == 2
    assert torch.equal(again.train.inputs, first.train.inputs)
    decodes.clear()
    read()
    assert decodes == []


def test_deleted_cache_is_made_again(read, tmp_path, decodes):
    read()
    made = caches(tmp_path)
    for path in made:
        path.unlink()
    decodes.clear()

    read()

    assert len(decodes) == 8
    assert caches(tmp_path) == made


def test_no_cache_is_kept_when_none_is_configured(read, tmp_path):
    assert len(read(cache=None).train) == 4
    assert caches(tmp_path) == []


def test_skipped_images_are_cached_away_and_still_named(read, root, caplog, decodes):
    (root / "train/a/1.png").write_bytes(b"broken")
    first = read(corrupt="skip")
    caplog.clear()
    decodes.clear()

    second = read(corrupt="skip")

    assert decodes == []
    assert second.train.labels.tolist() == [0, 1, 1]
    assert torch.equal(second.train.inputs, first.train.inputs)
    assert caplog.messages == [f"Skipped {root / 'train/a/1.png'}: it cannot be read as an image."]


def test_cache_does_not_hide_a_fatal_image(read, root):
    (root / "train/a/2.png").write_bytes(b"broken")
    read(corrupt="skip")

    with pytest.raises(DataError, match=r"train/a/2.png cannot be read as an image"):
        read(corrupt="fatal")


def test_cache_that_cannot_be_written_costs_a_warning_only(read, tmp_path, caplog):
    (tmp_path / "cache").write_text("a file where the folder should be")

    assert len(read().train) == 4
    assert "Decoded images are not cached" in caplog.text


def test_failed_write_leaves_no_part_of_a_file(read, tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)

    assert len(read().train) == 4
    assert caches(tmp_path) == []
