"""From raw batches to what the network sees: normalised, augmented, in the right layout."""

from collections.abc import Sequence

import torch
from torch import Tensor

from greensweep.config.schema import TrainingConfig
from greensweep.data import is_image
from greensweep.errors import ConfigError


class Normalise:
    """Turn raw inputs into float32 with the training split's mean 0 and deviation 1.

    Args:
        statistics: mean and deviation per channel, shape (C, 1, …), in raw units; None leaves
            inputs what they are, floats or, as int64, ids.
    """

    def __init__(
        self, statistics: tuple[Tensor, Tensor] | None, device: torch.device, memory_format: str
    ) -> None:
        self._shift_and_scale = None
        if statistics is not None:
            mean, deviation = statistics
            self._shift_and_scale = mean.to(device), deviation.reciprocal().to(device)
        self.device = device
        self.layout = (
            torch.channels_last if memory_format == "channels_last" else torch.contiguous_format
        )

    def __call__(self, inputs: Tensor) -> Tensor:
        """Return inputs (B, …) on the device; the argument stays as it was."""
        inputs = inputs.to(self.device, non_blocking=True)
        if self._shift_and_scale is None:
            return inputs.to(
                torch.float32 if inputs.is_floating_point() else torch.int64, copy=True
            )
        mean, scale = self._shift_and_scale
        floats = inputs.to(torch.float32, memory_format=self.layout, copy=True)
        return floats.sub_(mean).mul_(scale)


def check_for_images(training: TrainingConfig, input_shape: Sequence[int]) -> None:
    """Refuse what is done to images alone.

    Raises:
        ConfigError: the inputs are no images.
    """
    if is_image(input_shape):
        return
    usual = TrainingConfig()
    for name in ("flip", "crop_padding", "cutout_size", "memory_format"):
        asked, plain = getattr(training, name), getattr(usual, name)
        if asked != plain:
            raise ConfigError(
                f"training.{name}={str(asked).lower()} is for images, and inputs of shape "
                f"{tuple(input_shape)} are none: set training.{name}={str(plain).lower()}"
            )


class Augmentation:
    """Random flips, crops and cutout, drawn anew for each image (DeVries and Taylor 2017)."""

    def __init__(self, options: TrainingConfig) -> None:
        self.flip = options.flip
        self.crop_padding, self.cutout_size = options.crop_padding, options.cutout_size

    def __call__(self, images: Tensor) -> Tensor:
        """Return augmented images (B, C, H, W); zero, the training mean, fills what is blank."""
        if self.flip:
            mirrored = torch.rand(len(images), 1, 1, 1, device=images.device) < 0.5
            images = torch.where(mirrored, images.flip(-1), images)
        if self.crop_padding:
            images = self._crop(images)
        if self.cutout_size:
            images = images.masked_fill(self._cutout_mask(images), 0)
        return images

    def _crop(self, images: Tensor) -> Tensor:
        count, channels, height, width = images.shape
        device, padding = images.device, self.crop_padding
        padded = torch.nn.functional.pad(images, [padding] * 4)
        shifts = torch.randint(0, 2 * padding + 1, (2, count, 1), device=device)
        rows = shifts[0] + torch.arange(height, device=device)
        columns = shifts[1] + torch.arange(width, device=device)
        return padded[
            torch.arange(count, device=device).view(-1, 1, 1, 1),
            torch.arange(channels, device=device).view(1, -1, 1, 1),
            rows.view(count, 1, height, 1),
            columns.view(count, 1, 1, width),
        ]

    def _cutout_mask(self, images: Tensor) -> Tensor:
        count, _, height, width = images.shape
        device, size = images.device, self.cutout_size
        top = torch.randint(0, height, (count, 1), device=device) - size // 2
        left = torch.randint(0, width, (count, 1), device=device) - size // 2
        row, column = torch.arange(height, device=device), torch.arange(width, device=device)
        rows = (row >= top) & (row < top + size)
        columns = (column >= left) & (column < left + size)
        return (rows.unsqueeze(2) & columns.unsqueeze(1)).unsqueeze(1)
