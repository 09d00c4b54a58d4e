"""From arrays and tensors of any shape to a split in memory."""

import logging
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from greensweep.data.split import Targets, TensorSplit, is_image
from greensweep.errors import DataError, first_line, rounded
from greensweep.resources import fits_in_memory

log = logging.getLogger(__name__)

Layout = Literal["auto", "NCHW", "NHWC", "NHW", "NCL"]

_RESIZE_BATCH = 4096
_USUAL_CHANNELS = (1, 3, 4)
# Of whole numbers that are no pixels: what torch indexes by; unsigned ones it hardly computes with.
_IDS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)


def tensor_split(
    inputs: Any,
    labels: Any,
    image_size: int | None,
    layout: Layout = "auto",
    targets: Targets = "classes",
) -> TensorSplit:
    """Make a split from arrays or tensors.

    Args:
        inputs: images of shape (N, H, W), (N, H, W, C) or (N, C, H, W), of which uint8 is kept and
            any other type becomes float32; or anything else of shape (N, …), of which whole
            numbers stay what they are, token ids say, and others become float32.
        labels: class numbers (N,); 0 and 1 for each of K labels (N, K); values (N,) or (N, K).
        image_size: height and width to resize images to, pixels; None keeps the size.
        layout: which axes are which.

    Raises:
        DataError: shapes or types do not fit, or a shape may be of either layout.
    """
    inputs, labels = as_tensor(inputs, "inputs"), as_labels(labels, targets)
    if inputs.ndim < 2 or len(inputs) != len(labels):
        raise DataError(
            "inputs must have shape (N, …), images (N, H, W), (N, H, W, C) or (N, C, H, W), and "
            f"labels as many rows, got {tuple(inputs.shape)} and {tuple(labels.shape)}: reshape "
            "them in make_splits"
        )
    layout = layout_of(inputs.shape[1:], inputs.dtype, layout, image_size)
    return TensorSplit(prepared(channels_first(inputs, layout), image_size), labels)


def layout_of(
    shape: Sequence[int], dtype: torch.dtype, layout: Layout, image_size: int | None
) -> Layout:
    """Return the layout of inputs of `shape`, which has no N; `auto` where they are no images.

    Two axes are a grey image where it is square, of bytes, or to be resized; else a signal.

    Raises:
        DataError: the shape may be of either layout, or is not of the one that is set.
    """
    axes = ", ".join(map(str, shape))
    if layout == "auto":
        if len(shape) == 3:
            return "NHWC" if _channels_last(shape) else "NCHW"
        grey = dtype == torch.uint8 or image_size is not None or shape[0] == shape[-1]
        layout = "NHW" if len(shape) == 2 and grey else "auto"
    elif layout in ("NCHW", "NHWC") and len(shape) == 2:
        layout = "NHW"
    elif len(shape) != len(layout) - 1:
        raise DataError(
            f"dataset.layout={layout} has {len(layout)} axes, and inputs of shape "
            f"(N, {axes}) have {1 + len(shape)}: set dataset.layout=auto"
        )
    if image_size is not None and layout in ("auto", "NCL"):
        raise DataError(
            f"dataset.image_size resizes images, and inputs of shape (N, {axes}) are none: set "
            "dataset.image_size=null"
        )
    return layout


def _channels_last(shape: Sequence[int]) -> bool:
    """Tell whether images of `shape`, three numbers, have their channels last.

    Two rules tell: an image has 1, 3 or 4 channels, and is square. Where neither does, or each
    tells another, the shape is refused; where the second does alone, a warning tells.
    """
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
            f"Images of shape {tuple(shape)} are read as {found}, for then they are square: "
            f"{channels} channels. dataset.layout says otherwise."
        )
    return found == "NHWC"


def channels_first(inputs: Tensor, layout: Layout) -> Tensor:
    """Return images as (N, C, H, W), and other inputs (N, …) as they are."""
    if layout == "NHW":
        return inputs.unsqueeze(1)
    return inputs.permute(0, 3, 1, 2) if layout == "NHWC" else inputs


def prepared(inputs: Tensor, image_size: int | None) -> Tensor:
    """Return inputs (N, …) as a split holds them: of its types, images of `image_size`."""
    if inputs.is_complex():
        raise DataError(
            "inputs hold complex numbers, of which only one part would be read: make them real in "
            "make_splits, each part a channel, say"
        )
    if is_image(inputs.shape[1:]):
        if inputs.dtype != torch.uint8:
            inputs = inputs.float()
        if image_size is not None:
            inputs = resize(inputs, image_size)
    elif inputs.is_floating_point() or inputs.dtype == torch.bool:
        inputs = inputs.float()
    elif inputs.dtype not in _IDS:
        inputs = inputs.long()
    return inputs.contiguous()


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


def as_labels(labels: Any, targets: Targets) -> Tensor:
    """Return labels as a split holds them, by what is learnt of them.

    Raises:
        DataError: they are of another shape, or no such numbers.
    """
    labels = as_tensor(labels, "labels")
    if targets == "classes":
        return _class_indices(labels)
    if targets == "labels":
        if labels.ndim != 2:
            raise DataError(
                "labels must have shape (N, K), 0 or 1 for each of K labels of a sample, got "
                f"{tuple(labels.shape)}: reshape them in make_splits"
            )
        wrong = labels[(labels != 0) & (labels != 1)]
        if len(wrong):
            raise DataError(
                f"labels must be 0 or 1, got {wrong[0].item():g} among them: give each of a "
                "sample's labels a column of its own"
            )
    elif labels.ndim not in (1, 2):
        raise DataError(
            f"values must have shape (N,) or (N, K), got {tuple(labels.shape)}: reshape them in "
            "make_splits"
        )
    values: Tensor = labels.float()
    finite = values.isfinite().reshape(len(values), -1).all(dim=1)
    if not finite.all():
        raise DataError(
            f"{int((~finite).sum())} of {len(values)} values are NaN or infinite, the first is "
            f"number {int((~finite).nonzero()[0])}: replace them, or leave these samples out"
        )
    return values


def _class_indices(labels: Tensor) -> Tensor:
    if labels.ndim != 1:
        raise DataError(
            f"labels must have shape (N,), a class number for each sample, got "
            f"{tuple(labels.shape)}: take the argmax of one-hot labels, or reshape them"
        )
    whole: Tensor = labels.long()
    wrong = labels[whole.to(labels.dtype) != labels]
    if len(wrong):
        raise DataError(
            f"labels must be whole numbers from 0, got {wrong[0].item()} among them: "
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
            f"{len(images)} images of {image_size}x{image_size} pixels take "
            f"{rounded(size_bytes / 1e9)} GB, more than the memory that is free: set a smaller "
            "dataset.image_size"
        )
    resized = images.new_empty((len(images), images.shape[1], image_size, image_size))
    for start in range(0, len(images), _RESIZE_BATCH):
        part = slice(start, start + _RESIZE_BATCH)
        resized[part] = interpolate(
            images[part], size=(image_size, image_size), mode="bilinear", antialias=True
        )
    return resized
