"""Batches as the network sees them: normalised, augmented, in the asked-for layout."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from greensweep.config import schema
from greensweep.config.schema import TrainConfig
from greensweep.data import Splits, TensorSplit
from greensweep.training import Normalise
from greensweep.training.images import Augmentation

CPU = torch.device("cpu")
NOTHING = schema.TrainingConfig()


def colourful(count: int = 50) -> Tensor:
    """uint8 images whose channels differ in mean and deviation."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(count, 3, 6, 5, generator=generator)
    scale = torch.tensor([5.0, 20.0, 40.0]).view(3, 1, 1)
    centre = torch.tensor([30.0, 128.0, 200.0]).view(3, 1, 1)
    return (noise * scale + centre).clamp(0, 255).to(torch.uint8)


def normaliser(images: Tensor, memory_format: str = "contiguous") -> Normalise:
    split = TensorSplit(images, torch.zeros(len(images)).long())
    return Normalise(Splits(split, split, split, ("a", "b")).statistics, CPU, memory_format)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_normalised_images_have_mean_0_and_deviation_1_in_each_channel(dtype: torch.dtype) -> None:
    images = colourful().to(dtype)
    seen = normaliser(images)(images)
    assert seen.dtype == torch.float32
    assert seen.mean(dim=(0, 2, 3)) == pytest.approx([0, 0, 0], abs=1e-5)
    assert seen.std(dim=(0, 2, 3), correction=0) == pytest.approx([1, 1, 1], abs=1e-5)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
@pytest.mark.parametrize("memory_format", ["contiguous", "channels_last"])
def test_normalising_leaves_its_argument_alone(dtype: torch.dtype, memory_format: str) -> None:
    images = colourful().to(dtype)
    before = images.clone()
    normaliser(images, memory_format)(images)
    assert torch.equal(images, before)


def test_a_channel_without_variation_stays_finite() -> None:
    images = torch.full((10, 1, 4, 4), 7, dtype=torch.uint8)
    assert torch.equal(normaliser(images)(images), torch.zeros(10, 1, 4, 4))


def test_the_memory_format_is_a_layout_and_changes_no_value() -> None:
    images = colourful()
    plain = normaliser(images, "contiguous")(images)
    last = normaliser(images, "channels_last")(images)
    assert plain.is_contiguous()
    assert last.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(plain, last)


# --- augmentation -------------------------------------------------------------------------------


def distinct(count: int, height: int = 8, width: int = 6) -> Tensor:
    """Equal images of which no two pixels are alike, none of them 0."""
    pixels = torch.arange(1.0, 2 * height * width + 1).view(1, 2, height, width)
    return pixels.repeat(count, 1, 1, 1)


def augmented(images: Tensor, **options: int | bool) -> Tensor:
    torch.manual_seed(0)
    return Augmentation(schema.TrainingConfig(**options))(images)


def test_nothing_is_augmented_by_default(config: Callable[..., TrainConfig]) -> None:
    images = distinct(4)
    assert Augmentation(config().training)(images) is images


@pytest.mark.parametrize(
    "options", [{"flip": True}, {"crop_padding": 2}, {"cutout_size": 3}], ids=str
)
def test_augmenting_leaves_its_argument_alone(options: dict[str, int]) -> None:
    images = distinct(20)
    seen = augmented(images, **options)
    assert torch.equal(images, distinct(20))
    assert seen.shape == images.shape
    assert not torch.equal(seen, images)


def test_flip_mirrors_about_half_of_the_images_from_left_to_right() -> None:
    images = distinct(400)
    seen = augmented(images, flip=True)
    kept = (seen == images).all(dim=(1, 2, 3))
    mirrored = (seen == images.flip(-1)).all(dim=(1, 2, 3))
    assert torch.equal(kept, ~mirrored)
    assert 160 <= int(mirrored.sum()) <= 240


def shift_of(image: Tensor, original: Tensor, padding: int) -> tuple[int, int]:
    """How far down and right the window lay in the padded original."""
    padded = torch.nn.functional.pad(original, [padding] * 4)
    height, width = original.shape[1:]
    places = range(2 * padding + 1)
    (found,) = [
        (down, right)
        for down in places
        for right in places
        if torch.equal(padded[:, down : down + height, right : right + width], image)
    ]
    return found


def test_crop_shifts_each_image_by_itself_and_fills_with_the_mean() -> None:
    images = distinct(300)
    seen = augmented(images, crop_padding=2)
    assert seen.shape == images.shape
    shifts = [shift_of(image, images[0], 2) for image in seen]
    assert set(shifts) == {(down, right) for down in range(5) for right in range(5)}


def test_crop_keeps_the_colours_of_a_pixel_together() -> None:
    images = torch.cat([distinct(50), -distinct(50)], dim=1)
    seen = augmented(images, crop_padding=3)
    assert torch.equal(seen[:, :2], -seen[:, 2:])


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5])
def test_cutout_blanks_a_square_of_its_side_less_at_the_edges(size: int) -> None:
    images = distinct(400, height=9, width=9)
    seen = augmented(images, cutout_size=size)
    blank = seen == 0
    assert torch.equal(blank[:, 0], blank[:, 1])
    assert torch.equal(seen[~blank], images[~blank])
    mask = blank[:, 0]
    rows, columns = mask.any(dim=2), mask.any(dim=1)
    assert torch.equal(mask, rows.unsqueeze(2) & columns.unsqueeze(1))
    for lines in (rows, columns):
        at_edge = lines[:, 0] | lines[:, -1]
        assert (lines.sum(dim=1)[~at_edge] == size).all()
        assert (lines.sum(dim=1) <= size).all()
        assert (lines.sum(dim=1) >= (size + 1) // 2).all()
    inside = ~(rows[:, 0] | rows[:, -1] | columns[:, 0] | columns[:, -1])
    assert inside.any()
    assert (mask.sum(dim=(1, 2))[inside] == size * size).all()


def test_cutout_is_centred_on_any_pixel_and_drawn_for_each_image() -> None:
    blank = augmented(distinct(2000, height=5, width=5), cutout_size=1)[:, 0] == 0
    assert (blank.sum(dim=(1, 2)) == 1).all()
    assert (blank.sum(dim=0) > 40).all()


def test_cutout_larger_than_the_image_blanks_all_of_it() -> None:
    assert (augmented(distinct(10), cutout_size=40) == 0).all()


def test_the_seed_fixes_what_is_drawn() -> None:
    options = {"flip": True, "crop_padding": 2, "cutout_size": 3}
    assert torch.equal(augmented(distinct(30), **options), augmented(distinct(30), **options))
