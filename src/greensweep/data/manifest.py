"""The manifest of a data set's splits: sizes, classes and digests of what was read."""

import hashlib
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import one_hot

from greensweep.data.seeding import seeded
from greensweep.data.split import Split, is_image, noun
from greensweep.data.splits import Splits
from greensweep.files import write_json

_BATCH = 1024


def write_manifest(splits: Splits, dataset: str, seed: int, folder: Path) -> Path:
    """Write `splits.json` into `folder` and return its path.

    Each split is named with its images (or samples), those of each class or label, and the SHA-256
    of its inputs and labels in their order: two manifests are equal when the data are.
    """
    parts = {"train": splits.train, "validation": splits.validation, "test": splits.test}
    manifest = {
        "dataset": dataset,
        "seed": seed,
        f"{'image' if is_image(splits.input_shape) else 'input'}_shape": list(splits.input_shape),
        "classes": list(splits.classes),
        "splits": {name: _describe(split, splits.classes, seed) for name, split in parts.items()},
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "splits.json"
    write_json(path, manifest)
    return path


def _describe(split: Split, classes: tuple[str, ...], seed: int) -> dict[str, Any]:
    digest, seen = hashlib.sha256(), 0
    counts = torch.zeros(len(classes), dtype=torch.int64)
    with seeded(seed):  # of random transforms
        for inputs, labels in split.batches(torch.arange(len(split)).split(_BATCH)):
            digest.update(inputs.contiguous().numpy().tobytes())
            digest.update(labels.numpy().tobytes())
            seen += len(labels)
            if classes:
                has = one_hot(labels, len(classes)) if labels.ndim == 1 else labels
                counts += has.sum(dim=0).long()
    described: dict[str, Any] = {f"{noun(split.input_shape)}s": seen}
    if classes:
        described["per_class"] = dict(zip(classes, counts.tolist(), strict=True))
    return {**described, "sha256": digest.hexdigest()}
