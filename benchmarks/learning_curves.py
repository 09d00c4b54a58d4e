"""Record learning curves of real training: `learning_curves.csv`, by epoch, for replay.

A random search of the paper's small CNN on CIFAR-10 images, 100 configurations of 10 epochs each,
nothing pruned. `pruning.py` replays them.

    python benchmarks/learning_curves.py --images FOLDER

FOLDER has `train/` and `test/`, with one folder for each class. On two cores it takes about a
quarter of an hour; nothing else should run meanwhile, since the joules would hold it too.
"""

import argparse
import csv
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from curves import EPOCHS, OPTIONS, TABLE
from machine import describe_machine
from small_cnn import RANDOM, TASK, results, search

from greensweep.files import write_text

SPACE = (
    "optimizer.learning_rate=tag(log,interval(1e-5,1e-1))",
    "optimizer.beta1=interval(0.5,0.99)",
    "training.batch_size=choice(32,64,128,256)",
    "model.conv_layers=range(1,5)",
)
TRAINING = (*TASK, f"training.epochs={EPOCHS}")


def main() -> None:
    """Record the curves that the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=Path, required=True, help="folder with train/ and test/")
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--output", type=Path, default=TABLE)
    parser.add_argument("--sweep", type=Path, help="folder to keep the runs in, and to go on with")
    arguments = parser.parse_args()
    machine = describe_machine()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.sweep or Path(temporary) / "sweep"
        options = (*RANDOM, "hydra.sweeper.params={}", *TRAINING, *SPACE)
        search(arguments.images, folder, arguments.trials, options)
        rows = list(curve_rows(folder))
    with arguments.output.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    about = {
        "machine": machine,
        "task": TRAINING,
        "space": SPACE,
        "configurations": arguments.trials,
    }
    text = json.dumps(about, indent=2) + "\n"
    write_text(arguments.output.with_suffix(".json"), text)


def curve_rows(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield a row for each epoch of each run below a sweep's folder."""
    for result in results(folder):
        values = dict(override.split("=") for override in result["overrides"])
        joules = seconds = 0.0
        for epoch in result["history"]:
            joules, seconds = joules + epoch["energy_joules"], seconds + epoch["seconds"]
            yield {
                **{option: f"{float(values[option]):.6g}" for option in OPTIONS},
                "epoch": epoch["epoch"],
                "accuracy": epoch["validation_accuracy"],
                "energy_joules": f"{joules:.5g}",
                "seconds": f"{seconds:.4g}",
                "energy_quality": result["energy_quality"],
                "seed": result["seed"],
            }


if __name__ == "__main__":
    main()
