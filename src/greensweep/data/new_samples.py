"""Samples that a kept model has not seen: rows of a table, a folder of images, arrays."""

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from greensweep.config.schema_dataset import DatasetConfig, TableConfig
from greensweep.data.arrays import as_labels, as_tensor
from greensweep.data.image_files import Decoder
from greensweep.data.image_tree import images_below
from greensweep.data.split import Targets, is_image
from greensweep.data.splits import Splits
from greensweep.errors import DataError, first_line, listed

_GREY = (0.299, 0.587, 0.114)  # luma of ITU-R BT.601, as Pillow's


@dataclass(frozen=True)
class Samples:
    """Inputs, as those of a data set's splits.

    Attributes:
        names: row numbers from 0, or paths of images below their folder.
        labels: as of `TensorSplit`; None where they are not known.
    """

    names: tuple[str, ...]
    inputs: Tensor
    labels: Tensor | None


def read_samples(path: Path, config: DatasetConfig, splits: Splits, targets: Targets) -> Samples:
    """Read samples for a network that was trained on `splits`.

    Args:
        path: of a data set that is a table, another table, with or without the target's column; of
            images, a folder of image files, whose labels are the folders that they lie in where
            each is a class; of any, a NumPy file: .npy of inputs, or .npz of `inputs` and `labels`.

    Raises:
        DataError: there is no such file, or its inputs are not like the training split's.
    """
    if path.suffix in (".npy", ".npz"):
        return _of_arrays(path, splits, targets)
    if isinstance(config, TableConfig):
        from greensweep.data.table import read_new_rows

        inputs, labels = read_new_rows(path, config, splits, targets)
        return Samples(tuple(map(str, range(len(inputs)))), inputs, labels)
    if path.is_dir() and is_image(splits.input_shape):
        return _of_images(path, splits)
    raise DataError(
        f"data={path} cannot be read for dataset {config.name}: give "
        f"{'a folder of images, or ' if is_image(splits.input_shape) else ''}a NumPy file"
    )


def _of_images(folder: Path, splits: Splits) -> Samples:
    paths = sorted(images_below(folder))
    if not paths:
        raise DataError(f"data={folder} holds no images: give a folder that does")
    channels, height, width = splits.input_shape
    decode = Decoder((height, width), resize=True)
    images = np.stack([decode(path) for path in paths])
    if channels == 1:
        images = np.tensordot(_GREY, images, (0, 1))[:, None].round().astype(np.uint8)
    elif channels != len(_GREY):
        raise DataError(
            f"data={folder}: the network takes images of {channels} channels, which no image file "
            "has: give a NumPy file"
        )
    folders = [path.parent.name for path in paths]
    numbers = {name: number for number, name in enumerate(splits.classes)}
    labels = None
    if set(folders) <= numbers.keys():
        labels = torch.tensor([numbers[name] for name in folders])
    names = tuple(path.relative_to(folder).as_posix() for path in paths)
    inputs = torch.from_numpy(images)
    return Samples(names, inputs.to(splits.train.input_dtype), labels)


def _of_arrays(path: Path, splits: Splits, targets: Targets) -> Samples:
    try:
        loaded = np.load(path, allow_pickle=False)
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise DataError(f"data={path} cannot be read: {first_line(error)}") from error
    arrays = {"inputs": loaded} if isinstance(loaded, np.ndarray) else dict(loaded)
    if "inputs" not in arrays:
        raise DataError(f"data={path} has no array called inputs: it has {listed(sorted(arrays))}")
    inputs = as_tensor(arrays["inputs"], "inputs")
    if tuple(inputs.shape[1:]) != splits.input_shape:
        raise DataError(
            f"data={path}: inputs must have shape (N, {', '.join(map(str, splits.input_shape))}), "
            f"as those that the model was trained on, got {tuple(inputs.shape)}"
        )
    labels = None
    if "labels" in arrays:
        labels = as_labels(arrays["labels"], targets)
        if len(labels) != len(inputs):
            raise DataError(f"data={path} has {len(inputs)} inputs and {len(labels)} labels")
        _check_labels(path, labels, splits, targets)
    names = tuple(map(str, range(len(inputs))))
    return Samples(names, _as_trained(path, inputs, splits), labels)


def _as_trained(path: Path, inputs: Tensor, splits: Splits) -> Tensor:
    """Return inputs of the training split's type, in which they are the same numbers."""
    converted = inputs.to(splits.train.input_dtype)
    if not converted.is_floating_point():
        changed = inputs[converted.to(inputs.dtype) != inputs]
        if len(changed):
            raise DataError(
                f"data={path}: inputs hold {changed[0].item():g}, and the model was trained on "
                f"{str(converted.dtype).removeprefix('torch.')}: give the numbers that it was "
                "trained on, before any scaling"
            )
    return converted


def _check_labels(path: Path, labels: Tensor, splits: Splits, targets: Targets) -> None:
    known = splits.train.labels
    if labels.shape[1:] != known.shape[1:]:
        raise DataError(
            f"data={path}: labels must have shape (N{''.join(f', {n}' for n in known.shape[1:])}), "
            f"as those that the model was trained on, got {tuple(labels.shape)}"
        )
    if targets == "classes":
        unknown = labels[(labels < 0) | (labels >= len(splits.classes))]
        if len(unknown):
            raise DataError(
                f"data={path}: labels hold {unknown[0].item()}, and the model knows the classes 0 "
                f"to {len(splits.classes) - 1}: number them as in training"
            )
