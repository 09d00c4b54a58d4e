"""Train in this process and write its peak memory to `peak.json`; `memory.py` starts this.

Something small runs first, so that every import that a run makes on its way, and every store and
thread that it opens, is there before the baseline is taken. Both programs then hold the same
images and train the same network on batches of 64, Greensweep's default. The bare loop evaluates
on batches of that size too, as such loops do; Greensweep's are its own choice, and count.
"""

import ctypes
import gc
import json
import resource
import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import torch
from loops import RawData, bare_accuracy, bare_epoch, fused_adam

from greensweep.config.schema_model import SimpleCnnConfig
from greensweep.models.paper import build_simple_cnn

TRAIN = Path(__file__).resolve().parents[1] / "src" / "train.py"
_EPOCHS = 2  # the second holds the best weights of the first
_BATCH_SIZE = 64
_KIBIBYTE = 1024
# ru_maxrss is in bytes on macOS.
_MAXRSS_UNIT = 1 if sys.platform == "darwin" else _KIBIBYTE


def greensweep_run(folder: str, overrides: list[str]) -> None:
    """Run `src/train.py` as a user would, in this process."""
    network = ["model.conv_layers=1", "model.linear_layers=3", "model.relu=false"]
    sys.argv = [str(TRAIN), *network, "training.threads=1", f"hydra.run.dir={folder}", *overrides]
    try:
        runpy.run_path(str(TRAIN), run_name="__main__")
    except SystemExit as ended:
        if ended.code not in (None, 0):
            raise


def bare_run(train: RawData, held_out: list[RawData], epochs: int) -> None:
    """Train and evaluate the same network with a hand-written loop."""
    classes = int(train.labels.max()) + 1
    network = SimpleCnnConfig(conv_layers=1, linear_layers=3, relu=False)
    model = build_simple_cnn(network, train.images.shape[1:], classes)
    optimizer = fused_adam(model)
    for _ in range(epochs):
        bare_epoch(model, optimizer, train, _BATCH_SIZE)
        for data in held_out:
            bare_accuracy(model, data, _BATCH_SIZE)


def read_arrays(file: Path) -> list[RawData]:
    """Read the training, validation and test images that `memory.py` keeps."""
    with np.load(file) as kept:
        arrays = {name: torch.from_numpy(kept[name]) for name in kept.files}
    half = torch.full((arrays["train_images"].shape[1], 1, 1), 127.5)
    return [
        RawData(arrays[f"{name}_images"], arrays[f"{name}_labels"], half, half)
        for name in ("train", "validation", "test")
    ]


def start_baseline() -> int:
    """Give back what is free, let the peak start anew, and return the memory in use, bytes."""
    gc.collect()
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")
    return int(psutil.Process().memory_info().rss)


def peak() -> int:
    """Return the peak since `start_baseline`; where Linux does not tell it, since the start."""
    if sys.platform == "linux":
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * _KIBIBYTE
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _MAXRSS_UNIT


def measured(work: Callable[[], None]) -> dict[str, int]:
    """Return baseline, peak, and the one above the other while `work` runs, bytes."""
    baseline = start_baseline()
    work()
    highest = peak()
    return {"baseline": baseline, "peak": highest, "above": highest - baseline}


def main() -> None:
    """Run `greensweep IMAGES CACHE` or `bare ARRAYS`."""
    program, source, *rest = sys.argv[1:]
    if program == "greensweep":
        greensweep_run("first", ["training.epochs=1"])
        overrides = [
            *("dataset=image_folder", f"dataset.root={source}", f"dataset.cache={rest[0]}"),
            *(f"training.epochs={_EPOCHS}", f"training.batch_size={_BATCH_SIZE}"),
        ]
        found = measured(lambda: greensweep_run("second", overrides))
    else:
        torch.set_num_threads(1)
        few = torch.zeros((_BATCH_SIZE, 3, 32, 32), dtype=torch.uint8)
        half = torch.full((3, 1, 1), 127.5)
        bare_run(RawData(few, torch.zeros(_BATCH_SIZE, dtype=torch.int64), half, half), [], 1)

        def work() -> None:
            train, *held_out = read_arrays(Path(source))
            bare_run(train, held_out, _EPOCHS)

        found = measured(work)
    Path("peak.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main()
