"""Map-style data sets: random transforms, mapped labels, images that are unlike each other."""

import numpy as np
import pytest
import torch
from image_trees import write_images
from PIL import Image
from returned import read, warnings
from torch.utils.data import Dataset, Subset
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from greensweep.data import StreamedSplit, TensorSplit
from greensweep.data.manifest import write_manifest
from greensweep.errors import DataError

PIXELS = np.random.default_rng(0).integers(0, 256, (60, 6, 5, 3), dtype=np.uint8)
LABELS = np.arange(60) % 6
TINY = 1e-12  # a share of memory that no data set fits


class Pictures(Dataset):
    """Pictures of six classes, as torchvision's data sets give them."""

    def __init__(self, transform=None, target_transform=None, pixels=PIXELS, labels=LABELS):
        self.transform, self.target_transform = transform, target_transform
        self.pixels, self.targets = pixels, labels.tolist()

    def __len__(self):
        return len(self.pixels)

    def __getitem__(self, index):
        image, label = Image.fromarray(self.pixels[index]), self.targets[index]
        if self.transform is not None:
            image = self.transform(image)
        if self.target_transform is not None:
            label = self.target_transform(label)
        return image, label


class Made(Dataset):
    """Any images and labels."""

    def __init__(self, images, labels=LABELS):
        self.images, self.labels = images, labels

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        return self.images[index], self.labels[index]


def whole(split):
    ((images, labels),) = split.batches([torch.arange(len(split))])
    return images, labels


# --- random transforms --------------------------------------------------------------------------

RANDOM = {
    "flip": v2.RandomHorizontalFlip(),
    "seldom": v2.RandomErasing(p=0.25),
    "numpy": lambda image: np.roll(np.asarray(image), np.random.randint(5), axis=0),
    "noise": v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32), v2.GaussianNoise()]),
}
RANDOM["seldom"] = v2.Compose([v2.PILToTensor(), RANDOM["seldom"]])


@pytest.mark.parametrize("transform", RANDOM.values(), ids=RANDOM)
def test_random_transforms_stay_random_in_training_alone(transform):
    plain = Pictures()

    splits = read(train=Pictures(transform), validation=plain, test=plain)

    assert isinstance(splits.train, StreamedSplit)
    assert not torch.equal(whole(splits.train)[0], whole(splits.train)[0])
    assert whole(splits.train)[1].tolist() == LABELS.tolist()
    for held_out in (splits.validation, splits.test):
        np.testing.assert_array_equal(whole(held_out)[0], PIXELS.transpose(0, 3, 1, 2))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, r"the train .* gives another image .* and validation and test images would be held"),
        ({"test": Pictures()}, r" and validation images would be held out of it: return 'validat"),
        (
            {"test": Pictures(RANDOM["flip"]), "validation": Pictures()},
            r"^the test data set of .* no two evaluations agree: leave it out there",
        ),
    ],
    ids=["nothing", "a test set", "an augmented test set"],
)
@pytest.mark.parametrize("memory_share", [0.5, TINY])
def test_images_are_never_held_out_of_random_ones(given, message, memory_share):
    with pytest.raises(DataError, match=message):
        read(train=Pictures(RANDOM["flip"]), **given, memory_share=memory_share)


@pytest.mark.parametrize("memory_share", [0.5, TINY])
def test_data_sets_of_unlike_ranges_are_told(caplog, memory_share):
    shares = v2.Compose([v2.RandomHorizontalFlip(), v2.ToImage(), v2.ToDtype(torch.float32, True)])

    read(train=Pictures(shares), validation=Pictures(), test=Pictures(), memory_share=memory_share)

    assert [message.partition(": give")[0] for message in warnings(caplog)] == [
        f"{part} pixels reach 255 and train pixels 1" for part in ("validation", "test")
    ]


def test_random_floats_may_be_evaluated_on_tensors_of_floats():
    held_out = PIXELS / 255, LABELS

    splits = read(train=Pictures(RANDOM["noise"]), validation=held_out, test=held_out)

    assert isinstance(splits.validation, TensorSplit)


