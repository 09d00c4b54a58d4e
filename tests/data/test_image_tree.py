"""Which files of a tree are read: every format, every link, and what is left out is told."""

import os
import runpy
import sys
from functools import partial
from io import BytesIO

import numpy as np
import pytest
from image_trees import write_images
from PIL import Image

from greensweep.config.schema_dataset import ImageFolderConfig
from greensweep.data import image_files, load_splits
from greensweep.data import image_tree as image_tree_module
from greensweep.data.image_folder import image_folder
from greensweep.data.image_tree import list_parts
from greensweep.errors import DataError


@pytest.fixture
def image_tree(tmp_path):
    return partial(write_images, tmp_path / "images")


def pixels(seed=0):
    return np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)


def encoded(format_name):
    file = BytesIO()
    Image.fromarray(pixels()).save(file, format_name)
    return file.getvalue()


def tree(classes="ab", part="train"):
    return {f"{part}/{name}/0.png": pixels(ord(name)) for name in classes}


def names(root, part="train"):
    """The files that are read, with their classes, below the split's folder."""
    parts, classes = list_parts(root)
    files = parts[part]
    return {
        str(path.relative_to(root)).partition("/")[2]: classes[label]
        for path, label in zip(files.paths, files.labels, strict=True)
    }


# --- formats ------------------------------------------------------------------------------------

FORMATS = {
    "jfif": "JPEG", "JPE": "JPEG", "avif": "AVIF", "WebP": "WEBP", "gif": "GIF", "bmp": "BMP",
    "dib": "DIB", "tif": "TIFF", "tga": "TGA", "jp2": "JPEG2000", "j2k": "JPEG2000", "pnm": "PPM",
    "apng": "PNG", "qoi": "QOI",
}  # fmt: skip


@pytest.mark.parametrize(("suffix", "format_name"), FORMATS.items())
def test_images_of_every_format_are_read(image_tree, caplog, suffix, format_name):
    root = image_tree(tree() | {f"train/a/1.{suffix}": encoded(format_name)})

    images = image_folder(ImageFolderConfig(root=str(root), cache=None)).train.inputs

    assert len(images) == 3
    assert np.abs(images[1].int().numpy() - pixels().transpose(2, 0, 1)).mean() < 60
    assert caplog.messages == []


