"""What pretrained weights expect of the images that they are given."""

import torch
from torch import Tensor

from greensweep.config.schema_model import ModelConfig, NamedModelConfig
from greensweep.data import Splits

_BYTE = 255.0


def expected_statistics(config: ModelConfig, splits: Splits) -> tuple[Tensor, Tensor] | None:
    """Return what a network expects its inputs to be normalised by; None where by nothing.

    That is the training split's own mean and deviation, but for pretrained weights.
    """
    known = pretrained_statistics(config, splits.input_shape, splits.train.input_dtype)
    return splits.statistics if known is None else known


def pretrained_statistics(
    config: ModelConfig, input_shape: tuple[int, ...], dtype: torch.dtype
) -> tuple[Tensor, Tensor] | None:
    """Return the mean and deviation per channel that a network's own weights were trained with.

    Both float32 of shape (3, 1, 1), in the units of byte images. None where nothing is pretrained,
    or the images are not three channels of bytes, of which alone it is known what they mean.
    """
    if not isinstance(config, NamedModelConfig) or not config.pretrained:
        return None
    if input_shape[0] != 3 or dtype != torch.uint8:
        return None
    if config.library == "timm":
        from timm.models import get_pretrained_cfg

        known = get_pretrained_cfg(config.name, allow_unregistered=True)
        if known is None:
            return None
        mean, deviation = known.mean, known.std
    else:
        from torchvision import models

        presets = models.get_model_weights(config.name).DEFAULT.transforms()
        mean, deviation = presets.mean, presets.std
    return tuple(_BYTE * torch.tensor(each).view(-1, 1, 1) for each in (mean, deviation))  # type: ignore[return-value]
