"""Peak memory of a run above a bare loop's, in multiples of the data set's uint8 bytes."""

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from figures import Figure, summarised
from subjects import BATCH_SIZE, folder_splits

from greensweep.data import TensorSplit

_FOLDER = Path(__file__).resolve().parent
_GOAL = 2.5
_EPOCHS = 2


@dataclass(frozen=True)
class Size:
    """How much is measured: `rounds` of a bare loop, a run with a cold and one with a warm cache."""

    rounds: int


FULL = Size(rounds=3)
QUICK = Size(rounds=1)


def measure(images: Path, size: Size) -> list[Figure]:
    """Run each in a process of its own and compare their peaks.

    Raises:
        Skipped: the images are not here.
    """
    splits = folder_splits(images)
    parts = [part for part in (splits.train, splits.validation, splits.test)]
    assert all(isinstance(part, TensorSplit) for part in parts)
    uint8_bytes = sum(part.images.nbytes for part in parts if isinstance(part, TensorSplit))
    excess: dict[str, list[float]] = {"cold": [], "warm": []}
    peaks: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as temporary:
        arrays = Path(temporary) / "arrays.npz"
        train = splits.train
        assert isinstance(train, TensorSplit)
        rest = [part.images.numpy() for part in parts[1:] if isinstance(part, TensorSplit)]
        np.savez(
            arrays,
            images=train.images.numpy(),
            labels=train.labels.numpy(),
            rest=np.concatenate(rest),
        )
        batch = min(BATCH_SIZE, len(train))
        bare_arguments = ["bare", str(arrays), str(_EPOCHS), str(batch)]
        for number in range(size.rounds):
            cache = Path(temporary) / f"cache-{number}"
            run_arguments = ["greensweep", str(images), str(_EPOCHS), str(batch), str(cache)]
            bare = _peak(bare_arguments, Path(temporary) / f"bare-{number}")
            for state in excess:  # the first run fills the cache that the second finds
                peak = _peak(run_arguments, Path(temporary) / f"{state}-{number}")
                excess[state].append((peak["above"] - bare["above"]) / uint8_bytes)
                peaks.append({"cache": state, "greensweep_bytes": peak, "bare_bytes": bare})
    return [
        Figure(
            "memory",
            f"smallest CNN, {state} image cache",
            "(greensweep - bare loop) / uint8 data set, peak bytes after imports",
            **summarised(values),
            at_most=_GOAL,
            details={
                "uint8_bytes": uint8_bytes,
                "peaks": [each for each in peaks if each["cache"] == state],
            },
        )
        for state, values in excess.items()
    ]


def _peak(arguments: list[str], folder: Path) -> dict[str, int]:
    """Run `peak_memory.py` in a folder of its own and return what it found."""
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, str(_FOLDER / "peak_memory.py"), *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"peak_memory.py {' '.join(arguments)} failed:\n{done.stderr[-2000:]}")
    return json.loads((folder / "peak.json").read_text())  # type: ignore[no-any-return]