def test_fixed_transforms_are_held_in_memory():
    splits = read(train=Pictures(v2.Compose([v2.CenterCrop(4), v2.PILToTensor()])))

    assert isinstance(splits.train, TensorSplit)
    assert splits.input_shape == (3, 4, 4)


def test_random_training_repeats_with_its_seed():
    splits = read(train=Pictures(RANDOM["flip"]), validation=Pictures(), test=Pictures())

    torch.manual_seed(3)
    first = whole(splits.train)[0]
    torch.manual_seed(3)
    assert torch.equal(whole(splits.train)[0], first)


def test_statistics_of_random_images_are_repeated_and_leave_the_generators_alone():
    first, second = (
        read(train=Pictures(RANDOM["flip"]), validation=Pictures(), test=Pictures())
        for _ in range(2)
    )
    torch.manual_seed(1)
    before = torch.get_rng_state()

    mean, deviation = first.statistics

    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert torch.equal(second.statistics[0], mean)
    assert torch.equal(second.statistics[1], deviation)


def test_manifest_of_random_images_is_equal_when_the_data_are(tmp_path):
    splits = read(train=Pictures(RANDOM["numpy"]), validation=Pictures(), test=Pictures())

    first, second = (
        write_manifest(splits, "mine", 0, tmp_path / name).read_text() for name in "ab"
    )

    assert first == second


# --- labels -------------------------------------------------------------------------------------


MAPPINGS = {
    "half": lambda target: target // 2,
    "table": [2, 2, 1, 1, 0, 0].__getitem__,
    "tensor": lambda target: torch.tensor(target % 3),
}


@pytest.mark.parametrize("mapping", MAPPINGS.values(), ids=MAPPINGS)
@pytest.mark.parametrize("memory_share", [0.5, TINY])
def test_mapped_targets_are_read_alike_in_memory_and_streamed(mapping, memory_share):
    train = Pictures(target_transform=mapping)

    splits = read(train=train, validation=train, test=train, memory_share=memory_share)

    assert splits.classes == ("0", "1", "2")
    expected = [int(mapping(target)) for target in LABELS.tolist()]
    assert splits.train.labels.tolist() == expected
    assert whole(splits.train)[1].tolist() == expected


def test_targets_of_a_large_set_are_read_once_for_each_class():
    read_items = []

    class Counted(Pictures):
        def __getitem__(self, index):
            read_items.append(index)
            return super().__getitem__(index)

    large = Counted(pixels=np.repeat(PIXELS, 50, axis=0), labels=np.repeat(LABELS, 50))

    splits = read(train=large, memory_share=TINY)

    assert len(splits.train) + len(splits.validation) + len(splits.test) == 3000
    assert len(read_items) < 100


@pytest.mark.parametrize(
    "targets",
    [None, np.zeros((60, 2)), [1, 2], [[1], [1, 2]] * 30, {"a": 1}],
    ids=["none", "of several", "too few", "ragged", "a mapping"],
)
def test_targets_of_another_kind_are_left_alone(targets):
    train = Pictures()
    made = Made([train[index][0] for index in range(60)])
    made.targets = targets

    splits = read(train=made, validation=made, test=made, memory_share=TINY)

    assert splits.train.labels.tolist() == LABELS.tolist()


def test_text_targets_mean_what_their_items_say():
    made = Made(PIXELS)
    made.targets = np.array(["f", "e", "d", "c", "b", "a"])[LABELS].tolist()

    splits = read(train=made, validation=made, test=made, memory_share=TINY)

    assert splits.train.labels.tolist() == LABELS.tolist()


def test_items_that_leave_their_targets_are_refused_when_met():
    made = Made(PIXELS)
    made.targets = LABELS.tolist()
    made.labels = LABELS.copy()
    made.labels[59] = 0

    with pytest.raises(DataError, match=r"item 59 .* has class 0, where its `targets` make it 5"):
        whole(read(train=made, validation=made, test=made, memory_share=TINY).train)


def test_fractions_are_no_classes():
    with pytest.raises(DataError, match=r"^item 0 .*\(ValueError: its class is 0.7\)"):
        read(train=Made(PIXELS, [0.7] * 60))


