"""Trees of images: which files are taken, how they are decoded, what is refused."""

from functools import partial
from io import BytesIO

import numpy as np
import pytest
import torch
from image_trees import count_decodes, write_images
from PIL import Image

from greensweep.config.schema_dataset import ImageFolderConfig
from greensweep.data import load_splits
from greensweep.data.image_folder import image_folder
from greensweep.errors import DataError


@pytest.fixture
def image_tree(tmp_path):
    return partial(write_images, tmp_path / "images")


@pytest.fixture
def decodes(monkeypatch):
    return count_decodes(monkeypatch)


def pixels(seed, shape=(8, 8, 3)):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def folder(root, **options):
    return ImageFolderConfig(root=str(root), cache=None, **options)


def read(root, **options):
    return image_folder(folder(root, **options))


def tree(part="train", classes=("cat", "dog"), count=3):
    return {
        f"{part}/{name}/{number}.png": pixels(100 * label + number)
        for label, name in enumerate(classes)
        for number in range(count)
    }


def as_stored(split):
    """Images in the layout of pictures, (N, H, W, 3)."""
    return split.inputs.permute(0, 2, 3, 1).numpy()


# --- what is read -------------------------------------------------------------------------------


def test_images_and_labels_are_those_of_the_tree(image_tree):
    files = tree()

    source = read(image_tree(files))

    assert source.classes == ("cat", "dog")
    assert source.train.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert source.train.inputs.dtype == torch.uint8
    np.testing.assert_array_equal(as_stored(source.train), np.stack(list(files.values())))
    assert source.validation is None
    assert source.test is None


def test_hundreds_of_images_keep_their_order(image_tree):
    # more than one thread decodes at once
    files = {
        f"train/{name}/{number:03}.png": np.full((2, 2, 3), (number, shift, 0), np.uint8)
        for shift, name in enumerate(("a", "b", "c"))
        for number in range(200)
    }

    source = read(image_tree(files))

    np.testing.assert_array_equal(as_stored(source.train), np.stack(list(files.values())))
    assert source.train.labels.tolist() == [0] * 200 + [1] * 200 + [2] * 200


@pytest.mark.parametrize("name", ["val", "validation", "valid"])
def test_own_validation_and_test_folders_are_used(image_tree, name):
    root = image_tree(tree(count=10) | tree(name, ("dog",), 2) | tree("test", count=1))

    splits = load_splits(folder(root), seed=0)

    assert len(splits.train) == 20
    assert splits.validation.labels.tolist() == [1, 1]
    assert splits.test.labels.tolist() == [0, 1]


def test_missing_validation_and_test_images_are_held_out(image_tree):
    splits = load_splits(folder(image_tree(tree(count=20))), seed=0)

    assert (len(splits.train), len(splits.validation), len(splits.test)) == (27, 5, 8)


def test_jpegs_are_decoded_as_pillow_does(image_tree):
    root = image_tree({"train/a/1.jpg": pixels(1), "train/b/1.JPEG": pixels(2)})

    source = read(root)

    expected = [np.asarray(Image.open(root / f"train/{name}")) for name in ("a/1.jpg", "b/1.JPEG")]
    np.testing.assert_array_equal(as_stored(source.train), np.stack(expected))


def test_other_files_hidden_ones_and_folders_are_no_images(image_tree):
    root = image_tree(
        tree(count=1)
        | {
            "train/cat/notes.txt": b"no image",
            "train/cat/.DS_Store": b"no image",
            "train/cat/._0.png": b"no image: what macOS leaves on other disks",
            "train/cat/.thumbnails/0.png": pixels(7),
            "train/.ipynb_checkpoints/0.png": pixels(8),
            "train/readme.md": b"no class",
            "train/dog/folder.png/inner.PNG": pixels(9),
        }
    )

    source = read(root)

    assert source.classes == ("cat", "dog")
    assert source.train.labels.tolist() == [0, 1, 1]
    np.testing.assert_array_equal(as_stored(source.train)[2], pixels(9))


def test_grey_transparent_and_palette_images_become_rgb(image_tree):
    grey, clear = pixels(1, (8, 8)), pixels(2, (8, 8, 4))
    palette = Image.fromarray(pixels(3)).quantize(16)
    root = image_tree(
        {
            "train/a/1.png": grey,
            "train/a/2.png": clear,
            "train/b/1.png": palette,
            "train/b/2.png": Image.fromarray(grey > 127),
        }
    )

    images = as_stored(read(root).train)

    np.testing.assert_array_equal(images[0], np.stack([grey] * 3, axis=-1))
    np.testing.assert_array_equal(images[1], clear[..., :3])
    np.testing.assert_array_equal(images[2], np.asarray(palette.convert("RGB")))
    np.testing.assert_array_equal(images[3], np.stack([(grey > 127) * 255] * 3, axis=-1))


