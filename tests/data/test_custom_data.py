"""A user's own data, by import path: arrays of any layout, data sets, and what is refused."""

import sys
from textwrap import dedent

import numpy as np
import pytest
import torch
from PIL import Image

from greensweep.config.schema_dataset import CustomDatasetConfig
from greensweep.data import StreamedSplit, TensorSplit, load_splits
from greensweep.data.custom import custom
from greensweep.errors import ConfigError, DataError

MINE = """
    import numpy as np
    import torch
    from PIL import Image
    from torch.utils.data import Dataset

    PIXELS = np.random.default_rng(0).integers(0, 256, (40, 6, 5, 3), dtype=np.uint8)
    LABELS = np.arange(40) % 4
    NHWC, NCHW, GREY = PIXELS, PIXELS.transpose(0, 3, 1, 2), PIXELS[..., 0]
    READ_ONLY = PIXELS.copy()
    READ_ONLY.flags.writeable = False

    LAYOUTS = {
        "nhwc": NHWC,
        "nchw": NCHW,
        "grey": GREY,
        "one channel first": GREY[:, None],
        "one channel last": GREY[..., None],
        "tensor": torch.from_numpy(PIXELS),
        "flipped": PIXELS[:, ::-1],
        "read only": READ_ONLY,
        "floats": NCHW / 255,
        "list": PIXELS.tolist(),
    }

    def arrays(layout="nhwc", labels=LABELS):
        return {"train": (LAYOUTS[layout], labels)}

    class Pictures(Dataset):
        def __init__(self, kind="pillow", count=40):
            self.kind, self.count = kind, count

        def __len__(self):
            return self.count

        def __getitem__(self, index):
            image = PIXELS[index]
            if self.kind == "palette":
                image = Image.fromarray(image).quantize(256)
            elif self.kind == "pillow":
                image = Image.fromarray(image)
            elif self.kind == "tensor":
                image = torch.from_numpy(image).permute(2, 0, 1) / 255
            elif self.kind == "sizes" and index == 7:
                image = image[:5]
            elif self.kind == "broken" and index == 7:
                raise ValueError("lost\\nfor good")
            elif self.kind == "names":
                return image, "cat"
            return image, LABELS[index]

    def dataset(kind="pillow", count=40, targets=False):
        pictures = Pictures(kind, count)
        if targets:
            pictures.targets = LABELS[:count].tolist()
        return {"train": pictures}

    def whole():
        images = torch.from_numpy(PIXELS)
        half = images[:20], LABELS[:20]
        return {"train": half, "validation": half, "test": half, "classes": ["a", "b", "c", "d"]}

    def drawn_without_a_seed():
        import random

        from torch.utils.data import random_split

        kept, held = random_split(Pictures("array"), [0.5, 0.5])
        random.shuffle(held.indices)
        return {"train": kept, "validation": held, "test": (PIXELS, np.random.permutation(LABELS))}

    def few_classes():
        return {"train": (PIXELS, LABELS), "classes": ["a", "b", "c"]}

    def without_train():
        return {"test": (PIXELS, LABELS)}

    def nothing():
        return {"train": None}

    def misnamed():
        return {"train": (PIXELS, LABELS), "valdation": (PIXELS, LABELS)}

    def a_list():
        return [(PIXELS, LABELS)]

    def number():
        return {"train": 42}

    def fails():
        raise FileNotFoundError("data.csv is gone")

    def text():
        return {"train": (np.array(["a", "b"]), [0, 1])}

    def single():
        return {"train": (PIXELS[:, 0, 0, 0], LABELS)}
"""


@pytest.fixture(autouse=True)
def mine(tmp_path, monkeypatch):
    """The user's module, in the working folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "mine.py").write_text(dedent(MINE))
    yield
    sys.modules.pop("mine", None)


@pytest.fixture
def pixels():
    """The images of the user's module, (40, 3, 6, 5)."""
    images = np.random.default_rng(0).integers(0, 256, (40, 6, 5, 3), dtype=np.uint8)
    return torch.from_numpy(images).permute(0, 3, 1, 2)


def read(function, memory_share=0.5, image_size=None, **kwargs):
    return custom(
        CustomDatasetConfig(
            target=f"mine.{function}",
            memory_share=memory_share,
            image_size=image_size,
            kwargs=kwargs,
        )
    )