def folders(root, classes):
    return write_images(
        root, {f"{name}/{number}.png": PIXELS[number] for name in classes for number in range(4)}
    )


def test_image_folders_of_unlike_classes_are_refused(tmp_path):
    train = ImageFolder(folders(tmp_path / "train", "abc"))
    test = ImageFolder(folders(tmp_path / "test", "ac"))

    with pytest.raises(DataError, match=r"the test .* numbers the classes a, c, and the train one"):
        read(train=train, test=test)

    right = ImageFolder(tmp_path / "test", target_transform=[0, 2].__getitem__)
    assert read(train=train, validation=train, test=right).test.labels.tolist() == [0] * 4 + [2] * 4


def test_a_subset_of_classes_has_to_be_numbered_anew(tmp_path):
    few = Subset(Pictures(), [index for index in range(60) if LABELS[index] in (1, 4)])

    with pytest.raises(DataError, match=r"are 1, 4, never 0, 2, 3: number the classes from 0"):
        read(train=few)


# --- images -------------------------------------------------------------------------------------


def mixed(other, at=17):
    images = [Image.fromarray(pixels) for pixels in PIXELS]
    images[at] = other
    return Made(images)


@pytest.mark.parametrize("memory_share", [0.5, TINY])
def test_grey_and_coloured_pictures_are_not_mixed(memory_share):
    made = mixed(Image.fromarray(PIXELS[0, ..., 0]))

    message = r"differ in channels \(the first has 3, number 17 1\): convert all to colour"
    with pytest.raises(DataError, match=message):
        whole(read(train=made, validation=made, test=made, memory_share=memory_share).train)


def test_bytes_and_floats_are_not_mixed():
    images = [pixels if index != 17 else pixels / 255 for index, pixels in enumerate(PIXELS)]

    with pytest.raises(DataError, match=r"differ in type \(the first is torch.uint8, number 17 to"):
        read(train=Made(images))


@pytest.mark.parametrize("memory_share", [0.5, TINY])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_pixels_that_are_not_finite_are_named_by_their_item(value, memory_share):
    images = PIXELS.astype(np.float32)
    images[17, 0, 0, 0] = value

    with pytest.raises(DataError, match=r"^item 17 of a data set .* holds NaN or infinite pixels"):
        made = Made(images)
        _ = read(train=made, validation=made, test=made, memory_share=memory_share).statistics


def test_deep_pictures_keep_their_upper_8_bits():
    deep = (PIXELS[..., 0].astype(np.uint16) << 8) + 99

    train = read(train=Made([Image.fromarray(each) for each in deep]), test=None).train

    assert train.inputs.dtype == torch.uint8
    assert set(train.inputs.unique().tolist()) <= set(PIXELS[..., 0].ravel().tolist())


def test_pictures_of_four_pixels_in_height_are_pictures_still(caplog):
    small = PIXELS[:, :4, :4]

    train = Made([Image.fromarray(each) for each in small])
    splits = read(train=train, validation=train, test=train)

    np.testing.assert_array_equal(splits.train.inputs, small.transpose(0, 3, 1, 2))
    assert warnings(caplog) == []


def test_layout_is_told_once_for_images_of_any_size():
    images = [np.resize(PIXELS[index], (5 + index % 5, 7, 3)) for index in range(60)]

    assert read(train=Made(images), image_size=8).input_shape == (3, 8, 8)


@pytest.mark.parametrize("orientation", [3, 6])
def test_photographs_of_a_data_set_are_turned_upright_once(tmp_path, orientation):
    picture = np.zeros((8, 8, 3), np.uint8)
    picture[:4] = 200
    turned = np.rot90(picture, {3: 2, 6: 1}[orientation])
    exif = Image.Exif()
    exif[0x0112] = orientation
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    for folder in "ab":
        for number in range(4):
            Image.fromarray(turned).save(tmp_path / folder / f"{number}.png", exif=exif)

    train = ImageFolder(tmp_path)

    images = read(train=train, validation=train, test=train).train.inputs
    np.testing.assert_array_equal(images[0], picture.transpose(2, 0, 1))
