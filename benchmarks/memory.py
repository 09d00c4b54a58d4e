"""Peak memory of a run above a bare loop's, in multiples of the data set's uint8 bytes."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from figures import Figure, summarised
from subjects import folder_splits

from greensweep.data import Splits, TensorSplit

_SCRIPT = Path(__file__).resolve().parent / "peak_memory.py"
_GOAL = 2.5
_STORE = "MLFLOW_TRACKING_URI"  # of the user; a run here tracks into its own folder


@dataclass(frozen=True)
class Size:
    """How much is measured.

    Attributes:
        rounds: of a bare loop, and of a run in each state of the image cache.
        states: cold, and then warm.
    """

    rounds: int
    states: tuple[str, ...]


FULL = Size(rounds=4, states=("cold", "warm"))
QUICK = Size(rounds=1, states=("cold",))


def measure(images: Path, size: Size) -> list[Figure]:
    """Run each in a process of its own and compare their peaks.

    Raises:
        Skipped: the images are not here.
    """
    splits = folder_splits(images)
    with (
        tempfile.TemporaryDirectory() as temporary,
        # Side by side: memory is not disturbed by what other processes do, as time is.
        ThreadPoolExecutor(max_workers=2) as pool,
    ):
        work = Path(temporary)
        uint8_bytes = _keep_arrays(splits, work / "arrays.npz")

        def one_round(number: int) -> dict[str, dict[str, int]]:
            run = ["greensweep", str(images), str(work / f"cache-{number}")]
            peaks = {"bare": _peak(["bare", str(work / "arrays.npz")], work / f"bare-{number}")}
            for state in size.states:  # the cold run fills the cache that the warm one finds
                peaks[state] = _peak(run, work / f"{state}-{number}")
            return peaks

        rounds = list(pool.map(one_round, range(size.rounds)))
    return [_figure(state, rounds, uint8_bytes) for state in size.states]


def _figure(state: str, rounds: Sequence[dict[str, dict[str, int]]], uint8_bytes: int) -> Figure:
    excess = [(each[state]["above"] - each["bare"]["above"]) / uint8_bytes for each in rounds]
    details: dict[str, Any] = {
        "uint8_bytes": uint8_bytes,
        "greensweep_bytes": [each[state] for each in rounds],
        "bare_bytes": [each["bare"] for each in rounds],
    }
    return Figure(
        "memory",
        f"smallest CNN, {state} image cache",
        "(greensweep - bare loop) / uint8 data set, peak bytes",
        **summarised(excess),
        at_most=_GOAL,
        details=details,
    )


def _keep_arrays(splits: Splits, file: Path) -> int:
    """Write the images and labels of all splits for the bare loop; return the images' bytes."""
    arrays: dict[str, np.ndarray] = {}
    for name, split in (
        ("train", splits.train),
        ("validation", splits.validation),
        ("test", splits.test),
    ):
        assert isinstance(split, TensorSplit)
        arrays[f"{name}_images"] = split.inputs.numpy()
        arrays[f"{name}_labels"] = split.labels.numpy()
    np.savez(file, allow_pickle=False, **arrays)
    return sum(array.nbytes for name, array in arrays.items() if name.endswith("images"))


def _peak(arguments: Sequence[str], folder: Path) -> dict[str, int]:
    """Run `peak_memory.py` in a folder of its own and return what it found."""
    folder.mkdir()
    environment = {name: value for name, value in os.environ.items() if name != _STORE}
    done = subprocess.run(
        [sys.executable, str(_SCRIPT), *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"{_SCRIPT.name} {' '.join(arguments)} failed:\n{done.stderr[-2000:]}")
    found: dict[str, int] = json.loads((folder / "peak.json").read_text())
    return found
