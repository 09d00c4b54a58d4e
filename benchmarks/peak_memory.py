"""Train in this process and write its peak memory to `peak.json`; `memory.py` starts this.

Something small runs first, so that every import that a run makes on its way, and every store and
thread that it opens, is there before the baseline is taken.
"""

import ctypes
import gc
import json
import os
import resource
import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import torch
from loops import RawData, bare_epoch, fused_adam

from greensweep.models.paper import simple_cnn

TRAIN = Path(__file__).resolve().parents[1] / "src" / "train.py"
_KIBIBYTE = 1024
# ru_maxrss is in bytes on macOS.
_MAXRSS_UNIT = 1 if sys.platform == "darwin" else _KIBIBYTE


def greensweep_run(overrides: list[str]) -> None:
    """Run `src/train.py` as a user would, in this process."""
    sys.argv = [str(TRAIN), *overrides]
    try:
        runpy.run_path(str(TRAIN), run_name="__main__")
    except SystemExit as ended:
        if ended.code not in (None, 0):
            raise


def bare_run(data: RawData, classes: int, epochs: int, batch_size: int) -> None:
    """Train the same network with a hand-written loop."""
    channels, size = data.images.shape[1:3]
    model = simple_cnn(channels, size, classes, conv_layers=1, linear_layers=3, relu=False)
    optimizer = fused_adam(model)
    for _ in range(epochs):
        bare_epoch(model, optimizer, data, batch_size)


def bare_data(arrays: Path) -> tuple[RawData, torch.Tensor]:
    """Read the training tensors, and the rest of the images, which a loop holds for evaluation."""
    with np.load(arrays) as kept:
        images, labels = torch.from_numpy(kept["images"]), torch.from_numpy(kept["labels"])
        rest = torch.from_numpy(kept["rest"])
    half = torch.full((images.shape[1], 1, 1), 127.5)
    return RawData(images, labels, half, half), rest


def reset_peak() -> int:
    """Give back what is free, let the peak start anew, and return the memory in use, bytes."""
    gc.collect()
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")
    return int(psutil.Process().memory_info().rss)


def peak() -> int:
    """Return the peak since `reset_peak`, bytes; where that cannot be had, since the start."""
    if sys.platform == "linux":
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * _KIBIBYTE
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _MAXRSS_UNIT


def measured(work: Callable[[], None]) -> dict[str, int]:
    """Return baseline, peak, and the one above the other while `work` runs, bytes."""
    baseline = reset_peak()
    work()
    highest = peak()
    return {"baseline": baseline, "peak": highest, "above": highest - baseline}


def main() -> None:
    """Run `greensweep IMAGES EPOCHS BATCH CACHE` or `bare ARRAYS EPOCHS BATCH`."""
    program, source, epochs, batch_size, *cache = sys.argv[1:]
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    if program == "greensweep":
        model = ["model.conv_layers=1", "model.linear_layers=3", "model.relu=false"]
        greensweep_run([*model, "training.epochs=1", "hydra.run.dir=first"])
        overrides = [
            *model,
            "dataset=image_folder",
            f"dataset.root={source}",
            f"dataset.cache={cache[0]}",
            f"training.epochs={epochs}",
            f"training.batch_size={batch_size}",
            "hydra.run.dir=second",
        ]
        found = measured(lambda: greensweep_run(overrides))
    else:
        few = torch.zeros((64, 3, 32, 32), dtype=torch.uint8)
        half = torch.full((3, 1, 1), 127.5)
        first = RawData(few, torch.zeros(64, dtype=torch.int64), half, half)
        bare_run(first, 10, epochs=1, batch_size=64)

        def work() -> None:
            data, rest = bare_data(Path(source))
            classes = int(data.labels.max()) + 1
            bare_run(data, classes, int(epochs), int(batch_size))
            assert len(rest)  # held until here

        found = measured(work)
    Path("peak.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main()