# --- arrays and tensors -------------------------------------------------------------------------


@pytest.mark.parametrize("layout", ["nhwc", "nchw", "tensor", "read only"])
def test_colour_images_of_any_layout_become_channels_first(pixels, layout):
    train = read("arrays", layout=layout).train

    assert train.inputs.dtype == torch.uint8
    assert train.inputs.is_contiguous()
    assert torch.equal(train.inputs, pixels)
    assert train.labels.dtype == torch.int64
    assert train.labels.tolist() == [0, 1, 2, 3] * 10


@pytest.mark.parametrize("layout", ["grey", "one channel first", "one channel last"])
def test_grey_images_get_one_channel(pixels, layout):
    assert torch.equal(read("arrays", layout=layout).train.inputs, pixels[:, :1])


def test_mirrored_views_are_taken(pixels):
    assert torch.equal(read("arrays", layout="flipped").train.inputs, pixels.flip(2))


@pytest.mark.parametrize(("layout", "scale"), [("floats", 255), ("list", 1)])
def test_other_numbers_become_float32(pixels, layout, scale):
    images = read("arrays", layout=layout).train.inputs

    assert images.dtype == torch.float32
    expected = pixels if layout == "floats" else pixels.float()
    torch.testing.assert_close(images * scale, expected.float())


def test_arrays_are_resized(pixels):
    images = read("arrays", image_size=12).train.inputs

    assert images.shape == (40, 3, 12, 12)
    assert images.dtype == torch.uint8
    assert images.float().mean() == pytest.approx(pixels.float().mean().item(), rel=0.02)


def test_shrinking_arrays_averages_as_pillow_does(pixels):
    images = read("arrays", image_size=2).train.inputs

    for image, shrunk in zip(pixels[:10], images, strict=False):
        picture = Image.fromarray(image.permute(1, 2, 0).numpy())
        expected = np.asarray(picture.resize((2, 2), Image.Resampling.BILINEAR)).astype(int)
        np.testing.assert_allclose(shrunk.permute(1, 2, 0), expected, atol=1)


@pytest.mark.parametrize(
    "labels",
    [
        np.arange(40, dtype=np.uint8) % 4,
        np.arange(40, dtype=np.float64) % 4,
        [index % 4 for index in range(40)],
        torch.arange(40, dtype=torch.int32) % 4,
    ],
    ids=["uint8", "float64", "list", "int32"],
)
def test_labels_of_any_number_type_become_class_indices(labels):
    train = read("arrays", labels=labels).train

    assert train.labels.dtype == torch.int64
    assert train.labels.tolist() == [0, 1, 2, 3] * 10


def test_given_splits_and_class_names_are_used():
    source = read("whole")

    assert source.classes == ("a", "b", "c", "d")
    assert len(source.train) == len(source.validation) == len(source.test) == 20


def test_classes_are_numbered_when_not_named():
    assert read("arrays").classes == ("0", "1", "2", "3")


def test_splits_drawn_without_a_seed_are_those_of_the_run_wherever_they_are_read():
    # in a run, which has seeded and drawn before, and in the test of its checkpoint
    def drawn(name, seed=1):
        config = CustomDatasetConfig(name=name, target="mine.drawn_without_a_seed")
        return load_splits(config, seed)

    torch.manual_seed(7)
    first, state = drawn("first"), torch.get_rng_state()
    torch.manual_seed(7)
    assert torch.equal(torch.get_rng_state(), state)
    np.random.seed(8)
    again = drawn("again")

    for part in ("train", "validation", "test"):
        assert torch.equal(getattr(first, part).inputs, getattr(again, part).inputs)
        assert torch.equal(getattr(first, part).labels, getattr(again, part).labels)
    assert not torch.equal(drawn("again", seed=2).train.inputs, first.train.inputs)


def test_config_of_the_command_line_reaches_the_function(config):
    overrides = ("dataset=custom", "dataset.target=mine.arrays", "+dataset.kwargs.layout=grey")

    splits = load_splits(config(*overrides).dataset, seed=0)

    assert splits.input_shape == (1, 6, 5)
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (27, 5, 8)