def test_grey_images_of_16_bits_keep_their_upper_8(image_tree):
    deep = pixels(1, (8, 8)).astype(np.uint16) * 256 + 77
    root = image_tree({"train/a/1.png": Image.fromarray(deep), "train/b/1.png": pixels(2)})

    images = as_stored(read(root).train)

    np.testing.assert_array_equal(images[0, :, :, 0], deep // 256)


def test_images_of_any_mode_are_read_as_pillow_shows_them(image_tree):
    picture = Image.fromarray(pixels(1))
    stored = {
        "cmyk.jpg": picture.convert("CMYK"),
        "grey with alpha.png": picture.convert("LA"),
        "palette.gif": picture.quantize(8),
        "lab.tif": picture.convert("LAB"),
        "ycbcr.tif": picture.convert("YCbCr"),
    }
    root = image_tree({f"train/a/{name}": image for name, image in stored.items()} | tree())

    images = as_stored(read(root).train)

    for image, name in zip(images, sorted(stored), strict=False):
        shown = Image.open(root / "train/a" / name).convert("RGB")
        np.testing.assert_array_equal(image, np.asarray(shown))


@pytest.mark.parametrize("suffix", ["gif", "png", "tif", "webp"])
def test_of_several_frames_the_first_is_read(image_tree, suffix):
    frames = [Image.fromarray(np.full((8, 8, 3), value, np.uint8)) for value in (200, 0, 90)]
    root = image_tree({"train/b/1.png": pixels(1)})
    (root / "train/a").mkdir()
    lossless = {"lossless": True} if suffix == "webp" else {}
    path = root / f"train/a/1.{suffix}"
    frames[0].save(path, save_all=True, append_images=frames[1:], **lossless)

    assert as_stored(read(root).train)[0].ravel().tolist() == [200] * 192


def test_pixels_of_unknown_range_are_refused(image_tree):
    floats = Image.fromarray(np.random.default_rng(0).random((8, 8), dtype=np.float32))
    root = image_tree({"train/a/1.tiff": floats, "train/b/1.png": pixels(2)})

    with pytest.raises(DataError, match=r"1.tiff cannot be read .*its pixels have 32 bits"):
        read(root)


UPRIGHT = {
    "jpg": {"quality": 95},
    "png": {},
    "webp": {"lossless": True},
    "tif": {},
    "tiff": {"compression": "tiff_lzw"},
}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", UPRIGHT)
def test_photographs_of_any_format_are_turned_upright_once(image_tree, suffix, orientation):
    picture = np.zeros((8, 16, 3), dtype=np.uint8)
    picture[:4], picture[:, :6, 0] = 250, 90  # unlike above and below, left and right
    stored = np.rot90(picture, {3: 2, 4: 2, 5: 1, 6: 1, 7: 3, 8: 3}.get(orientation, 0))
    if orientation in (2, 4, 5, 7):  # mirrored as well, from left to right or, lying, upside down
        stored = stored[:, ::-1] if orientation in (2, 4) else stored[::-1]
    exif = Image.Exif()
    exif[0x0112] = orientation
    root = image_tree({"train/b/1.png": picture})
    (root / "train/a").mkdir()
    path = root / f"train/a/1.{suffix}"
    Image.fromarray(np.ascontiguousarray(stored)).save(path, exif=exif, **UPRIGHT[suffix])

    for options in ({}, {"image_size": 16}):
        images = as_stored(read(root, **options).train)
        assert np.abs(images[0].astype(int) - images[1]).mean() < 6


def test_image_size_resizes_images_of_any_size_to_a_square(image_tree):
    root = image_tree(
        {
            "train/a/1.png": np.full((20, 10, 3), 200, np.uint8),
            "train/b/1.png": np.full((5, 7), 90, np.uint8),
            "test/a/1.png": np.full((16, 16, 3), 10, np.uint8),
        }
    )

    source = read(root, image_size=16)

    assert source.train.input_shape == source.test.input_shape == (3, 16, 16)
    assert source.train.inputs.unique().tolist() == [90, 200]
    assert source.test.inputs.unique().tolist() == [10]


def test_resizing_is_pillows_antialiased_bilinear(image_tree):
    large = pixels(1, (24, 24, 3))
    root = image_tree({"train/a/1.png": large, "train/b/1.png": large})

    images = as_stored(read(root, image_size=8).train)

    expected = Image.fromarray(large).resize((8, 8), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(images[0], np.asarray(expected))


def test_images_that_are_not_square_keep_their_shape(image_tree):
    root = image_tree({f"train/{name}/1.png": pixels(1, (6, 9, 3)) for name in "ab"})

    assert read(root).train.input_shape == (3, 6, 9)


@pytest.mark.parametrize("part", ["train", "val", "test"])
def test_mixed_sizes_without_image_size_are_refused_with_both_sizes(image_tree, part):
    root = image_tree(tree() | {f"{part}/dog/odd.png": pixels(1, (5, 7, 3))})

    with pytest.raises(DataError, match=r"8x8, .*odd.png is 7x5\): set dataset.image_size=32"):
        read(root)


@pytest.mark.slow
def test_shared_cifar10_images_are_read_whole(cifar10_images, tmp_path, decodes):
    config = ImageFolderConfig(root=str(cifar10_images), cache=str(tmp_path))

    source = image_folder(config)

    assert (len(source.train), len(source.test), len(source.classes)) == (10_000, 2_000, 10)
    assert source.validation is None
    assert np.bincount(source.train.labels).tolist() == [1_000] * 10
    assert np.bincount(source.test.labels).tolist() == [200] * 10
    last = max((cifar10_images / "train" / "truck").iterdir())
    np.testing.assert_array_equal(as_stored(source.train)[-1], np.asarray(Image.open(last)))
    assert len(decodes) == 12_001

    decodes.clear()
    again = image_folder(config)
    assert decodes == []
    assert torch.equal(again.train.inputs, source.train.inputs)
    assert torch.equal(again.test.labels, source.test.labels)


# --- what is refused ----------------------------------------------------------------------------


def test_folder_without_train_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"dataset.root=.*nowhere has no folder train/: put images"):
        read(tmp_path / "nowhere")


@pytest.mark.parametrize("files", [{"train/readme.md": b""}, {"train/cat/readme.md": b""}])
def test_folder_without_images_is_refused(image_tree, files):
    with pytest.raises(DataError, match=r"train holds no images: put some into train/<class>/"):
        read(image_tree(files))


def test_folder_of_one_class_is_refused(image_tree):
    with pytest.raises(DataError, match=r"at least 2 classes, the data set has 1: cat"):
        load_splits(folder(image_tree(tree(classes=("cat",)))), seed=0)


def test_class_folder_without_images_is_refused(image_tree):
    root = image_tree(tree() | {"train/fox/readme.md": b""})

    with pytest.raises(DataError, match=r"train/fox holds no image: add some or remove the folder"):
        read(root)


def test_class_that_train_lacks_is_refused(image_tree):
    root = image_tree(tree() | tree("val", ("cat", "cow")))

    with pytest.raises(DataError, match=r"val/cow is a class that train/ does not .*cat, dog"):
        read(root)


def test_validation_folder_without_images_is_refused(image_tree):
    root = image_tree(tree() | {"val/cat/readme.md": b""})

    with pytest.raises(DataError, match=r"val holds no images: put some .*, or remove the folder"):
        read(root)


def png(seed):
    file = BytesIO()
    Image.fromarray(pixels(seed, (64, 64, 3))).save(file, "PNG")
    return file.getvalue()


BROKEN = {
    "empty": b"",
    "text": b"this is no image",
    "truncated": png(1)[:3000],
    "damaged": png(1)[:2000] + b"\0" * 500 + png(1)[2500:],
    "header only": png(1)[:33],
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("options", [{}, {"image_size": 8}], ids=["one size", "resized"])
def test_broken_image_is_fatal_and_named(image_tree, content, options):
    root = image_tree({"train/a/0.png": content, "train/a/1.png": png(1), "train/b/1.png": png(2)})

    with pytest.raises(DataError, match=r"train/a/0.png cannot be .*dataset.corrupt=skip") as fault:
        read(root, **options)
    assert "\n" not in str(fault.value)


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_broken_image_is_skipped_with_a_warning_when_so_configured(image_tree, caplog, content):
    root = image_tree({"train/a/0.png": content, "train/a/1.png": png(1), "train/b/1.png": png(2)})

    train = read(root, corrupt="skip").train

    assert f"Skipped {root / 'train/a/0.png'}: it cannot be read as an image." in caplog.messages
    assert len(caplog.messages) == 1
    assert train.labels.tolist() == [0, 1]
    expected = np.stack([pixels(seed, (64, 64, 3)) for seed in (1, 2)])
    np.testing.assert_array_equal(as_stored(train), expected)


def test_link_to_a_missing_image_is_broken(image_tree):
    root = image_tree(tree())
    (root / "train/dog/0.png").unlink()
    (root / "train/dog/0.png").symlink_to("moved-away.png")

    with pytest.raises(DataError, match=r"dog/0.png cannot be read as an image \(FileNotFound"):
        read(root)
    assert read(root, corrupt="skip").train.labels.tolist() == [0, 0, 0, 1, 1]


def test_decompression_bomb_is_broken(image_tree, monkeypatch):
    root = image_tree(tree() | {"train/dog/bomb.png": pixels(1, (80, 80, 3))})
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 8 * 8)

    with pytest.raises(DataError, match=r"bomb.png cannot be read .*DecompressionBombError"):
        read(root)
    assert len(read(root, corrupt="skip").train) == 6


def test_class_of_broken_images_only_is_refused(image_tree):
    root = image_tree(tree() | {"train/fox/0.png": b"broken"})

    with pytest.raises(DataError, match=r"train/fox holds no readable image: add some or remove"):
        read(root, corrupt="skip")


def test_folder_of_broken_images_only_is_refused(image_tree):
    root = image_tree({f"train/{name}/0.png": b"broken" for name in ("cat", "dog")})

    with pytest.raises(DataError, match=r"no image below .* can be read: check the files"):
        read(root, corrupt="skip")