def test_heic_is_read_where_pillow_heif_is_installed(image_tree, tmp_path, monkeypatch, caplog):
    # a stand-in that takes PNG for HEIC, as the package registers itself
    (tmp_path / "pillow_heif.py").write_text(
        "from PIL import Image, PngImagePlugin\n"
        "def register_heif_opener():\n"
        "    Image.register_open('HEIF', PngImagePlugin.PngImageFile, PngImagePlugin._accept)\n"
        "    Image.register_extension('HEIF', '.heic')\n"
    )
    for registry in ("ID", "OPEN", "EXTENSION"):
        monkeypatch.setattr(Image, registry, getattr(Image, registry).copy())
    monkeypatch.delitem(sys.modules, "pillow_heif", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    image_tree_module._suffixes.cache_clear()
    runpy.run_path(image_files.__file__)
    root = image_tree(tree() | {"train/a/1.HEIC": encoded("PNG")})

    try:
        images = image_folder(ImageFolderConfig(root=str(root), cache=None)).train.inputs
    finally:
        image_tree_module._suffixes.cache_clear()

    np.testing.assert_array_equal(images[1], pixels().transpose(2, 0, 1))
    assert caplog.messages == []


def test_files_that_are_no_readable_images_are_told_by_number(image_tree, caplog):
    files = {f"train/a/{number}.heic": b"photograph" for number in range(10)}
    files |= {"train/b/deep/notes.txt": b"", "train/b/README": b"", "train/b/plan.pdf": b"%PDF"}
    files |= {"train/b/film.mpg": b"", "train/b/script.eps": b"%!PS-Adobe"}
    root = image_tree(tree() | files)

    assert names(root) == {"a/0.png": "a", "b/0.png": "b"}
    (message,) = caplog.messages
    assert message.startswith(f"15 files below {root}/train are no images that can be read and are")
    assert ": 10 .heic, 1 " in message
    for kind in ("1 .txt", "1 .pdf", "1 .mpg", "1 .eps", "1 without suffix"):
        assert kind in message


def test_what_systems_leave_beside_images_is_neither_read_nor_told(image_tree, caplog):
    clutter = (
        "train/Thumbs.db", "train/a/thumbs.db", "train/a/desktop.ini", "train/a/.DS_Store",
        "train/a/._0.png", "train/__MACOSX/a/._0.png", "__MACOSX/train/._a", ".git/config",
        "train/b/@eaDir/0.png/small.jpg", "train/.hidden/0.png",
    )  # fmt: skip
    root = image_tree(tree() | dict.fromkeys(clutter, b"system"))

    assert names(root) == {"a/0.png": "a", "b/0.png": "b"}
    assert caplog.messages == []


def test_images_outside_of_a_class_and_folders_that_are_no_split_are_told(image_tree, caplog):
    loose = {f"train/{number}.PNG": pixels() for number in range(3)}
    root = image_tree(tree() | loose | tree(part="Test") | tree(part="extra"))

    assert len(names(root)) == 2
    assert caplog.messages == [
        f"3 images lie in {root / 'train'} itself, outside of a class, and are left out.",
        f"Not read below {root}: Test, extra. Splits are called train, val and test.",
    ]


@pytest.mark.parametrize("other", ["valid", "validation"])
def test_two_folders_of_one_split_are_refused(image_tree, other):
    root = image_tree(tree() | tree(part="val") | tree(part=other))

    with pytest.raises(DataError, match=r"has val/ and valid.*/, which are one split: keep one"):
        list_parts(root)


# --- links --------------------------------------------------------------------------------------


def test_linked_folders_and_files_are_read(image_tree, tmp_path, caplog):
    elsewhere = write_images(tmp_path / "disk", {"more/1.png": pixels(1), "c/2.png": pixels(2)})
    root = image_tree(tree())
    (root / "train/a/linked").symlink_to(elsewhere / "more")
    (root / "train/c").symlink_to(elsewhere / "c")
    (root / "train/b/3.png").symlink_to(elsewhere / "more/1.png")
    (root / "test").symlink_to(root / "train")

    assert names(root) == names(root, "test") == {
        "a/0.png": "a",
        "a/linked/1.png": "a",
        "b/0.png": "b",
        "b/3.png": "b",
        "c/2.png": "c",
    }  # fmt: skip
    assert caplog.messages == []


@pytest.mark.parametrize("target", [".", "..", "../..", "../../a/deep", "../../b"])
def test_links_in_circles_are_not_followed(image_tree, caplog, target):
    root = image_tree(tree() | {"train/a/deep/1.png": pixels(1)})
    (root / "train/a/deep/back").symlink_to(target, target_is_directory=True)
    (root / "train/b/over").symlink_to(root / "train/a/deep", target_is_directory=True)

    read = names(root)

    expected = {"a/0.png": "a", "a/deep/1.png": "a", "b/0.png": "b", "b/over/1.png": "b"}
    assert read.items() >= expected.items()
    assert len(read) <= 6
    assert all("and is not followed" in message for message in caplog.messages)
    assert caplog.messages


@pytest.mark.parametrize("name", ["val", "train/c"])
def test_folder_that_is_linked_but_gone_is_refused(image_tree, name):
    root = image_tree(tree())
    (root / name).symlink_to("/unmounted/disk")

    with pytest.raises(DataError, match=f"{name} links to /unmounted/disk, which is not there: me"):
        list_parts(root)


def test_folder_that_cannot_be_read_is_refused(image_tree, monkeypatch):
    root = image_tree(tree() | {"train/b/locked/1.png": pixels(1)})
    scan = os.scandir

    def refuse(path):
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)

    with pytest.raises(DataError, match=r"train/b/locked cannot be read \(Permission denied\): "):
        list_parts(root)


def test_class_that_a_held_out_split_lacks_is_told(image_tree, caplog):
    files = {f"train/{name}/{n}.png": pixels(n) for name in "abc" for n in range(20)}
    root = image_tree(files | tree("ab", "val") | {"val/c/.keep": b""})

    load_splits(ImageFolderConfig(root=str(root), cache=None), seed=0)

    assert caplog.messages == ["The validation split has no image of 1 of 3 classes: c."]