# --- data sets ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["pillow", "array"])
def test_data_set_of_pictures_or_arrays_is_held_in_memory(pixels, kind):
    train = read("dataset", kind=kind).train

    assert isinstance(train, TensorSplit)
    assert train.inputs.dtype == torch.uint8
    assert torch.equal(train.inputs, pixels)
    assert train.labels.tolist() == [0, 1, 2, 3] * 10


def test_data_set_of_float_tensors_keeps_its_values(pixels):
    torch.testing.assert_close(read("dataset", kind="tensor").train.inputs, pixels / 255)


def test_palette_pictures_become_colours(pixels):
    images = read("dataset", kind="palette").train.inputs

    assert images.shape == pixels.shape
    assert (images.int() - pixels.int()).abs().float().mean() < 8


@pytest.mark.parametrize("image_size", [None, 12])
def test_data_set_beyond_the_memory_share_is_streamed_with_the_same_pixels(image_size):
    held = read("dataset", image_size=image_size).train
    streamed = read("dataset", image_size=image_size, memory_share=1e-12).train

    assert isinstance(streamed, StreamedSplit)
    assert streamed.input_shape == held.input_shape
    assert torch.equal(streamed.labels, held.labels)
    ((images, labels),) = streamed.batches([torch.arange(40)])
    assert torch.equal(images, held.inputs)
    assert torch.equal(labels, held.labels)


# --- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "kwargs", "message"),
    [
        ("without_train", {}, r"^mine.without_train must return a mapping with 'train', got test"),
        ("nothing", {}, r"^a split of mine.nothing must be .*, got NoneType"),
        ("misnamed", {}, r"no split is called 'valdation': did you mean validation"),
        ("a_list", {}, r"must return a mapping with 'train' .*, got list"),
        ("number", {}, r"must be \(inputs, labels\) or a map-style data set, got int"),
        ("fails", {}, r"^mine.fails failed with FileNotFoundError: data.csv is gone: mend it"),
        ("arrays", {"depth": 3}, r"failed with TypeError: .*unexpected keyword argument 'depth'"),
        ("text", {}, r"^inputs must be an array or tensor of numbers, got ndarray"),
        ("single", {}, r"inputs must have shape \(N, …\), .* got \(40,\) and \(40,\): reshape"),
        ("arrays", {"labels": [0, 1]}, r"got \(40, 6, 5, 3\) and \(2,\): reshape"),
        ("arrays", {"labels": [0.5] * 40}, r"^labels must be whole numbers from 0, got 0.5 among"),
        ("dataset", {"count": 0}, r"^a data set of make_splits is empty"),
        ("dataset", {"kind": "names"}, r"^item 0 .* no pair .*\(ValueError: invalid literal"),
        ("dataset", {"kind": "broken"}, r"^item 7 of a data set .*\(ValueError: lost\): mend"),
        (
            "dataset",
            {"kind": "sizes"},
            r"differ in shape \(the first is \(3, 6, 5\), number 7 \(3, 5, 5\)\): set dataset.im",
        ),
    ],
)
def test_unfit_return_values_are_refused_in_one_sentence(function, kwargs, message):
    with pytest.raises(DataError, match=message) as refused:
        read(function, **kwargs)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("labels", [[-1, *[0, 1, 2] * 13], [0] * 40])
def test_labels_that_make_no_classes_are_refused(labels):
    config = CustomDatasetConfig(target="mine.arrays", kwargs={"labels": labels})

    with pytest.raises(DataError, match=r"the train split has -1 to 2|at least 2 classes"):
        load_splits(config, seed=0)


def test_labels_outside_the_named_classes_are_refused():
    with pytest.raises(DataError, match=r"3 classes run from 0 to 2, the train split has 0 to 3"):
        load_splits(CustomDatasetConfig(target="mine.few_classes"), seed=0)


@pytest.mark.parametrize("targets", [False, True])
def test_broken_item_of_a_streamed_data_set_is_said_in_one_sentence(targets):
    # without targets each item is read for its label at once, with them in a loader's process
    with pytest.raises(DataError, match=r"^item 7 of a data set .*\(ValueError: lost\)") as fault:
        source = read("dataset", kind="broken", targets=targets, memory_share=1e-12)
        list(source.train.batches([torch.arange(40)]))
    assert "\n" not in str(fault.value)


def test_unknown_function_is_refused_with_the_closest_name():
    with pytest.raises(ConfigError, match=r"dataset.target=mine.array: .* did you mean arrays"):
        read("array")
