"""From arrays and tensors of any layout to a split in memory."""

import logging
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from greensweep.data.split import TensorSplit
from greensweep.errors import DataError, first_line
from greensweep.resources import fits_in_memory

log = logging.getLogger(__name__)

Layout = Literal["auto", "NCHW", "NHWC"]

_RESIZE_BATCH = 4096
_USUAL_CHANNELS = (1, 3, 4)


def tensor_split(
    images: Any, labels: Any, image_size: int | None, layout: Layout = "auto"
) -> TensorSplit:
    """Make a split from arrays or tensors.

    Args:
        images: shape (N, H, W), (N, H, W, C) or (N, C, H, W); uint8 is kept, any other type
            becomes float32.
        labels: shape (N,), whole numbers from 0.
        image_size: height and width to resize to, pixels; None keeps the size.
        layout: which of the two shapes of rank 4 it is.

    Raises:
        DataError: shapes or types do not fit, or a shape may be of either layout.
    """
    images, labels = as_tensor(images, "images"), class_indices(labels)
    if images.ndim not in (3, 4) or len(images) != len(labels):
        raise DataError(
            "images must have shape (N, H, W), (N, H, W, C) or (N, C, H, W) and labels (N,), got "
            f"{tuple(images.shape)} and {tuple(labels.shape)}: reshape them in make_splits"
        )
    if images.ndim == 3:
        images = images.unsqueeze(1)
    elif channels_last(images.shape[1:], layout):
        images = images.permute(0, 3, 1, 2)
    return TensorSplit(prepared(images, image_size), labels)


def channels_last(shape: Sequence[int], layout: Layout) -> bool:
    """Tell whether images of `shape`, three numbers, have their channels last.

    Two rules tell: an image has 1, 3 or 4 channels, and is square. Where neither does, or each
    tells another, the shape is refused; where the second does alone, a warning tells.

    Raises:
        DataError: the shape may be (C, H, W) or (H, W, C).
    """
    if layout != "auto":
        return layout == "NHWC"
    first, middle, last = shape
    usual = {name for name, size in (("NCHW", first), ("NHWC", last)) if size in _USUAL_CHANNELS}
    square = {name for name, size in (("NCHW", last), ("NHWC", first)) if size == middle}
    told = usual & square if usual and square else usual | square
    if len(told) != 1:
        raise DataError(
            f"images of shape {tuple(shape)} may be (C, H, W) or (H, W, C): "
            "set dataset.layout=NCHW or NHWC"
        )
    (found,) = told
    if not usual:
        channels = first if found == "NCHW" else last
        log.warning(
            "Images of shape %s are read as %s, for then they are square: %d channels. "
            "dataset.layout says otherwise.",
            tuple(shape),
            found,
            channels,
        )
    return found == "NHWC"


def prepared(images: Tensor, image_size: int | None) -> Tensor:
    """Return images (N, C, H, W) as a split holds them: uint8 or float32, of `image_size`."""
    if images.dtype != torch.uint8:
        if images.is_complex():
            raise DataError(
                "images hold complex numbers, of which only one part would be read: make them "
                "real in make_splits, each part a channel, say"
            )
        images = images.float()
    if image_size is not None:
        images = resize(images, image_size)
    return images.contiguous()


def as_tensor(values: Any, what: str) -> Tensor:
    """Return `values` as a tensor on the CPU, copied only where torch cannot share memory.

    Raises:
        DataError: they are no numbers.
    """
    if isinstance(values, Tensor):
        return values.detach().cpu()
    try:
        array = np.asarray(values)
        if not array.flags.writeable or any(stride < 0 for stride in array.strides):
            array = array.copy()
        return torch.as_tensor(array)
    except (TypeError, ValueError, RuntimeError) as error:
        raise DataError(
            f"{what} must be an array or tensor of numbers, got {type(values).__name__} "
            f"({first_line(error)}): convert them in make_splits"
        ) from error


def class_indices(labels: Any) -> Tensor:
    """Return labels as class indices, int64, shape (N,).

    Raises:
        DataError: they are no whole numbers, or more than one for each image.
    """
    labels = as_tensor(labels, "labels")
    if labels.ndim != 1:
        raise DataError(
            f"labels must have shape (N,), a class number for each image, got "
            f"{tuple(labels.shape)}: take the argmax of one-hot labels, or reshape them"
        )
    whole: Tensor = labels.long()
    if not torch.equal(whole.to(labels.dtype), labels):
        wrong = labels[whole.to(labels.dtype) != labels][0].item()
        raise DataError(
            f"labels must be whole numbers from 0, got {wrong} among them: "
            "number the classes in make_splits"
        )
    return whole


def resize(images: Tensor, image_size: int) -> Tensor:
    """Resize images (N, C, H, W) to `image_size` squared: bilinear, with antialiasing.

    Raises:
        DataError: the memory that is free cannot hold them.
    """
    if images.shape[-2:] == (image_size, image_size):
        return images
    size_bytes = images.shape[0] * images.shape[1] * image_size**2 * images.element_size()
    if not fits_in_memory(size_bytes, 0.5):  # a part of them is there twice
        raise DataError(
            f"{len(images)} images of {image_size}x{image_size} pixels take {size_bytes / 1e9:.3g} "
            "GB, more than the memory that is free: set a smaller dataset.image_size"
        )
    resized = images.new_empty((len(images), images.shape[1], image_size, image_size))
    for start in range(0, len(images), _RESIZE_BATCH):
        part = slice(start, start + _RESIZE_BATCH)
        resized[part] = interpolate(
            images[part], size=(image_size, image_size), mode="bilinear", antialias=True
        )
    return resized
