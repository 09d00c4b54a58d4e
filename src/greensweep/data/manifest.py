"""The manifest of a data set's splits: sizes, classes and digests of what was read."""

import hashlib
from collections import Counter
from pathlib import Path
from typing import Any

import torch

from greensweep.data.seeding import seeded
from greensweep.data.split import Split
from greensweep.data.splits import Splits
from greensweep.files import write_json

MANIFEST_FILE = "splits.json"
_BATCH = 1024


def write_manifest(splits: Splits, dataset: str, seed: int, folder: Path) -> Path:
    """Write `splits.json` into `folder` and return its path.

    Each split is named with its images, images per class, and the SHA-256 of its decoded images
    and labels in their order: two manifests are equal when the data are.
    """
    parts = {"train": splits.train, "validation": splits.validation, "test": splits.test}
    manifest = {
        "dataset": dataset,
        "seed": seed,
        "image_shape": list(splits.image_shape),
        "classes": list(splits.classes),
        "splits": {name: _describe(split, splits.classes, seed) for name, split in parts.items()},
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / MANIFEST_FILE
    write_json(path, manifest)
    return path


def _describe(split: Split, classes: tuple[str, ...], seed: int) -> dict[str, Any]:
    digest = hashlib.sha256()
    counts: Counter[int] = Counter()
    with seeded(seed):  # of random transforms
        for images, labels in split.batches(torch.arange(len(split)).split(_BATCH)):
            digest.update(images.contiguous().numpy().tobytes())
            digest.update(labels.numpy().tobytes())
            counts.update(labels.tolist())
    return {
        "images": counts.total(),
        "per_class": {name: counts[index] for index, name in enumerate(classes)},
        "sha256": digest.hexdigest(),
    }
