"""The manifest of splits: equal when the data are, different when they are not."""

import json
from functools import partial

import numpy as np
import pytest
from image_trees import write_images

from greensweep.config.schema_dataset import DigitsConfig, ImageFolderConfig
from greensweep.data import load_splits, make_splits
from greensweep.data.image_folder import image_folder
from greensweep.data.manifest import write_manifest


@pytest.fixture
def image_tree(tmp_path):
    return partial(write_images, tmp_path / "images")


@pytest.fixture
def root(image_tree):
    return image_tree(
        {
            f"train/{name}/{number}.png": np.full((4, 4, 3), 40 * label + number, np.uint8)
            for label, name in enumerate("abc")
            for number in range(10)
        }
    )


@pytest.fixture
def manifest(root, tmp_path):
    """The text of the manifest of the tree as it is now."""

    def written(seed=0, **options):
        config = ImageFolderConfig(root=str(root), cache=None, **options)
        splits = make_splits(image_folder(config), config, seed)
        return write_manifest(splits, "image_folder", seed, tmp_path / "out").read_text()

    return written


def test_manifest_names_sizes_classes_and_counts(tmp_path):
    splits = load_splits(DigitsConfig(), seed=7)

    path = write_manifest(splits, "digits", 7, tmp_path / "new" / "folder")

    content = json.loads(path.read_text())
    assert path.name == "splits.json"
    assert (content["dataset"], content["seed"]) == ("digits", 7)
    assert content["image_shape"] == [1, 8, 8]
    assert content["classes"] == list("0123456789")
    sizes = {name: part["images"] for name, part in content["splits"].items()}
    assert sizes == {"train": 1221, "validation": 216, "test": 360}
    for name, part in content["splits"].items():
        labels = getattr(splits, name).labels
        assert list(part["per_class"].values()) == np.bincount(labels, minlength=10).tolist()
        assert len(part["sha256"]) == 64


def test_manifest_is_the_same_for_the_same_data(manifest):
    assert manifest() == manifest()


def test_manifest_does_not_depend_on_how_the_data_are_held(manifest):
    assert manifest(memory_share=1e-12) == manifest()


def test_manifest_changes_with_the_seed(manifest):
    first, second = json.loads(manifest(seed=0)), json.loads(manifest(seed=1))

    for name in ("train", "validation", "test"):
        assert first["splits"][name]["sha256"] != second["splits"][name]["sha256"]


def test_manifest_changes_where_one_pixel_does(manifest, image_tree):
    before = json.loads(manifest())
    changed = np.full((4, 4, 3), 40, np.uint8)
    changed[2, 1, 0] += 1
    image_tree({"train/b/0.png": changed})

    after = json.loads(manifest())

    parts = ("train", "validation", "test")
    differing = [n for n in parts if before["splits"][n] != after["splits"][n]]
    assert len(differing) == 1
    assert before["splits"][differing[0]]["per_class"] == after["splits"][differing[0]]["per_class"]


def test_manifest_of_a_streamed_split_counts_what_can_be_read(manifest, image_tree):
    image_tree({"train/b/0.png": b"broken"})

    streamed = json.loads(manifest(memory_share=1e-12, corrupt="skip"))["splits"]

    assert sum(part["images"] for part in streamed.values()) == 29
    assert sum(part["per_class"]["b"] for part in streamed.values()) == 9
